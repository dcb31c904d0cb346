"""`provision udev`: the rules that give people access to tokens, on Linux."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from provision.cli import udev_rules
from provision.cli.context import Context, common_options
from provision.cli.itself import own_command
from provision.cli.output import print_line
from provision.errors import LinkError, NotFound, PermissionDenied, UsageError

Run = Callable[[Sequence[str]], int]

root_option = click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default="/",
    help="Treat this folder as the file system, for example of an image that is being built.",
)


@click.command("show")
@common_options
def show(context: Context) -> None:
    """Print the rules."""
    text = udev_rules.packaged()
    if context.as_json:
        context.result({"name": udev_rules.NAME, "text": text}, "")
    else:
        print_line(text.removesuffix("\n"))


@click.command("install")
@root_option
@common_options
def install(context: Context, root: Path) -> None:
    """Write the rules to /etc/udev/rules.d, make the group hwtoken, and let udev apply both at once.

    Run again it changes nothing that is as it should be. With --root only the file is written.
    """
    _demand_linux(root)
    try:
        path, changed = udev_rules.write(root)
    except PermissionError:
        raise PermissionDenied(
            f"only root may write to {root / 'etc/udev/rules.d'}", hint=f"run: sudo {own_command()} udev install"
        ) from None
    done = [f"{'wrote' if changed else 'left as it was:'} {path}"]
    if root == Path("/"):
        done += activate(_run, group_exists=_group_exists(), udev_runs=Path("/run/udev/control").exists())
    context.result({"path": str(path), "changed": changed, "done": done}, "\n".join(done))


@click.command("check")
@root_option
@common_options
def check(context: Context, root: Path) -> None:
    """Tell whether udev reads the rules of this version; exit code 3 if not."""
    _demand_linux(root)
    mend = f"run: sudo {own_command()} udev install"
    path = udev_rules.installed(root)
    if path is None:
        raise NotFound(f"the udev rules {udev_rules.NAME} are not installed", hint=mend)
    if path.read_text("utf-8") != udev_rules.packaged():
        raise NotFound(f"{path} is not what this version of provision ships", hint=mend)
    if root == Path("/") and not _group_exists():
        raise NotFound(f"there is no group {udev_rules.GROUP}, to which {path} gives tokens", hint=mend)
    context.result({"path": str(path)}, f"{path} is installed and current")


def _demand_linux(root: Path) -> None:
    if root == Path("/") and sys.platform != "linux":
        raise UsageError("udev is a part of Linux: here nobody needs its rules", hint="--root works everywhere")


def activate(run: Run, *, group_exists: bool, udev_runs: bool) -> list[str]:
    """Make the group and let udev apply the rules to what is plugged in; what was done, a line each. As root."""
    done = []
    if not group_exists:
        _must(run, "groupadd", "--system", udev_rules.GROUP)
        done.append(f"made the group {udev_rules.GROUP}; let a user in with: sudo usermod -aG {udev_rules.GROUP} USER")
    if udev_runs:
        _must(run, "udevadm", "control", "--reload")
        _must(run, "udevadm", "trigger", "--settle", "--action=add", "--subsystem-match=usb", "--subsystem-match=tty")
        done.append("udev has reloaded them and looked again at what is plugged in")
    else:
        done.append("udev does not run here: they will apply when it does")
    return done


def _must(run: Run, *command: str) -> None:
    if run(command) != 0:
        raise LinkError(f"`{' '.join(command)}` failed", hint="the rules are written; run that command as root")


def _run(command: Sequence[str]) -> int:
    """Its exit code; what it says goes to standard error. A program that is not there fails like any other."""
    try:
        return subprocess.run(command, check=False, stdout=2).returncode
    except FileNotFoundError:
        return 127


def _group_exists() -> bool:
    import grp

    return any(group.gr_name == udev_rules.GROUP for group in grp.getgrall())
