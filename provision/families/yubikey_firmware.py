"""What YubiKeys can do, and are called, by firmware and form.

Sources: YKOATH's protocol page and yubikit of yubikey-manager 5.9.2 (since when what works, names of models); YubiKey
Technical Manual, OATH (the number of credentials).
"""

from __future__ import annotations

from provision.wire.yubikey import Config, FormFactor

Version = tuple[int, int, int]

TOUCH_SINCE: Version = (4, 2, 4)
SHA512_SINCE: Version = (4, 3, 1)
RENAME_SINCE: Version = (5, 3, 1)
_ROOM_64_SINCE: Version = (5, 7, 0)

# Major and minor numbers whose ways the sources tell. Others may differ, and are changed only on a person's word.
_KNOWN = frozenset({(4, 2), (4, 3), (5, 0), (5, 1), (5, 2), (5, 3), (5, 4), (5, 6), (5, 7)})

_FORMS = {
    FormFactor.A_NANO: " Nano",
    FormFactor.C_KEYCHAIN: "C",
    FormFactor.C_NANO: "C Nano",
    FormFactor.C_LIGHTNING: "Ci",
}


def text(version: Version) -> str:
    return ".".join(map(str, version))


def is_known(version: Version) -> bool:
    return version[:2] in _KNOWN


def room(version: Version) -> int:
    """How many credentials fit."""
    return 64 if version >= _ROOM_64_SINCE else 32


def model_name(version: Version, config: Config) -> str:
    """As `YubiKey 5C NFC`."""
    if version[0] < 5:
        return f"YubiKey {version[0]}"
    if config.form_factor in (FormFactor.A_BIO, FormFactor.C_BIO):
        return "YubiKey Bio" if config.form_factor is FormFactor.A_BIO else "YubiKey C Bio"
    name = f"YubiKey {version[0]}{_FORMS.get(config.form_factor, '')}"
    return f"{name} NFC" if config.nfc_supported else name
