"""What users, devices and serials may be called. Pure."""

from __future__ import annotations

import unicodedata

from provision.errors import InputError

MAX_CHARACTERS = 64


def clean(kind: str, text: str) -> str:
    """`text` in Unicode normal form C. `kind` names it in messages.

    Raises InputError if it is empty, over 64 characters, has white space at an end, or holds anything that does not
    show: control and format characters (a right-to-left override makes one name look like another), line and
    paragraph separators, unpaired surrogates, code points without a meaning.
    """
    name = unicodedata.normalize("NFC", text)
    if not name:
        raise InputError(f"the {kind} is empty")
    if len(name) > MAX_CHARACTERS:
        raise InputError(f"the {kind} has {len(name)} characters", hint=f"{MAX_CHARACTERS} are the most")
    if name != name.strip():
        raise InputError(f"the {kind} begins or ends with white space")
    for character in name:
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}:
            raise InputError(f"the {kind} holds the invisible character U+{ord(character):04X}")
    return name
