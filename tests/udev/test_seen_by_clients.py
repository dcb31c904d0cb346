"""How programs see a token that udev has named: udev's own library, pyserial, libusb, and `provision` itself."""

from __future__ import annotations

import pytest

from firmware_sim.families.family import family
from tests.udev.conftest import Udev
from tests.udev.recording import Plugged

pytestmark = pytest.mark.udev

TOKEN = Plugged.token(family("reference"), "SN-0042")
MODEM = Plugged("a modem", "M-1", 0x1209, 0x0001, interfaces=TOKEN.interfaces, socket="1-2", number=3)
RULES_APPLIED = " && ".join(f'udevadm test "/sys{path}"' for path in (TOKEN.line, TOKEN.path, MODEM.line, MODEM.path))


def test_pyudev(udev: Udev) -> None:
    program = """if True:
        import json, pyudev
        found = pyudev.Context().list_devices().match_tag("hwtoken")
        links = lambda device: [link for link in device.device_links if link.startswith("/dev/hwtoken/")]
        print(json.dumps([[one.subsystem, one.properties["HWTOKEN"], links(one)] for one in found]))
    """
    assert sorted(udev.python(program, devices=[TOKEN, MODEM], before=RULES_APPLIED)) == [
        ["tty", "reference", ["/dev/hwtoken/SN-0042"]],
        ["usb", "reference", ["/dev/hwtoken/usb/SN-0042"]],
    ]


def test_pyserial(udev: Udev) -> None:
    program = """if True:
        import dataclasses, json
        from provision.links.ports import serial_ports
        print(json.dumps([dataclasses.astuple(place)[:6] for place in serial_ports()]))
    """
    assert udev.python(program, devices=[TOKEN, MODEM]) == [
        ["serial:/dev/ttyACM0", 0x1209, 0x0001, "hwtoken reference token", "SN-0042", False],
        ["serial:/dev/ttyACM1", 0x1209, 0x0001, "a modem", "M-1", False],
    ]


def test_libusb(udev: Udev) -> None:
    program = """if True:
        import json, usb.core
        found = usb.core.find(find_all=True, idVendor=0x1209)
        print(json.dumps([[one.idProduct, [part.bInterfaceClass for part in one[0]]] for one in found]))
    """
    assert udev.python(program, devices=[TOKEN]) == [[0x0001, [0x02, 0x0A, 0x0B]]]


def test_provision_list_and_doctor(udev: Udev) -> None:
    program = """if True:
        import io, json, sys
        from contextlib import redirect_stdout
        from provision.cli.main import main
        results = []
        for command in (["list"], ["doctor"]):
            with redirect_stdout(io.StringIO()) as out:
                main([*command, "--json"])
            results.append(json.loads(out.getvalue()))
        print(json.dumps(results))
    """
    listed, findings = udev.python(program, devices=[TOKEN, MODEM], before=RULES_APPLIED)
    (row,) = listed["tokens"]
    assert (row["family"], row["serial"]) == ("reference", "SN-0042")
    # Nobody answers behind the recorded serial line; the reader is not asked.
    assert (row["address"], row["status"]) == ("usb:1209:0001/SN-0042", "present")
    assert row["also"] == ["serial:/dev/ttyACM0"]  # umockdev's /dev is not the one in which udev made its links
    assert not [each for each in findings["findings"] if each["check"] in ("permission", "busy-port", "udev-rules")]
