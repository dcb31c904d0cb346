"""What a host does in the OATH applet, in a line each."""

from __future__ import annotations

from firmware_sim.testing import Host
from provision.wire import oath, reference_oath
from provision.wire.apdu import Sw
from provision.wire.oath import HashKind, Ins, OathKind
from provision.wire.reference_oath import Flag, Timing

SECRET = b"12345678901234567890"
PIN = b"123456"
OWN = Timing(30, 0, Flag.OWN_CLOCK)


def put(host: Host, name: str = "a", *, kind: OathKind = OathKind.TOTP, secret: bytes = SECRET, **more: object) -> int:
    new = reference_oath.Put(name, kind, HashKind.SHA1, 6, secret, **more)  # type: ignore[arg-type]  # fields of Put
    return host.secure(Ins.PUT, data=new.encode()).sw


def calculate(host: Host, name: str = "a", step: int | None = None, *, p2: int = 1) -> tuple[bytes, int]:
    return host.send(Ins.CALCULATE, 0, p2, oath.Calculate(name, step).encode())


def record(host: Host, name: str = "a") -> reference_oath.CredentialRecord:
    return reference_oath.CredentialRecord.decode(host.send(Ins.GET_CREDENTIAL, data=oath.Name(name).encode()).data)


def names(host: Host) -> list[str]:
    return [name for _, _, name in oath.Listing.decode(host.send(Ins.LIST).data).entries]


def verify(host: Host) -> None:
    host.send(Ins.SET_PIN, data=reference_oath.Pin(PIN).encode())
    assert host.send(Ins.VERIFY_PIN, data=reference_oath.Pin(PIN).encode()).sw == Sw.OK
