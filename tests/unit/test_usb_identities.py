"""One truth about who is who on USB: drivers, simulator and udev rules."""

from __future__ import annotations

import pytest

from firmware_sim.families.family import NAMES
from firmware_sim.families.family import family as simulated
from provision.families.driver import DRIVERS, load
from provision.families.identities import (
    READER_NAMES,
    USB_IDENTITIES,
    UsbIdentity,
    family_of,
    family_of_reader,
)


def test_every_family_has_its_line() -> None:
    assert USB_IDENTITIES.keys() == DRIVERS.keys()


@pytest.mark.parametrize("name", DRIVERS)
def test_a_driver_has_the_identities_of_its_name(name: str) -> None:
    assert load(name).usb == USB_IDENTITIES[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_simulated_token_is_known_by_its_descriptor(name: str) -> None:
    token = simulated(name)
    if USB_IDENTITIES[name]:
        assert family_of(token.idVendor, token.idProduct, token.iProduct) == name


def test_no_identity_is_claimed_twice() -> None:
    everybody = [identity for identities in USB_IDENTITIES.values() for identity in identities]
    assert len(everybody) == len({(each.idVendor, each.idProduct, each.product) for each in everybody})


def test_test_numbers_need_the_name_too() -> None:
    assert family_of(0x1209, 0x0001, "somebody's blinking light") is None
    assert family_of(0x1209, 0x0001, None) is None
    assert family_of(None, None, None) is None
    assert UsbIdentity(0x1050, 0x0407).matches(0x1050, 0x0407, "whatever it calls itself")
    for identity in (each for identities in USB_IDENTITIES.values() for each in identities):
        assert identity.product is not None or not (identity.idVendor == 0x1209 and identity.idProduct <= 0x000F)


def test_readers_are_known_by_their_names() -> None:
    assert READER_NAMES.keys() <= USB_IDENTITIES.keys()
    assert family_of_reader("hwtoken Reference Token (SN-1) 00 00") == "reference"
    assert family_of_reader("Virtual PCD 00 00") is None
    for name in NAMES:
        if name in READER_NAMES:  # pcscd calls a reader by what its descriptors call themselves
            token = simulated(name)
            assert family_of_reader(f"{token.iManufacturer} {token.iProduct} 00 00") == name
