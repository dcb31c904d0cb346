"""provision.wire against tests/vectors/protocol.json, which was computed from docs/PROTOCOL.md by other code.

`published` is a real card's SCP03 dialogue, printed by pySim; it holds both this project's code and the file's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from provision.wire import apdu, framing, globalplatform, oath, reference_oath, scp03
from provision.wire.apdu import Response
from provision.wire.reference import MANAGEMENT_AID

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("protocol.json").read_text(encoding="utf-8"))
SCP03: dict[str, Any] = VECTORS["scp03"]
PUBLISHED: dict[str, Any] = VECTORS["published"]
HASHES = {"sha1": oath.HashKind.SHA1, "sha256": oath.HashKind.SHA256, "sha512": oath.HashKind.SHA512}


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


def key_set(source: dict[str, str]) -> scp03.KeySet:
    return scp03.KeySet(raw(source["key_enc"]), raw(source["key_mac"]), raw(source["key_dek"]))


class BothSides:
    """One SCP03 session as either side computes it with the pure functions of wire/scp03."""

    def __init__(self, keys: scp03.KeySet, host_challenge: bytes, card_challenge: bytes) -> None:
        self.session = scp03.session_keys(keys, host_challenge, card_challenge)
        self.challenges = (host_challenge, card_challenge)
        self.chain = scp03.INITIAL_CHAIN
        self.counter = 0

    def external_authenticate(self, level: int) -> bytes:
        cryptogram = scp03.host_cryptogram(self.session, *self.challenges)
        return self._with_mac(apdu.Command(0x84, globalplatform.INS_EXTERNAL_AUTHENTICATE, level, 0, cryptogram))

    def wrap(self, plain: apdu.Command) -> bytes:
        self.counter += 1
        data = scp03.encrypt(self.session, self.counter, plain.data) if plain.data else b""
        return self._with_mac(plain._replace(cla=plain.cla | 0x04, data=data))

    def wrap_reply(self, plain: Response, *, encrypted: bool) -> bytes:
        data = plain.data
        if data and encrypted:
            data = scp03.encrypt(self.session, self.counter, data, response=True)
        mac = scp03.response_mac(self.session, self.chain, data, plain.sw)
        return apdu.encode_response(Response(data + mac, plain.sw))

    def _with_mac(self, command: apdu.Command) -> bytes:
        self.chain = scp03.command_mac(self.session, self.chain, command)
        return apdu.encode_command(command._replace(data=command.data + self.chain[: scp03.MAC_SIZE]))


@pytest.mark.parametrize("vector", VECTORS["cobs"])
def test_cobs_decodes_either_form(vector: dict[str, str]) -> None:
    forms = [vector["encoded"], *([vector["also"]] if "also" in vector else [])]
    assert [framing.cobs_decode(raw(form)) for form in forms] == [raw(vector["data"])] * len(forms)
    assert framing.cobs_encode(raw(vector["data"])).hex() in forms


@pytest.mark.parametrize("vector", VECTORS["frames"])
def test_frames(vector: dict[str, Any]) -> None:
    frame = framing.Frame(vector["kind"], vector["sequence"], vector["session"], raw(vector["payload"]))
    assert framing.decode_frame(raw(vector["encoded"])[:-1]) == frame
    assert list(framing.Decoder().feed(raw(vector["encoded"]))) == [frame]
    assert framing.encode_frame(*frame).hex() == vector["encoded"]


def test_applet_identifiers() -> None:
    assert {"oath": oath.OATH_AID.hex(), "management": MANAGEMENT_AID.hex()} == VECTORS["aids"]


def test_session_keys_and_cryptograms() -> None:
    host, card = raw(SCP03["host_challenge"]), raw(SCP03["card_challenge"])
    session = scp03.session_keys(key_set(SCP03), host, card)
    assert (session.enc.hex(), session.mac.hex(), session.rmac.hex()) == (
        SCP03["s_enc"],
        SCP03["s_mac"],
        SCP03["s_rmac"],
    )
    assert scp03.card_cryptogram(session, host, card).hex() == SCP03["card_cryptogram"]
    assert scp03.host_cryptogram(session, host, card).hex() == SCP03["host_cryptogram"]
    reply = scp03.InitializeUpdateReply.decode(raw(SCP03["initialize_update_reply"]))
    assert reply == scp03.InitializeUpdateReply(bytes(range(8)) + bytes(2), 5, card, raw(SCP03["card_cryptogram"]))
    assert reply.encode().hex() == SCP03["initialize_update_reply"]


@pytest.mark.parametrize("dialogue", SCP03["dialogues"], ids=lambda dialogue: f"level {dialogue['level']:02X}")
def test_secured_dialogue(dialogue: dict[str, Any]) -> None:
    sides = BothSides(key_set(SCP03), raw(SCP03["host_challenge"]), raw(SCP03["card_challenge"]))
    assert sides.external_authenticate(dialogue["level"]).hex() == dialogue["external_authenticate"]
    for vector in dialogue["commands"]:
        cla, ins, p1, p2 = raw(vector["header"])
        plain = apdu.Command(cla, ins, p1, p2, raw(vector["data"]), vector["le"], vector["extended"])
        assert sides.wrap(plain).hex() == vector["wrapped"]
        assert sides.chain.hex() == vector["chaining_value"]
        sent = apdu.decode_command(raw(vector["wrapped"]))
        assert (sent.le, sent.extended) == (vector["le"], vector["extended"])
        if plain.data:
            decrypted = scp03.decrypt(sides.session, sides.counter, sent.data[: -scp03.MAC_SIZE])
            assert decrypted == plain.data
        if vector["wrapped_reply"] != vector["reply"]:
            reply = sides.wrap_reply(apdu.decode_response(raw(vector["reply"])), encrypted=dialogue["level"] == 0x33)
            assert reply.hex() == vector["wrapped_reply"]


def test_a_real_cards_dialogue() -> None:
    update = scp03.InitializeUpdateReply.decode(raw(PUBLISHED["initialize_update_reply"])[:29])
    host = raw(PUBLISHED["host_challenge"])
    sides = BothSides(key_set(PUBLISHED), host, update.card_challenge)
    assert scp03.card_cryptogram(sides.session, host, update.card_challenge) == update.card_cryptogram
    assert sides.external_authenticate(0x33).hex() == PUBLISHED["external_authenticate"]
    for vector in PUBLISHED["commands"]:
        assert sides.wrap(apdu.decode_command(raw(vector["plain"]))).hex() == vector["wrapped"]
        if "plain_reply" in vector:
            reply = sides.wrap_reply(apdu.decode_response(raw(vector["plain_reply"])), encrypted=True)
            assert reply.hex() == vector["wrapped_reply"]
    keys = key_set(PUBLISHED)
    checks = [scp03.key_check_value(key).hex() for key in (keys.enc, keys.mac, keys.dek)]
    assert checks == PUBLISHED["key_check_values"]


def test_put_key() -> None:
    vector = VECTORS["put_key"]
    new = scp03.KeySet(raw(vector["new_enc"]), raw(vector["new_mac"]), raw(vector["new_dek"]))
    data = scp03.encode_put_key(vector["new_version"], new, raw(vector["current_dek"]))
    assert data.hex() == vector["data"]
    assert scp03.decode_put_key(data, raw(vector["current_dek"])) == (vector["new_version"], new)
    assert scp03.put_key_receipt(vector["new_version"], new).hex() == vector["reply"]


@pytest.mark.parametrize("vector", VECTORS["oath"], ids=lambda vector: vector["algorithm"])
def test_put_calculate_and_check_value(vector: dict[str, Any]) -> None:
    put = reference_oath.Put(vector["name"], oath.OathKind.TOTP, HASHES[vector["algorithm"]], 8, raw(vector["secret"]))
    own_clock = reference_oath.Put(
        vector["name"],
        put.kind,
        put.hash,
        put.digits,
        put.secret,
        timing=reference_oath.Timing(30, 0, reference_oath.Flag.OWN_CLOCK),
    )
    for message, data in ((put, vector["put_data"]), (own_clock, vector["put_data_own_clock"])):
        assert message.encode().hex() == data
        assert reference_oath.Put.decode(raw(data)) == message
    for code in vector["codes"]:
        assert oath.Calculate(vector["name"], code["time_s"] // 30).encode().hex() == code["challenge_data"]
        with_clock = reference_oath.CalculateReply.decode(raw(code["own_clock_reply"]))
        assert with_clock.device_time_us == code["time_s"] * 1_000_000
        assert with_clock.code == code["code"]
        assert with_clock.encode().hex() == code["own_clock_reply"]
        by_host = reference_oath.CalculateReply.decode(raw(code["truncated_reply"]))
        assert (by_host.value, by_host.device_time_us) == (with_clock.value, None)
    check = reference_oath.CheckValue(vector["name"], raw(vector["nonce"]))
    assert check.encode().hex() == vector["check_value_data"]
    assert reference_oath.CheckValue.decode(raw(vector["check_value_data"])) == check
