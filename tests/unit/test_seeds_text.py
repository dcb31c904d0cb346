"""Seeds as people write them: read right or refused by name, and never shown."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import SeedSyntax
from provision.model import Algorithm
from provision.seeds.generate import generate
from provision.seeds.text import MAX_SECRET_BYTES, SeedFormat, parse_seed, parse_seed_file

HEX, BASE32, AUTO = SeedFormat.HEX, SeedFormat.BASE32, SeedFormat.AUTO
seeds = st.binary(min_size=14, max_size=64)


def read(text: str, encoding: SeedFormat = AUTO, **options) -> bytes | SeedSyntax:
    """The seed, or how it was refused."""
    try:
        return parse_seed(text, encoding, **options).reveal()
    except SeedSyntax as error:
        return error


def base32(seed: bytes, *, padded: bool = False) -> str:
    text = base64.b32encode(seed).decode()
    return text if padded else text.rstrip("=")


@st.composite
def grouped(draw, text: str) -> str:
    """`text` as somebody might write it: in groups, in any case."""
    out = "".join(character + draw(st.sampled_from(["", "", "", " ", "-", "  ", "\t"])) for character in text)
    return draw(st.sampled_from([out, out.lower(), f"  {out} "]))


@given(data=st.data(), seed=seeds)
def test_hex_however_it_is_grouped_and_cased(data, seed):
    assert parse_seed(data.draw(grouped(seed.hex())), HEX).reveal() == seed


@given(data=st.data(), seed=seeds, padded=st.booleans())
def test_base32_however_it_is_grouped_cased_and_padded(data, seed, padded):
    assert parse_seed(data.draw(grouped(base32(seed, padded=padded))), BASE32).reveal() == seed


@given(seed=seeds)
def test_auto_reads_right_or_says_that_it_cannot_tell(seed):
    for text in (seed.hex(), base32(seed)):
        found = read(text)
        assert found == seed or "reads as hex and as base32" in found.message


@given(text=st.text(alphabet="ABCDEF234567", min_size=1, max_size=80))
def test_auto_decides_by_length_or_not_at_all(text):
    readings = [found for encoding in (HEX, BASE32) if isinstance(found := read(text, encoding), bytes)]
    if len(readings) == 1:
        assert read(text) == readings[0]
    else:
        assert isinstance(read(text), SeedSyntax)


@given(text=st.text(max_size=60), encoding=st.sampled_from(SeedFormat))
def test_anything_is_read_or_refused_without_being_shown(text, encoding):
    found = read(text, encoding, line=7)
    if isinstance(found, SeedSyntax):
        assert found.line == 7
        assert found.message.startswith("line 7: ")
        compact = "".join(text.split())
        # No word of the messages themselves is as long as this.
        assert len(compact) < 14 or compact not in str(found)


@pytest.mark.parametrize(
    ("text", "encoding", "message"),
    [
        ("3132333435363738393031323334353637383930", BASE32, "base32 expected, but this is hex"),
        ("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", HEX, "hex expected, but this is base32"),
        ("313233343536373839303132333435363738393", HEX, "hex of odd length (39 digits)"),
        ("313233343536373839303132333435363738393", AUTO, "hex of odd length (39 digits)"),
        ("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ", BASE32, "the last base32 digit holds bits"),
        ("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQO", BASE32, "no whole number of bytes"),
        ("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ====", BASE32, "4 characters of padding where there are 0"),
        ("GEZDGNBVGY3TQOJQGEZDGNBVG0", BASE32, "character 26 is no base32 digit"),
        ("31323334353637383930313233343536373839xx", HEX, "character 39 is no hex digit"),
        ("31323334", HEX, "a seed of 32 bits, under the 112"),
        ("GEZDGNBVGY3TQOJQ", BASE32, "a seed of 80 bits, under the 112"),
        ("", AUTO, "no seed"),
        ("====", AUTO, "no seed"),
        (" - - ", AUTO, "no seed"),
        ("\N{LATIN SMALL LETTER SHARP S}" * 16, BASE32, "no digit of hex or base32"),
        ("22" * 20, AUTO, "reads as hex and as base32"),
        ("22" * (MAX_SECRET_BYTES + 1), HEX, "over 128"),
        ("A", BASE32, "no whole number of bytes"),
    ],
)
def test_each_rule_is_named(text, encoding, message):
    with pytest.raises(SeedSyntax) as caught:
        parse_seed(text, encoding)
    assert message in caught.value.message
    assert caught.value.line == 1
    assert len(text) < 4 or text not in str(caught.value)


def test_a_short_seed_with_leave():
    assert parse_seed("GEZDGNBVGY3TQOJQ", BASE32, allow_short_seed=True).reveal() == b"1234567890"


def test_leave_for_short_seeds_makes_more_text_ambiguous():
    text = "22222222222222222222222222"  # 13 bytes of hex, 16 of base32 (its spare bits are zero only by the A)
    text = text[:-1] + "A"
    assert len(parse_seed(text, AUTO)) == 16
    with pytest.raises(SeedSyntax, match="reads as hex and as base32"):
        parse_seed(text, AUTO, allow_short_seed=True)


def test_a_file_with_remarks_and_a_byte_order_mark():
    assert parse_seed_file(b"\xef\xbb\xbf# token 1\r\n\r\n31 32 33 34 35 36 37 38 39 30 31 32 33 34\r\n").reveal() == (
        b"12345678901234"
    )


@pytest.mark.parametrize(
    ("data", "message", "line"),
    [
        (b"", "empty", None),
        (b"# nothing\n", "empty", None),
        (b"\xff\xfe1\x00", "not text", None),
        (b"3132333435363738393031323334\n3132333435363738393031323334\n", "line 2: a second seed", 2),
        (b"\n\nxyz\n", "line 3: ", 3),
        (b"31" * 10_000, "16384", None),
    ],
)
def test_a_file_that_is_none(data, message, line):
    with pytest.raises(SeedSyntax) as caught:
        parse_seed_file(data)
    assert message in caught.value.message
    assert caught.value.line == line


@pytest.mark.parametrize(("algorithm", "size"), [(Algorithm.SHA1, 20), (Algorithm.SHA256, 32), (Algorithm.SHA512, 64)])
def test_a_fresh_seed_is_as_long_as_its_hash(algorithm, size):
    assert generate(algorithm, bytes).reveal() == bytes(size)
