"""What the rules do to each node of a token, by the real udev; and that no line of them is idle."""

from __future__ import annotations

import dataclasses
import re
import sys

import pytest

from firmware_sim.families.family import NAMES, family
from provision.families.identities import USB_IDENTITIES
from tests.udev.conftest import GROUP, RULES, Outcome, Udev
from tests.udev.recording import Plugged

pytestmark = pytest.mark.udev

REFERENCE = family("reference")
TOKEN = Plugged.token(REFERENCE, "SN-0042", has_keyboard=True)
HUB = Plugged("USB2.0 Hub", "HUB-1", 0x05E3, 0x0608, socket="1-1", number=9)
# The system itself gives smart-card readers to who sits at the machine: without that, ours must.
NO_READER = dataclasses.replace(TOKEN, descriptors=b"")


def untouched(outcome: Outcome) -> bool:
    return outcome.ours == (None, None, [], {}, frozenset())


def test_the_serial_line(udev: Udev) -> None:
    (line,) = udev.apply(("add", TOKEN.line), devices=[NO_READER])
    assert (line.group, line.mode) == (str(GROUP), "0660")
    assert line.links == ["hwtoken/SN-0042"]
    assert line.tags >= {"uaccess", "hwtoken"}
    assert "uaccess" in line.builtins, "the tag came before 73-seat-late.rules, which makes the ACL"
    for name, value in {"HWTOKEN": "reference", "ID_MM_DEVICE_IGNORE": "1", "ID_MM_PORT_IGNORE": "1"}.items():
        assert line.properties[name] == value
    assert line.complaints == []


@pytest.mark.parametrize("name", [name for name in NAMES if USB_IDENTITIES[name]])
def test_the_usb_device_of_each_family(udev: Udev, name: str) -> None:
    token = Plugged.token(family(name), "T-1")
    (device,) = udev.apply(("add", token.path), devices=[token])
    assert (device.group, device.mode) == (str(GROUP), "0660")
    assert device.links == ["hwtoken/usb/T-1"]
    assert device.tags >= {"uaccess", "hwtoken"}
    assert device.properties["HWTOKEN"] == name
    assert device.properties["ID_MM_DEVICE_IGNORE"] == "1"
    assert "ID_MM_PORT_IGNORE" not in device.properties


@pytest.mark.parametrize("action", ["change", "bind"])
def test_later_events_take_nothing_away(udev: Udev, action: str) -> None:
    added, later = udev.apply(("add", TOKEN.line), (action, TOKEN.line), devices=[TOKEN])
    assert later.ours == added.ours


def test_strangers_are_left_alone(udev: Udev) -> None:
    other_name = dataclasses.replace(NO_READER, product="somebody's blinking light")
    other_numbers = dataclasses.replace(NO_READER, idProduct=0x0002)
    for stranger in (other_name, other_numbers):
        assert all(map(untouched, udev.apply(("add", stranger.line), ("add", stranger.path), devices=[stranger])))


def test_what_a_token_types_is_for_nobody_else(udev: Udev) -> None:
    (keyboard,) = udev.apply(("add", TOKEN.keyboard), devices=[NO_READER])
    assert untouched(keyboard)


def test_a_hub_lends_its_serial_to_nobody(udev: Udev) -> None:
    token = Plugged.token(REFERENCE, "", socket="1-1.4", number=10)
    line, device = udev.apply(("add", token.line), ("add", token.path), devices=[HUB, token])
    assert line.group == device.group == str(GROUP)
    assert line.links == device.links == []


@pytest.mark.parametrize("serial", ["../../null", "a/b", "two words", ".", "..", ".hidden", "ä", "$kernel"])
def test_a_serial_that_is_no_file_name_makes_no_link(udev: Udev, serial: str) -> None:
    token = dataclasses.replace(TOKEN, serial=serial)
    line, device = udev.apply(("add", token.line), ("add", token.path), devices=[token])
    assert line.links == device.links == []
    assert line.group == device.group == str(GROUP)


def test_without_the_group_only_root_is_left(udev: Udev) -> None:
    """Why `provision udev install` makes the group: udev takes the unknown one for none, not for the one before."""
    (line,) = udev.apply(("add", TOKEN.line), devices=[TOKEN], group=None)
    assert line.group == str((1 << 32) - 1)
    assert any("Unknown group 'hwtoken'" in complaint for complaint in line.complaints)


def test_what_provision_installs_is_enough(udev: Udev) -> None:
    """From a machine that has neither the rules nor the group."""
    provision = f"{sys.executable} -m provision"
    script = f"""
        if {provision} udev check; then exit 1; fi
        {provision} udev install
        {provision} udev install
        {provision} udev check
        getent group hwtoken
        udevadm test --action=add /sys{TOKEN.line} 2>&1
    """
    text = udev.run("sh", "-euc", script, devices=[TOKEN], rules=None, group=None)
    assert "made the group hwtoken" in text
    assert "left as it was: /etc/udev/rules.d/70-hwtoken.rules" in text
    number = re.search(r"^hwtoken:[^:]*:(\d+):", text, flags=re.MULTILINE)
    assert number
    assert f"GROUP {number[1]}\n" in text
    assert "Unknown group" not in text


def test_a_mistake_in_the_file_is_told(udev: Udev) -> None:
    for mistake in (RULES.replace("GROUP=", "GRUOP="), RULES.replace('LABEL="hwtoken_end"', "")):
        (line,) = udev.apply(("add", TOKEN.line), devices=[TOKEN], rules=mistake)
        assert line.complaints


def test_every_identity_is_known(udev: Udev) -> None:
    known = [(name, identity) for name, identities in USB_IDENTITIES.items() for identity in identities]
    devices = [
        Plugged(one.product or "a token", "X-1", one.idVendor, one.idProduct, socket=f"1-{port}", number=port + 1)
        for port, (_, one) in enumerate(known, 1)
    ]
    outcomes = udev.apply(*(("add", device.path) for device in devices), devices=devices)
    assert [each.properties["HWTOKEN"] for each in outcomes] == [name for name, _ in known]
    assert {each.group for each in outcomes} == {str(GROUP)}


def test_no_line_is_idle(udev: Udev) -> None:
    """Without any one of them something is different; the lines of identities are the business of the test above."""
    hidden = dataclasses.replace(TOKEN, serial=".hidden", socket="1-2", number=3)
    nameless = dataclasses.replace(TOKEN, serial="", socket="1-3", number=4)
    stranger = dataclasses.replace(TOKEN, product="a modem", socket="1-4", number=5)
    devices = [NO_READER, hidden, nameless, stranger]
    events = [("add", device.line) for device in devices]
    events += [("add", TOKEN.path), ("remove", TOKEN.line), ("add", f"{TOKEN.path}/1-1:1.0"), ("add", TOKEN.keyboard)]

    def outcomes(lines: list[str]) -> list[object]:
        return [(each.ours, each.complaints) for each in udev.apply(*events, devices=devices, rules="\n".join(lines))]

    lines = RULES.splitlines()
    whole = outcomes(lines)
    idle = [
        line
        for number, line in enumerate(lines)
        if line
        and not line.startswith(("#", "ATTRS"))
        and outcomes([*lines[:number], "", *lines[number + 1 :]]) == whole
    ]
    assert idle == []
