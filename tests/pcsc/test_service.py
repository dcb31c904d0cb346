"""`provision` and pcscd: a token in a reader, from both sides, and what happens when either goes."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.pcsc.room import Room

pytestmark = pytest.mark.pcsc


def serial_of(room: Room, address: str) -> str:
    done = room.provision("info", "--token", address, "--json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["serial"])


def test_the_whole_demo(room: Room) -> None:
    """Programmed with the cable pulled in the middle, used, aged, its clock set, handed back: all through pcscd."""
    done = room.run(sys.executable, "-m", "provision", "demo", "--link", "vpcd")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"(\d+) of \1 steps as promised", done.stdout)
    assert "pcsc:Virtual PCD 00 00" in done.stdout


def test_the_address_that_the_simulator_tells_is_the_readers(room: Room) -> None:
    with room.token() as token:
        assert token.address == "pcsc:Virtual PCD 00 00"
        assert serial_of(room, token.address) == token.serial


def test_a_part_of_the_name_is_enough_and_the_empty_slot_is_skipped(room: Room) -> None:
    with room.token() as token:
        assert serial_of(room, "pcsc:virtual") == token.serial
        empty = room.provision("info", "--token", "pcsc:Virtual PCD 00 01")
        assert (empty.returncode, "no card in the reader Virtual PCD 00 01" in empty.stderr) == (3, True)


def test_two_tokens_are_told_apart(room: Room) -> None:
    with room.token() as one, room.token(slot=1) as two:
        assert serial_of(room, one.address) == one.serial
        assert serial_of(room, two.address) == two.serial
        both = room.provision("info", "--token", "pcsc:Virtual PCD")
        assert both.returncode == 2
        assert "Virtual PCD 00 00, Virtual PCD 00 01" in both.stderr


def test_rooms_do_not_hear_each_other(room: Room, tmp_path: Path) -> None:
    other = Room(tmp_path, "Virtual PCD")
    try:
        with room.token() as here, other.token() as there:
            assert here.serial != there.serial
            assert serial_of(room, here.address) == here.serial
            assert serial_of(other, there.address) == there.serial
    finally:
        other.close()


def test_a_reader_in_use_is_busy(room: Room) -> None:
    hold = (
        "import sys; from smartcard.scard import *; _, context = SCardEstablishContext(SCARD_SCOPE_SYSTEM);"
        "code, *_ = SCardConnect(context, sys.argv[1], SCARD_SHARE_SHARED, SCARD_PROTOCOL_T1); print(code, flush=True);"
        "sys.stdin.read()"
    )
    with room.token() as token:
        other = room.start(sys.executable, "-c", hold, token.reader)
        assert other.stdout is not None
        assert other.stdout.readline() == "0\n"
        refused = room.provision("info", "--token", token.address)
        other.communicate()
        assert (refused.returncode, "in use by another program" in refused.stderr) == (3, True)
        assert serial_of(room, token.address) == token.serial


def test_pcscd_may_be_restarted(room: Room) -> None:
    with room.token() as token:
        assert serial_of(room, token.address) == token.serial
        room.stop_service()
        stopped = room.provision("info", "--token", token.address)
        room.start_service()
        room.wait_for_card(token.reader)
        assert serial_of(room, token.address) == token.serial
    assert (stopped.returncode, "the PC/SC service does not run" in stopped.stderr) == (3, True)


def test_a_token_without_power_is_no_card(room: Room) -> None:
    with room.token() as token:
        token.control.request("power", state="off")
        room.wait_for_card(token.reader, "absent")
        off = room.provision("info", "--token", token.address)
        token.control.request("power", state="on")
        room.wait_for_card(token.reader)
        assert serial_of(room, token.address) == token.serial
    assert (off.returncode, "no card" in off.stderr) == (3, True)


def test_a_token_that_restarts_under_a_program_is_a_card_again(room: Room) -> None:
    """pcscd takes a card that is back before it was missed for the one of before, and a mute one at that."""
    with room.token() as token:
        for _ in range(3):
            token.control.request("power", state="off")
            broken = room.provision("info", "--token", token.address)
            token.control.request("power", state="on")
            assert broken.returncode == 3
            # Twice at most: pcscd may not have missed the token yet, and the first one finds that out.
            again = [room.provision("info", "--token", token.address).returncode for _ in range(2)]
            assert again in ([0, 0], [3, 0])


def test_no_reader_for_the_token(room: Room) -> None:
    done = room.run(sys.executable, "-m", "firmware_sim", "run", "--link", "vpcd", "--dial", "127.0.0.1:40000")
    assert done.returncode == 3
    assert "no virtual reader listens at 127.0.0.1 port 40000" in done.stderr
    assert "vsmartcard-vpcd" in done.stderr
