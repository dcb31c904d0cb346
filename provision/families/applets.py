"""What drivers of tokens with applets share: SELECT, an answer that comes in pieces, an answer that makes no sense."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from provision.errors import RemoteProtocolError
from provision.links.link import Link
from provision.wire import WireError
from provision.wire.apdu import (
    CLA_PLAIN,
    INS_SELECT,
    MAX_SHORT,
    P1_SELECT_BY_AID,
    Command,
    Response,
    Sw,
    decode_response,
    encode_command,
)
from provision.wire.oath import Ins

# Bytes: far more than 64 credentials need, and an end for a token that always has more (61xx).
_LONGEST_ANSWER = 1 << 16

_T = TypeVar("_T")


def select(aid: bytes) -> Command:
    return Command(CLA_PLAIN, INS_SELECT, P1_SELECT_BY_AID, 0, aid, MAX_SHORT)


def transmit(link: Link, command: Command) -> Response:
    """Exchange, and fetch the rest of a reply that was cut (61xx) as YKOATH does, by SEND REMAINING."""
    response = decoded(decode_response, link.exchange(encode_command(command)), link.address)
    data = response.data
    while response.sw & 0xFF00 == Sw.MORE_DATA:
        more = Command(CLA_PLAIN, Ins.SEND_REMAINING, 0, 0, b"", command.le or MAX_SHORT)
        response = decoded(decode_response, link.exchange(encode_command(more)), link.address)
        if not response.data:
            break
        data += response.data
        if len(data) > _LONGEST_ANSWER:
            raise RemoteProtocolError(f"the token at {link.address} does not come to the end of its answer")
    return Response(data, response.sw)


def decoded(decode: Callable[[bytes], _T], data: bytes, who: str) -> _T:
    """Raises RemoteProtocolError."""
    try:
        return decode(data)
    except WireError as error:
        raise RemoteProtocolError(f"{who} sent an answer that makes no sense: {error}") from error
