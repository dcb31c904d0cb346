"""The udev rules of the package, and what udev of a machine reads in their place.

`root` is where the machine's file system begins: / or an image's folder.
"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

NAME = "70-hwtoken.rules"
GROUP = "hwtoken"  # who may use tokens where nobody sits at a seat

# Where udev looks, the first file of a name wins (udev(7)).
_FOLDERS = ("etc/udev/rules.d", "run/udev/rules.d", "usr/local/lib/udev/rules.d", "usr/lib/udev/rules.d")


def packaged() -> str:
    return resources.files("provision").joinpath("udev", NAME).read_text("utf-8")


def installed(root: Path) -> Path | None:
    """The file that udev reads under our name."""
    return next((path for folder in _FOLDERS if (path := root / folder / NAME).is_file()), None)


def write(root: Path) -> tuple[Path, bool]:
    """Put the rules where an administrator's go: the path, and whether anything had to change. Raises OSError."""
    path = root / _FOLDERS[0] / NAME
    text = packaged()
    if path.is_file() and path.read_text("utf-8") == text:
        return path, False
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")  # udev reads only *.rules
    draft.write_text(text, "utf-8")
    draft.chmod(0o644)
    os.replace(draft, path)
    return path, True
