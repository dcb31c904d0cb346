"""Selection, classes, lengths, cut replies, and the secure channel: each status word of docs/PROTOCOL.md 3 and 4."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.seams import PowerLost
from firmware_sim.testing import Bench, Host, make_bench
from provision.wire import oath, reference, reference_oath, scp03
from provision.wire.apdu import Command, Sw, encode_command
from provision.wire.oath import HashKind, Ins, OathKind

OATH, MANAGEMENT = oath.OATH_AID, reference.MANAGEMENT_AID
LIST = Command(0, Ins.LIST, 0, 0, b"", 256)
FIRMWARE_LONGEST = 4096
LEVELS = list(scp03.Level)


@pytest.fixture
def host(bench: Bench) -> Host:
    return Host(bench.token.open_channel())


def totp(name: str) -> bytes:
    return reference_oath.Put(name, OathKind.TOTP, HashKind.SHA1, 6, b"12345678901234567890").encode()


def fill(host: Host, count: int) -> None:
    host.open()
    for number in range(count):
        assert host.secure(Ins.PUT, data=totp(f"{number:02d}".ljust(oath.MAX_NAME, "x"))).sw == Sw.OK


# Selection


def test_select_tells_version_and_device_id(bench: Bench, host: Host) -> None:
    answer = host.select()
    assert answer.sw == Sw.OK
    assert answer.data.hex() == "7903050700" + "7108" + str(bench.token.inspect()["device_id"])
    assert host.select(MANAGEMENT) == (b"", Sw.OK)


@pytest.mark.parametrize("aid", [OATH, OATH[:5], MANAGEMENT, MANAGEMENT[:5]])
def test_an_aid_may_be_cut_to_five_bytes(host: Host, aid: bytes) -> None:
    assert host.select(aid).sw == Sw.OK


@pytest.mark.parametrize("aid", [b"", OATH[:4], OATH + b"\0", b"\xa0\0\0\0\x03", OATH[1:]])
def test_an_unknown_aid_leaves_the_selection_but_not_the_rights(host: Host, aid: bytes) -> None:
    host.open()
    host.send(Ins.SET_PIN, data=reference_oath.Pin(b"123456").encode())
    host.send(Ins.VERIFY_PIN, data=reference_oath.Pin(b"123456").encode())
    guarded = reference_oath.Put(
        "a",
        oath.OathKind.TOTP,
        oath.HashKind.SHA1,
        6,
        bytes(20),
        timing=reference_oath.Timing(30, 0, reference_oath.Flag.PIN),
    )
    assert host.secure(Ins.PUT, data=guarded.encode()).sw == Sw.OK
    code = Command(0, Ins.CALCULATE, 0, 1, oath.Calculate("a", 1).encode(), 256)
    assert host.exchange(code).sw == Sw.OK
    assert host.select(aid).sw == Sw.FILE_NOT_FOUND
    assert host.exchange(code).sw == Sw.SECURITY_STATUS_NOT_SATISFIED
    assert host.exchange(LIST).sw == Sw.OK
    assert host.exchange(host.wrap(Ins.LIST)).sw == Sw.CONDITIONS_NOT_SATISFIED


def test_select_has_no_other_p2(host: Host) -> None:
    assert host.exchange(Command(0, 0xA4, 4, 0x0C, OATH)).sw == Sw.INCORRECT_P1_P2


def test_nothing_is_selected_at_first_nor_after_a_reset(host: Host) -> None:
    assert host.exchange(LIST).sw == Sw.INS_NOT_SUPPORTED
    host.select()
    assert host.exchange(LIST).sw == Sw.OK
    host.channel.reset()
    assert host.exchange(LIST).sw == Sw.INS_NOT_SUPPORTED


def test_channels_share_nothing(bench: Bench, host: Host) -> None:
    other = Host(bench.token.open_channel())
    host.open()
    assert other.exchange(LIST).sw == Sw.INS_NOT_SUPPORTED
    other.open()
    assert host.secure(Ins.LIST).sw == Sw.OK
    assert other.secure(Ins.LIST).sw == Sw.OK


# Classes and lengths


@pytest.mark.parametrize(
    ("cla", "sw"),
    [
        (0x10, Sw.CHAINING_NOT_SUPPORTED),
        (0x94, Sw.CHAINING_NOT_SUPPORTED),
        (0x01, Sw.CLA_NOT_SUPPORTED),
        (0x08, Sw.CLA_NOT_SUPPORTED),
        (0xC0, Sw.CLA_NOT_SUPPORTED),
        (0x80, Sw.INS_NOT_SUPPORTED),
        (0x84, Sw.CONDITIONS_NOT_SATISFIED),
        (0x04, Sw.CONDITIONS_NOT_SATISFIED),
    ],
)
def test_classes(host: Host, cla: int, sw: int) -> None:
    host.select()
    assert host.exchange(LIST._replace(cla=cla)).sw == sw
    assert host.exchange(LIST).sw == Sw.OK


@pytest.mark.parametrize("raw", ["", "00", "00A404", "00A4040005A000", "00A1000000000000", "00A100000200"])
def test_a_length_that_is_not_true(host: Host, raw: str) -> None:
    host.select()
    assert host.channel.transmit(bytes.fromhex(raw)) == bytes.fromhex("6700")


def test_the_longest_apdu(host: Host) -> None:
    host.select()
    unknown = Command(0, 0xEE, 0, 0, bytes(FIRMWARE_LONGEST - 7), None, True)
    assert len(encode_command(unknown)) == FIRMWARE_LONGEST
    assert host.exchange(unknown).sw == Sw.INS_NOT_SUPPORTED
    assert host.exchange(unknown._replace(data=unknown.data + b"\0")).sw == Sw.WRONG_LENGTH


def test_data_where_none_belongs(host: Host) -> None:
    host.select()
    assert host.exchange(LIST._replace(data=b"\1")).sw == Sw.WRONG_LENGTH


@pytest.mark.parametrize(
    ("aid", "ins"), [(OATH, Ins.LIST), (OATH, Ins.CALCULATE), (MANAGEMENT, reference.Ins.GET_INFO)]
)
def test_wrong_p1_p2(host: Host, aid: bytes, ins: int) -> None:
    host.select(aid)
    assert host.send(ins, 0, 2).sw == Sw.INCORRECT_P1_P2
    assert host.send(ins, 1, 0).sw == Sw.INCORRECT_P1_P2


def test_secure_instructions_say_so_before_anything_else(host: Host) -> None:
    for aid, instructions in (
        (OATH, (Ins.PUT, Ins.DELETE, Ins.RESET, Ins.RENAME, Ins.CHECK_VALUE)),
        (
            MANAGEMENT,
            (
                reference.Ins.SET_TIME,
                reference.Ins.SET_LABEL,
                reference.Ins.RESET_RETRY_COUNTER,
                reference.Ins.PUT_KEY,
                reference.Ins.FACTORY_RESET,
            ),
        ),
    ):
        host.open(aid)
        for ins in instructions:
            assert host.send(ins, 9, 9, b"?").sw == Sw.SECURITY_STATUS_NOT_SATISFIED


# Replies longer than Le


def test_a_long_reply_comes_in_pieces(host: Host) -> None:
    fill(host, 40)
    whole = host.exchange(LIST._replace(le=65536)).data
    assert len(whole) == 40 * (2 + 1 + oath.MAX_NAME)
    first = host.channel.transmit(encode_command(LIST._replace(le=None)))
    assert first == whole[:256] + b"\x61\x00"
    got, more = first[:-2], Command(0, Ins.SEND_REMAINING, 0, 0, b"", 100)
    while first[-2] == 0x61:
        first = host.channel.transmit(encode_command(more))
        assert first is not None
        got += first[:-2]
        if len(whole) - len(got) < 256:
            assert first[-2:] in (bytes((0x61, len(whole) - len(got))), b"\x90\x00")
    assert got == whole
    assert host.exchange(more).sw == Sw.CONDITIONS_NOT_SATISFIED


def test_no_reply_is_longer_than_the_longest_apdu(host: Host) -> None:
    fill(host, 64)
    reply = host.channel.transmit(encode_command(LIST._replace(le=65536)))
    assert reply is not None
    assert len(reply) == FIRMWARE_LONGEST
    assert reply[-2:] == bytes((0x61, 64 * 67 - 4094))


@pytest.mark.parametrize(
    "between", [LIST, Command(0, 0xEE, 0, 0), Command(0x10, 0, 0, 0), Command(0, 0xA4, 4, 0, OATH)]
)
def test_any_other_command_drops_what_was_waiting(host: Host, between: Command) -> None:
    fill(host, 3)
    assert host.channel.transmit(encode_command(LIST._replace(le=10))) is not None
    host.channel.transmit(encode_command(between._replace(le=256)))
    assert host.exchange(Command(0, Ins.SEND_REMAINING, 0, 0)).sw == Sw.CONDITIONS_NOT_SATISFIED


def test_send_remaining_has_a_form(host: Host) -> None:
    fill(host, 3)
    host.channel.transmit(encode_command(LIST._replace(le=10)))
    assert host.exchange(Command(0, Ins.SEND_REMAINING, 0, 1)).sw == Sw.INCORRECT_P1_P2
    assert host.exchange(Command(0, Ins.SEND_REMAINING, 0, 0, b"x")).sw == Sw.WRONG_LENGTH


def test_of_a_secured_reply_the_wrapped_form_is_cut(host: Host) -> None:
    fill(host, 40)
    whole = host.exchange(LIST._replace(le=65536)).data
    command = host.wrap(Ins.LIST)._replace(le=200)
    assert host.unwrap(host.exchange(command)).data == whole


# The secure channel


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("aid", [OATH, MANAGEMENT])
def test_both_levels_in_both_applets(host: Host, level: scp03.Level, aid: bytes) -> None:
    assert host.open(aid, level=level).sw == Sw.OK
    for _ in range(3):
        plain = host.send(Ins.LIST if aid == OATH else reference.Ins.GET_INFO)
        assert host.secure(Ins.LIST if aid == OATH else reference.Ins.GET_INFO) == plain


def test_initialize_update_tells_who_it_is(bench: Bench, host: Host) -> None:
    host.select()
    answer = host.exchange(Command(0x80, 0x50, 0xFF, 0, bytes(8), 256))
    reply = scp03.InitializeUpdateReply.decode(answer.data)
    assert reply.diversification.hex() == str(bench.token.inspect()["device_id"]) + "0000"
    assert reply.kvn == 0xFF
    again = scp03.InitializeUpdateReply.decode(host.exchange(Command(0x80, 0x50, 0, 0, bytes(8), 256)).data)
    assert again.card_challenge != reply.card_challenge


@pytest.mark.parametrize(
    ("command", "sw"),
    [
        (Command(0x80, 0x50, 0x01, 0, bytes(8)), Sw.REFERENCE_NOT_FOUND),
        (Command(0x80, 0x50, 0, 1, bytes(8)), Sw.INCORRECT_P1_P2),
        (Command(0x80, 0x50, 0, 0, bytes(7)), Sw.WRONG_LENGTH),
        (Command(0x80, 0x50, 0, 0), Sw.WRONG_LENGTH),
        (Command(0x00, 0x50, 0, 0, bytes(8)), Sw.INS_NOT_SUPPORTED),
    ],
)
def test_an_initialize_update_that_is_refused_leaves_the_session(host: Host, command: Command, sw: int) -> None:
    host.open()
    assert host.exchange(command).sw == sw
    assert host.secure(Ins.LIST).sw == Sw.OK


def test_initialize_update_needs_an_applet(host: Host) -> None:
    assert host.exchange(Command(0x80, 0x50, 0, 0, bytes(8))).sw == Sw.INS_NOT_SUPPORTED


def test_initialize_update_ends_the_session_before(host: Host) -> None:
    host.open()
    assert host.exchange(Command(0x80, 0x50, 0, 0, bytes(8))).sw == Sw.OK
    assert host.exchange(host.wrap(Ins.LIST)).sw == Sw.CONDITIONS_NOT_SATISFIED


def test_wrong_keys(bench: Bench, host: Host) -> None:
    host.keys = scp03.KeySet(bytes(16), bytes(16), bytes(16))
    assert host.open().sw == Sw.AUTHENTICATION_FAILED
    assert host.exchange(host.wrap(Ins.LIST)).sw == Sw.CONDITIONS_NOT_SATISFIED


def test_a_right_mac_over_a_wrong_cryptogram(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the host's only: the token's own copy is kept right."""
    right = scp03.host_cryptogram
    made: list[bytes] = []

    def once_right(*args: bytes) -> bytes:
        made.append(right(*args))  # type: ignore[arg-type]  # passed through
        return made[0] if len(made) == 1 else bytes(8)

    monkeypatch.setattr(scp03, "host_cryptogram", once_right)
    assert host.open().sw == Sw.AUTHENTICATION_FAILED
    assert len(made) == 2


@pytest.mark.parametrize("spoiled", range(16))
def test_a_wrong_bit_in_cryptogram_or_mac(host: Host, spoiled: int) -> None:
    """Whichever half is wrong; and the right one does not work afterwards."""
    sent: list[Command] = []
    exchange = host.exchange

    def spoil(command: Command):  # type: ignore[no-untyped-def]  # a spy
        if command.ins == 0x82:
            sent.append(command)
            data = bytearray(command.data)
            data[spoiled] ^= 0x10
            command = command._replace(data=bytes(data))
        return exchange(command)

    host.exchange = spoil  # type: ignore[method-assign]  # a spy
    assert host.open().sw == Sw.AUTHENTICATION_FAILED
    assert exchange(sent[0]).sw == Sw.CONDITIONS_NOT_SATISFIED


@pytest.mark.parametrize(
    ("p1", "p2", "size", "sw"),
    [
        (0x00, 0, 16, Sw.INCORRECT_P1_P2),
        (0x03, 0, 16, Sw.INCORRECT_P1_P2),
        (0x33, 1, 16, Sw.INCORRECT_P1_P2),
        (0x33, 0, 15, Sw.WRONG_LENGTH),
        (0x33, 0, 0, Sw.WRONG_LENGTH),
    ],
)
def test_an_external_authenticate_of_wrong_form_may_be_mended(host: Host, p1: int, p2: int, size: int, sw: int) -> None:
    sent: list[int] = []
    exchange = host.exchange

    def before(command: Command):  # type: ignore[no-untyped-def]  # a spy
        if command.ins == 0x82:
            sent.append(exchange(Command(0x84, 0x82, p1, p2, bytes(size))).sw)
        return exchange(command)

    host.exchange = before  # type: ignore[method-assign]  # a spy
    assert host.open().sw == Sw.OK
    assert sent == [sw]


def test_a_wrong_mac_ends_the_session(host: Host) -> None:
    host.open()
    good = host.wrap(Ins.LIST)
    assert host.exchange(good._replace(data=good.data[:-1] + bytes((good.data[-1] ^ 1,)))).sw == Sw.INCORRECT_SM_DATA
    assert host.exchange(good).sw == Sw.CONDITIONS_NOT_SATISFIED


@pytest.mark.parametrize("data", [b"", b"1234567"])
def test_too_short_for_a_mac(host: Host, data: bytes) -> None:
    host.open()
    assert host.exchange(Command(0x84, Ins.LIST, 0, 0, data)).sw == Sw.INCORRECT_SM_DATA


def test_a_repeated_command_is_a_wrong_mac(host: Host) -> None:
    host.open()
    command = host.wrap(Ins.PUT, data=totp("a"))
    assert host.exchange(command).sw == Sw.OK
    assert host.exchange(command).sw == Sw.INCORRECT_SM_DATA


@pytest.mark.parametrize("body", [bytes(15), bytes(16), b"\xff" * 32])
def test_a_right_mac_over_nonsense_is_wrong_data_and_the_session_goes_on(host: Host, body: bytes) -> None:
    host.open()
    host.counter += 1
    assert host.exchange(host.sign(Command(0x84, Ins.PUT, 0, 0, body))).sw == Sw.WRONG_DATA
    assert host.secure(Ins.LIST).sw == Sw.OK


def test_refusals_come_bare_and_the_session_goes_on(host: Host) -> None:
    host.open()
    assert host.exchange(host.wrap(Ins.DELETE, data=oath.Name("no").encode())) == (b"", Sw.NO_SUCH_OBJECT)
    assert host.exchange(host.wrap(0xEE)) == (b"", Sw.INS_NOT_SUPPORTED)
    assert host.secure(Ins.PUT, data=totp("a")).sw == Sw.OK


def test_warnings_carry_a_mac(host: Host) -> None:
    host.open()
    host.secure(Ins.SET_PIN, data=reference_oath.Pin(b"123456").encode())
    raw = host.exchange(host.wrap(Ins.VERIFY_PIN, data=reference_oath.Pin(b"000000").encode()))
    assert len(raw.data) == scp03.MAC_SIZE
    assert host.unwrap(raw) == (b"", 0x63C7)


def test_empty_data_may_be_a_block_of_padding(host: Host) -> None:
    host.open()
    host.counter += 1
    assert host.session is not None
    padding = scp03.encrypt(host.session, host.counter, b"")
    assert host.unwrap(host.exchange(host.sign(Command(0x84, Ins.LIST, 0, 0, padding, 256)))).sw == Sw.OK


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("cla", [0x84, 0x04])
def test_class_and_length_field_are_maced_as_they_are_sent(host: Host, cla: int, extended: bool) -> None:
    host.open()
    host.counter += 1
    assert host.session is not None
    body = scp03.encrypt(host.session, host.counter, totp("a"))
    answer = host.exchange(host.sign(Command(cla, Ins.PUT, 0, 0, body, None, extended)))
    assert host.unwrap(answer).sw == Sw.OK


def test_plain_commands_inside_a_session_leave_it_alone(host: Host) -> None:
    host.open()
    assert host.send(Ins.PUT, data=totp("a")).sw == Sw.SECURITY_STATUS_NOT_SATISFIED
    assert host.exchange(LIST).sw == Sw.OK
    assert host.secure(Ins.PUT, data=totp("a")).sw == Sw.OK


# Power


def test_without_power_there_is_no_answer(bench: Bench, host: Host) -> None:
    host.open()
    boot_id = bench.token.boot_id
    bench.token.power_off()
    with pytest.raises(PowerLost):
        host.exchange(LIST)
    with pytest.raises(PowerLost):
        _ = bench.token.boot_id
    assert host.channel.poll() is None
    assert host.channel.deadline is None
    bench.token.power_on()
    assert bench.token.boot_id != boot_id
    assert host.exchange(LIST).sw == Sw.INS_NOT_SUPPORTED
    assert host.exchange(Command(0x84, Ins.LIST, 0, 0, bytes(8))).sw == Sw.CONDITIONS_NOT_SATISFIED


def test_switching_twice_is_switching_once(bench: Bench) -> None:
    boot_id = bench.token.boot_id
    bench.token.power_on()
    assert bench.token.boot_id == boot_id
    bench.token.power_off()
    bench.token.power_off()
    assert not bench.token.powered


def test_a_channel_may_open_before_the_power_comes(bench: Bench) -> None:
    bench.token.power_off()
    host = Host(bench.token.open_channel())
    bench.token.power_on()
    assert host.select().sw == Sw.OK


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), max_size=12), st.sampled_from(LEVELS))
def test_any_mixture_of_plain_and_secured(secured: list[bool], level: scp03.Level) -> None:
    bench = make_bench()
    bench.token.power_on()
    host = Host(bench.token.open_channel())
    host.open(level=level)
    for number, secure in enumerate(secured):
        if secure:
            assert host.secure(Ins.PUT, data=totp(f"{number}")).sw == Sw.OK
        else:
            names = [name for _, _, name in oath.Listing.decode(host.exchange(LIST).data).entries]
            assert names == [str(n) for n in range(number) if secured[n]]
