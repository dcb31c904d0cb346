"""How the tokens of a family are known before anyone speaks to them: by USB identity, or by a card reader's name.

Tables of plain values beside the drivers, so that looking at what is plugged in loads none of them. The udev rules
(udev/70-hwtoken.rules) name the same identities; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UsbIdentity:
    """Fields of a device descriptor (USB 2.0 section 9.6.1) by which a family is known.

    `product`: the iProduct string, where the numbers alone do not tell: pid.codes' 1209:0001 to 1209:000F are for
    everybody's tests. None: whoever has the numbers is of this family.
    """

    idVendor: int
    idProduct: int
    product: str | None = None

    def matches(self, vendor: int | None, product_id: int | None, product: str | None) -> bool:
        return (vendor, product_id) == (self.idVendor, self.idProduct) and self.product in (None, product)


# Family -> its identities; a driver has its own as `usb`. A family that is reached through a foreign reader has none.
USB_IDENTITIES: dict[str, tuple[UsbIdentity, ...]] = {
    "reference": (UsbIdentity(0x1209, 0x0001, "hwtoken reference token"),),
    # YubiKeys 4 and 5 whose CCID is switched on, by what else is: nothing, OTP, FIDO, both (yubikit, core PID).
    "yubikey": tuple(UsbIdentity(0x1050, product_id) for product_id in (0x0404, 0x0405, 0x0406, 0x0407)),
    "molto2": (UsbIdentity(0x349E, 0x0300),),
    # On hardware a card on anybody's contactless reader; this is the simulator's own reader.
    "token2": (UsbIdentity(0x1209, 0x0003, "hwtoken reader with Token2 token"),),
}

# Family -> what PC/SC readers with such a token inside have in their names, in lower case.
READER_NAMES: dict[str, str] = {
    "reference": "hwtoken reference token",
    "yubikey": "yubico yubikey",
    "molto2": "molto2",
    "token2": "hwtoken reader with token2 token",
}


def family_of(vendor: int | None, product_id: int | None, product: str | None) -> str | None:
    """The family of a device with these numbers and this iProduct string; None for a stranger."""
    for family, identities in USB_IDENTITIES.items():
        if any(identity.matches(vendor, product_id, product) for identity in identities):
            return family
    return None


def family_of_reader(name: str) -> str | None:
    """The family of the token inside a PC/SC reader of this name; None for a reader that may hold any card."""
    return next((family for family, part in READER_NAMES.items() if part in name.casefold()), None)
