"""The table of readers in libccid's Info.plist: pcscd drives a USB reader only if its numbers stand there.

Three arrays of one length (ifdVendorID, ifdProductID, ifdFriendlyName) in Apple's property list format. Entries are
added to the text as it stands, since its comments are the documentation of the driver's options; what came out is
read back and compared.
"""

from __future__ import annotations

import os
import plistlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.parsers.expat import ExpatError
from xml.sax.saxutils import escape

from provision.errors import InputError

_KEYS = ("ifdVendorID", "ifdProductID", "ifdFriendlyName")
_PLACES = (
    "etc/libccid_Info.plist",  # Debian
    "usr/lib64/pcsc/drivers/ifd-ccid.bundle/Contents/Info.plist",  # Fedora, openSUSE
    "usr/lib/pcsc/drivers/ifd-ccid.bundle/Contents/Info.plist",  # Arch
)


@dataclass(frozen=True, slots=True)
class Reader:
    idVendor: int
    idProduct: int
    name: str


def find(root: Path) -> Path | None:
    """The table of the machine, None where there is no libccid."""
    return next((path for place in _PLACES if (path := root / place).is_file()), None)


def numbers(content: bytes) -> list[tuple[int, int]]:
    """(idVendor, idProduct) of each entry. Raises InputError."""
    vendors, products, _ = _arrays(content)
    try:
        return [(int(vendor, 16), int(product, 16)) for vendor, product in zip(vendors, products, strict=True)]
    except ValueError:
        raise InputError("libccid's Info.plist has an entry that is no pair of numbers") from None


def extended(content: bytes, readers: Sequence[Reader]) -> bytes:
    """The table with those of `readers` that it lacked. Raises InputError."""
    known = set(numbers(content))
    new = [reader for reader in readers if (reader.idVendor, reader.idProduct) not in known]
    columns = (
        [f"0x{reader.idVendor:04X}" for reader in new],
        [f"0x{reader.idProduct:04X}" for reader in new],
        [reader.name for reader in new],
    )
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("libccid's Info.plist is not UTF-8") from None
    for key, column in zip(_KEYS, columns, strict=True):
        lines = "".join(f"\t\t<string>{escape(value)}</string>\n" for value in column)
        if match := re.search(rf"<key>{key}</key>\s*<array>.*?(?=[ \t]*</array>)", text, flags=re.DOTALL):
            text = text[: match.end()] + lines + text[match.end() :]
    result = text.encode("utf-8")
    if _arrays(result) != tuple(old + column for old, column in zip(_arrays(content), columns, strict=True)):
        raise InputError("libccid's Info.plist is not laid out as libccid ships it", hint="add the entries by hand")
    return result


def mend(path: Path, readers: Sequence[Reader]) -> bool:
    """Add what is missing, the file as it was kept beside it with `.orig` behind its name; whether anything was.

    Raises InputError, OSError.
    """
    path = path.resolve()  # elsewhere a link leads to it
    content = path.read_bytes()
    result = extended(content, readers)
    if result == content:
        return False
    kept = path.with_name(path.name + ".orig")
    if not kept.exists():  # an earlier one is the distribution's
        kept.write_bytes(content)
    draft = path.with_name(path.name + ".new")
    draft.write_bytes(result)
    draft.chmod(path.stat().st_mode & 0o777)
    os.replace(draft, path)
    return True


def _arrays(content: bytes) -> tuple[list[str], list[str], list[str]]:
    try:
        table = plistlib.loads(content)
    except (plistlib.InvalidFileException, ExpatError, ValueError, LookupError, AttributeError):
        # The last two are how plistlib ends on tags in the wrong places.
        raise InputError("libccid's Info.plist is no property list") from None
    match [table.get(key) if isinstance(table, dict) else None for key in _KEYS]:
        case [list() as vendors, list() as products, list() as names]:
            columns = vendors, products, names
            texts = all(isinstance(value, str) for column in columns for value in column)
            if texts and len(vendors) == len(products) == len(names):
                return columns
    raise InputError("libccid's Info.plist has no three arrays of one length")
