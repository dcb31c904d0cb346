"""Token2's wire against numbers that others published: SM4 itself, the specification's own, and keyroost's, which were
made with an independent SM4 (gmssl) and tried on hardware."""

from __future__ import annotations

import pytest

from provision.wire import molto2, sm4_secure, token2
from provision.wire.apdu import Command, encode_command
from provision.wire.sm4_secure import DisplayTimeout, HashKind

KEY = bytes.fromhex("099250FDB017F442DA429ECBBEE17F79")
CHALLENGE = bytes.fromhex("1122334455667788")
LONG_SEED = (
    "84C5010034B830899CFE9DE292CD26D3C7439215CE18503D57AC31735AFA60EBA20F64D6F7D219EFC9972FED9191DF027FD36A80B0880D59FA"
)


def sent(command: Command) -> str:
    return encode_command(command).hex().upper()


def test_sm4_itself() -> None:
    """GB/T 32907-2016, appendix A.1."""
    block = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
    assert sm4_secure.encrypt(block, block).hex().upper() == "681EDF34D206965E86B3E94F536E4246"


def test_sm4_a_million_times_would_take_long_so_a_thousand_there_and_back() -> None:
    block = start = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
    for _ in range(1000):
        block = sm4_secure.encrypt(start, block)
    for _ in range(1000):
        block = sm4_secure.decrypt(start, block)
    assert block == start


# Molto2v2: token2/molto2-tools docs/MOLTO2-PROTOCOL.md, tests/test_molto2.py; keyroost known_answer_vs_python.rs


def test_the_default_customer_keys_sm4_key() -> None:
    assert molto2.sm4_key(b"TOKEN2MOLTO1-KEY") == KEY


@pytest.mark.parametrize(
    ("command", "published"),
    [
        (molto2.info_command(), "8041000000"),
        (molto2.public_data_command(99), "804100630170"),
        (molto2.challenge_command(), "804B080000"),
        (molto2.authenticate_command(KEY, CHALLENGE), "80CE000010550EC1328F963EB02972BB141E1CF521"),
        (molto2.delete_command(99), "80E6006300"),
        (molto2.factory_reset_command(), "8056000000"),
        (molto2.screen_command(locked=True), "80D80C0200"),
        (molto2.screen_command(locked=False), "80D80C020101"),
        (molto2.title_command(KEY, 3, "hello"), "84D5000314AA6492E824DF9E2BE60917D1226AE8965AF94611"),
        (
            sm4_secure.secured(KEY, sm4_secure.Ins.CONFIG, 1, 0, molto2.TimeOnly(0x66123456).encode()),
            "84D401000C81060F046612345642304790",
        ),
    ],
)
def test_molto2_commands(command: Command, published: str) -> None:
    assert sent(command) == published


def test_molto2_configuration() -> None:
    config = molto2.Config(1_700_000_000, HashKind.SHA1, 6, 30, DisplayTimeout.LONG)
    assert config.encode().hex() == "81141f01020f046553f10086090a01010b01060d011e"


def test_molto2_public_data_as_a_device_gave_it() -> None:
    """keyroost public_data_kat.rs: profile 99, its two times replaced by constants there."""
    title = b"KRPROBE99".ljust(16, b"\0").hex()
    data = molto2.PublicData.decode(bytes.fromhex(f"951F701D20{title}00000E1000015180011E0601"))
    assert data == molto2.PublicData(b"KRPROBE99", 0x0E10, 0x15180, 1, 30, 6, True, 0x20)


def test_molto2_mac_without_padding_where_none_is_needed() -> None:
    """Specification, section 4: an input of whole blocks gets no padding block."""
    body = bytes(11)  # 5 bytes of header before it
    block = sm4_secure.encrypt(KEY, bytes((0x80, 0xD4, 1, 0, len(body))) + body)
    assert sm4_secure.command_mac(KEY, 0xD4, 1, 0, body) == block[:4]


def test_molto2_new_key_is_wrapped_under_the_old() -> None:
    """Specification, section 5.2: 00, the key, 80, fourteen zeros... of two blocks."""
    new = molto2.sm4_key(b"sixteen letters!")
    command = molto2.customer_key_command(KEY, new)
    assert (command.cla, command.ins, command.p1, command.p2, len(command.data)) == (0x84, 0xD7, 0, 0, 36)
    assert sm4_secure.decrypt(KEY, command.data[:32]) == b"\0" + new + b"\x80" + bytes(14)


def test_molto2_clearing_seed() -> None:
    """Specification, section 5.2: an all-zero seed is padded with zeros alone, and clears."""
    assert sm4_secure.seed_in(KEY, sm4_secure.encrypt(KEY, bytes(32))) == b""


# One profile: keyroost docs/PROTOCOL-token2prog.md and the golden bytes of crates/keyroost-token2prog/src/lib.rs


@pytest.mark.parametrize(
    ("command", "published"),
    [
        (token2.info_command(), "80410000020211"),
        (token2.challenge_command(), "804B08000100"),
        (token2.authenticate_command(CHALLENGE), "80CE0000108B7450F22721BC29985C2C460B65045D"),
        (
            token2.seed_command(bytes(range(0x01, 0x15))),
            "84C50100246EEAD21474BBF3A0A2B4C18F489E543CF48725A71EE9C3A65963E88BE9405E3D5F6EA0C1",
        ),
        (
            token2.seed_command(bytes(range(0x10, 0x30))),
            LONG_SEED,
        ),
        (
            token2.config_command(token2.Config(0x65432100, HashKind.SHA256, 60, DisplayTimeout.LONG)),
            "84D400001781111F01020F046543210086060A01020D013C37A18BF9",
        ),
    ],
)
def test_token2_commands(command: Command, published: str) -> None:
    assert sent(command) == published


@pytest.mark.parametrize(
    ("serial", "model", "restricted"),
    [("86596220000001", "OTPC-P2-i", True), ("865963200000", "C302-i", False), ("8659610999", "C301-i", True)],
)
def test_models_by_serial(serial: str, model: str, restricted: bool) -> None:
    found = token2.model_of(serial)
    assert found is not None and (found.name, found.restricted_sync) == (model, restricted)


def test_an_unknown_serial_has_no_model() -> None:
    assert token2.model_of("8659699000") is None
