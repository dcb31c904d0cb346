"""The wire's log: what it tells, and above all what it never tells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import LinkError
from provision.links.spy import SpyLink, describe_command, describe_response
from provision.wire.apdu import Command, encode_command


class Canned:
    address = "test:"
    closed = False

    def __init__(self, response=b"", error=None):
        self.response = response
        self.error = error

    def exchange(self, command):
        if self.error:
            raise self.error
        return self.response

    def close(self):
        self.closed = True


def test_it_tells_headers_lengths_and_status_words():
    lines = []
    link = Canned(b"123456\x90\x00")
    with SpyLink(link, lines.append) as spy:
        assert spy.exchange(encode_command(Command(0, 0xB2, 0, 0, b"\x80\x06123456", 256))) == b"123456\x90\x00"
    assert lines == ["test: > 00 B2 00 00 Lc=8 Le=256", "test: < 9000 and 6 bytes"]
    assert link.closed


def test_it_tells_that_the_link_failed_and_lets_the_error_through():
    lines = []
    error = LinkError("the PIN was 123456")
    with pytest.raises(LinkError):
        SpyLink(Canned(error=error), lines.append).exchange(bytes(4))
    assert lines[-1] == "test: ! LinkError"


@given(st.binary(min_size=20, max_size=300), st.booleans())
def test_no_byte_of_data_is_ever_told(data, extended):
    command = encode_command(Command(0, 0x01, 0, 0, data, None, extended))
    for text in (describe_command(command), describe_response(data), describe_command(data)):
        assert len(text) < 60
    # The same lengths with other contents give the same lines.
    other = bytes(255 - octet for octet in data)
    assert describe_command(command) == describe_command(encode_command(Command(0, 0x01, 0, 0, other, None, extended)))
    assert describe_response(data + b"\x90\x00") == describe_response(other + b"\x90\x00")


def test_garbage():
    assert describe_command(b"\x01") == "1 bytes that are no APDU"
    assert describe_response(b"") == "0 bytes that are no response"
