"""The project's wire code and the reference client's, written apart from one page, agree on any bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from provision.wire import WireError, apdu, framing, scp03, tlv
from tests.foreign import reference_protocol as reference

octets = st.integers(0, 255)
# Runs near COBS's 254 and zeros beside them are where encoders go wrong.
lumps = st.sampled_from([b"\0", b"\x01", b"\x01" * 253, b"\x01" * 254, b"\x01" * 255, b"\x01" * 508])
bodies = st.one_of(st.binary(max_size=600), st.lists(lumps, max_size=5).map(b"".join))
headers = st.binary(min_size=4, max_size=4)
lengths = st.one_of(st.none(), st.integers(1, 256), st.integers(257, 65536))
keys = st.binary(min_size=16, max_size=16)
challenges = st.binary(min_size=8, max_size=8)


@given(bodies)
def test_each_decodes_what_the_other_stuffs(data: bytes) -> None:
    assert framing.cobs_decode(reference.cobs_encode(data)) == data
    assert reference.cobs_decode(framing.cobs_encode(data)) == data


@given(st.one_of(st.binary(min_size=1, max_size=40), bodies.map(framing.cobs_encode)), octets)
def test_both_refuse_the_same_noise(encoded: bytes, damage: int) -> None:
    encoded = bytes([damage]) + encoded[1:]
    ours: bytes | None
    theirs: bytes | None
    try:
        ours = framing.cobs_decode(encoded)
    except WireError:
        ours = None
    try:
        theirs = reference.cobs_decode(encoded)
    except ValueError:
        theirs = None
    assert ours == theirs


@given(octets, octets, st.integers(0, 2**32 - 1), bodies)
def test_each_reads_the_others_frames(kind: int, sequence: int, session: int, payload: bytes) -> None:
    frame = reference.Frame(kind, sequence, session, payload)
    assert tuple(framing.decode_frame(reference.encode_frame(frame)[:-1])) == tuple(frame)
    assert reference.decode_frame(framing.encode_frame(*frame)[:-1]) == frame


@given(headers, bodies, lengths)
def test_commands_are_the_same_bytes(header: bytes, data: bytes, le: int | None) -> None:
    cla, ins, p1, p2 = header
    ours = apdu.encode_command(apdu.Command(cla, ins, p1, p2, data, le))
    assert reference.command_apdu(header, data, le) == ours


@given(st.lists(st.tuples(octets, bodies), max_size=4))
def test_tlvs_are_the_same_bytes(pairs: list[tuple[int, bytes]]) -> None:
    ours = b"".join(tlv.encode(tag, value) for tag, value in pairs)
    assert b"".join(reference.tlv(tag, value) for tag, value in pairs) == ours
    assert reference.parse_tlvs(ours) == pairs


@given(keys, keys, challenges, challenges, headers, bodies, lengths, st.binary(max_size=300))
def test_a_secured_command_and_its_reply(
    enc: bytes,
    mac: bytes,
    host_challenge: bytes,
    card_challenge: bytes,
    header: bytes,
    data: bytes,
    le: int | None,
    reply: bytes,
) -> None:
    """The reference client is the host, provision.wire the token."""
    host = reference.SecureChannel(reference.Keys(enc, mac, enc), host_challenge, card_challenge, 0x33)
    session = scp03.session_keys(scp03.KeySet(enc, mac, enc), host_challenge, card_challenge)
    assert host.card_cryptogram == scp03.card_cryptogram(session, host_challenge, card_challenge)
    chain = scp03.INITIAL_CHAIN
    for counter, wrapped in enumerate([host.external_authenticate(), host.wrap(header, data, le)]):
        command = apdu.decode_command(wrapped)
        body, sent_mac = command.data[:-8], command.data[-8:]
        chain = scp03.command_mac(session, chain, command._replace(data=body))
        assert sent_mac == chain[:8]
        if counter and data:
            assert scp03.decrypt(session, counter, body) == data
    secured = scp03.encrypt(session, 1, reply, response=True) if reply else b""
    secured += scp03.response_mac(session, chain, secured, 0x9000)
    assert host.unwrap(reference.Response(secured, 0x9000)) == reference.Response(reply, 0x9000)
