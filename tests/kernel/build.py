"""Build what the guest boots from, out of Debian's packages and without installing any of them.

    build.py FOLDER

FOLDER/debs keeps the downloads; FOLDER/image is made anew when this file, or what goes into the image, has changed:

    vmlinux      the kernel, uncompressed: QEMU starts it through PVH in half the time that a bzImage takes
    initrd.cpio  busybox, the modules up to 9p and overlayfs, and initramfs.sh
    extra/       the programs and modules that the guest has over the host's own root file system
"""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
KERNEL = "linux-image-amd64"  # the package that names the current one
PACKAGES = (
    "busybox-static",  # the initramfs
    "udev",  # systemd-udevd, udevadm
    "systemd",  # nothing of it runs: it has the rules that give a seat's user its devices
    "libudev1",
    "usbip",  # the foreign client of --link usbip
    "libwrap0",  # usbip's
    "libusb-1.0-0",  # pyusb's and libccid's
    "pcscd",
    "libpcsclite1",
    "libccid",
)
INITRAMFS_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
GUEST_MODULES = ("vhci-hcd", "cdc-acm", "usbmon")
MERGED = ("bin", "sbin", "lib")  # links to usr/ on Debian; a package's own directory of that name would hide the host's


def main(folder: Path) -> None:
    image = folder / "image"
    recipe = hashlib.sha256((HERE / "build.py").read_bytes() + (HERE / "initramfs.sh").read_bytes()).hexdigest()
    built = image / "built"
    if built.exists() and built.read_text() == recipe:
        return
    shutil.rmtree(image, ignore_errors=True)
    image.mkdir(parents=True)
    debs = folder / "debs"
    debs.mkdir(exist_ok=True)
    kernel, *others = (_download(debs, name) for name in (_kernel_package(), *PACKAGES))
    with tempfile.TemporaryDirectory(dir=folder) as unpacked:
        _unpack(kernel, Path(unpacked))
        _make(image, Path(unpacked), others)
    built.write_text(recipe)


def _make(image: Path, kernel: Path, packages: list[Path]) -> None:
    (vmlinuz,) = (kernel / "boot").glob("vmlinuz-*")
    version = vmlinuz.name.removeprefix("vmlinuz-")
    (image / "vmlinux").write_bytes(_uncompressed(vmlinuz.read_bytes()))
    _run("depmod", "-b", str(kernel), version)

    extra = image / "extra"
    for name in MERGED:
        (extra / "usr" / name).mkdir(parents=True)
        (extra / name).symlink_to(f"usr/{name}")
    for package in packages:
        _unpack(package, extra)
    modules = extra / "lib" / "modules" / version
    modules.mkdir(parents=True)
    for module in _modules(kernel, version, GUEST_MODULES):
        shutil.copy(module, modules)
    for name in ("modules.builtin", "modules.order"):
        shutil.copy(kernel / "lib" / "modules" / version / name, modules)
    _run("depmod", "-b", str(extra), version)

    initramfs = image / "initramfs"
    (initramfs / "bin").mkdir(parents=True)
    shutil.copy(extra / "bin" / "busybox", initramfs / "bin")
    shutil.copy(HERE / "initramfs.sh", initramfs / "init")
    (initramfs / "init").chmod(0o755)
    (initramfs / "modules").mkdir()
    for number, module in enumerate(_modules(kernel, version, INITRAMFS_MODULES)):
        shutil.copy(module, initramfs / "modules" / f"{number:02}-{module.name}")
    names = "\n".join(str(path.relative_to(initramfs)) for path in sorted(initramfs.rglob("*")))
    with (image / "initrd.cpio").open("wb") as archive:
        cpio = ["cpio", "-o", "-H", "newc", "--quiet"]
        subprocess.run(cpio, input=names.encode(), stdout=archive, cwd=initramfs, check=True)


def _kernel_package() -> str:
    """The package behind KERNEL, for example linux-image-6.1.0-56-amd64."""
    for line in _run("apt-cache", "depends", KERNEL).splitlines():
        kind, _, name = line.strip().partition(": ")
        if kind == "Depends" and name.startswith("linux-image-"):
            return name
    sys.exit(f"apt does not know {KERNEL}: run `apt-get update` as root (Debian on amd64 only)")


def _download(folder: Path, name: str) -> Path:
    """The package's file, downloaded unless it is there."""
    if not (found := sorted(folder.glob(f"{name}_*.deb"))):
        _run("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", name, cwd=folder)
        found = sorted(folder.glob(f"{name}_*.deb"))
    return found[-1]


def _unpack(deb: Path, root: Path) -> None:
    """Unpack over `root`, through its links."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as archive:
        tar = ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", root]
        subprocess.run(tar, stdin=archive.stdout, check=True)
    if archive.returncode:
        sys.exit(f"{deb} is damaged: delete it and try again")


def _uncompressed(vmlinuz: bytes) -> bytes:
    """The ELF kernel inside a bzImage: the xz stream that starts with ELF's magic."""
    start = -1
    while (start := vmlinuz.find(b"\xfd7zXZ\x00", start + 1)) >= 0:
        try:
            vmlinux = lzma.LZMADecompressor().decompress(vmlinuz[start:])
        except lzma.LZMAError:
            continue  # the magic stood there by chance
        if vmlinux.startswith(b"\x7fELF"):
            return vmlinux
    sys.exit("the kernel is not compressed with xz: this recipe is for Debian 12")


def _modules(kernel: Path, version: str, names: tuple[str, ...]) -> list[Path]:
    """The modules and what they depend on, in the order in which to load them."""
    shown = _run("modprobe", "-d", str(kernel), "-S", version, "--show-depends", "-a", *names)
    return [Path(line.split()[1]) for line in dict.fromkeys(shown.splitlines()) if line.startswith("insmod ")]


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=os.environ | {"LC_ALL": "C"}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
