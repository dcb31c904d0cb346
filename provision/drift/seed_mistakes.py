"""Seeds that a token may have instead of the one on record, each by the mistake that made it so.

Somebody wrote a seed down, and a program read it back as something else: the record is the one thing, the token has
the other. Which of the two is wrong cannot be told from codes, so the names say what the pair is.

Nothing is named but by two consecutive codes; the odds of a chance match are told, as `search` does.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain

from provision.drift.places import DAY_S, near
from provision.drift.search import Shown, follows, scan_plainly
from provision.drift.sha import HASHES, key_blocks
from provision.model import Algorithm, OtpParameters, Secret

_TIME_STEPS_S = (30, 60)
_SHORTEST = 10  # bytes: with less, nobody would have taken it for a seed


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """`name`: for programs. `what`: of the token, one sentence for people, without a part of a seed."""

    name: str
    what: str
    secret: Secret
    parameters: OtpParameters


@dataclass(frozen=True, slots=True)
class Finding:
    """A hypothesis under which the codes are right.

    unix_s, offset_s   the clock, as in `search.Candidate`
    odds               how many of all hypotheses and steps would fit by chance, on average
    """

    hypothesis: Hypothesis
    unix_s: int
    offset_s: int
    odds: Fraction


def find(shown: Shown, hypotheses: Iterable[Hypothesis], *, reach_s: int = DAY_S) -> list[Finding]:
    """The hypotheses that show these codes on a clock that is right within `reach_s`. Digits are those of the codes."""
    tried = 0
    found: list[tuple[Hypothesis, int]] = []
    for hypothesis in hypotheses:
        parameters = hypothesis.parameters
        place = near(shown.at_s, reach_s)
        steps = range(max(parameters.step_at(place.begin_s), 0), max(parameters.step_at(place.end_s - 1) + 1, 0))
        scan = scan_plainly(hypothesis.secret, parameters)
        tried += len(steps)
        found += [
            (hypothesis, parameters.step_start(step))
            for step in scan(shown.codes[0], steps)
            if follows(scan, shown, step)
        ]
    odds = shown.odds(tried)
    return [Finding(hypothesis, unix_s, unix_s - shown.at_s, odds) for hypothesis, unix_s in found]


def hypotheses(
    secret: Secret, parameters: OtpParameters, *, digits: int, neighbours: Mapping[str, Secret] | None = None
) -> Iterator[Hypothesis]:
    """Every seed and parameters that one mistake makes of those on record, each once, the likeliest first.

    `digits`: of the codes that were shown. `neighbours`: other tokens' seeds by what they are called, those of the
    same box say.
    """
    base = replace(parameters, digits=digits)
    known = [(_as_hashed(secret, parameters), parameters)]
    for mistake in chain(
        _parameters(secret, base, parameters.digits),
        (
            Hypothesis("neighbour", f"it has the seed of {name}: labels were exchanged", other, base)
            for name, other in (neighbours or {}).items()
        ),
        (
            Hypothesis(name, what, Secret(key), base)
            for name, what, key in chain(_spellings(secret.reveal()), _bytes(secret.reveal(), base.algorithm))
        ),
    ):
        if len(mistake.secret) < _SHORTEST:
            continue
        pair = (_as_hashed(mistake.secret, mistake.parameters), mistake.parameters)
        if pair not in known:
            known.append(pair)
            yield mistake


def _as_hashed(secret: Secret, parameters: OtpParameters) -> Secret:
    """What HMAC makes of a key, which is the same for some keys: with zeros at their ends, say."""
    return Secret(key_blocks(secret, parameters.algorithm)[0])


def _parameters(secret: Secret, base: OtpParameters, digits: int) -> Iterator[Hypothesis]:
    if base.digits != digits:
        yield Hypothesis("digits", f"its codes have {base.digits} digits, not {digits}", secret, base)
    for time_step_s in (base.time_step_s, *_TIME_STEPS_S):
        for algorithm in (base.algorithm, *Algorithm):
            wrong = []
            if time_step_s != base.time_step_s:
                wrong.append(("time-step", f"its codes last {time_step_s} s, not {base.time_step_s} s"))
            if algorithm is not base.algorithm:
                wrong.append(("algorithm", f"it hashes with {algorithm.value}, not {base.algorithm.value}"))
            if wrong:
                yield Hypothesis(
                    "-and-".join(name for name, _ in wrong),
                    "; ".join(what for _, what in wrong),
                    secret,
                    replace(base, time_step_s=time_step_s, algorithm=algorithm),
                )


def _spellings(key: bytes) -> Iterator[tuple[str, str, bytes]]:
    """The key, or what it spells, written in one way and read in another."""
    base32, base64_ = base64.b32encode(key), base64.b64encode(key)
    for kind, how, text in (
        ("hex", "hex", key.hex().encode()),
        ("hex", "hex in capitals", key.hex().upper().encode()),
        ("base32", "base32", base32.rstrip(b"=")),
        ("base32", "base32 in small letters", base32.rstrip(b"=").lower()),
        ("base32", "base32 with padding", base32),
        ("base64", "base64", base64_),
        ("base64", "base64 without padding", base64_.rstrip(b"=")),
    ):
        for end, ending in ((b"", ""), (b"\n", ", and the end of the line"), (b"\r\n", ", and the end of the line")):
            yield f"{kind}-as-text", f"its seed is the letters of the right one in {how}{ending}", text + end
        for reading, read in _READINGS.items():
            if reading != kind and (decoded := read(text)) is not None:
                yield (
                    f"{kind}-as-{reading}",
                    f"its seed is the right one in {how}, read as if it were {reading}",
                    decoded,
                )
    for reading, read in _READINGS.items():
        if (decoded := read(key.strip())) is not None:
            yield (
                f"text-as-{reading}",
                f"the seed on record is letters; its seed is what they say in {reading}",
                decoded,
            )


def _bytes(key: bytes, algorithm: Algorithm) -> Iterator[tuple[str, str, bytes]]:
    """The right bytes, too few of them, or in another order."""
    sha = HASHES[algorithm]
    for size in (sha.block_bytes, 64, 32, 20, 16, 10):
        if size < len(key):
            yield "trimmed", f"it has only the first {size} of {len(key)} bytes of its seed", key[:size]
            yield "trimmed", f"it has only the last {size} of {len(key)} bytes of its seed", key[-size:]
    for what, shorter in (
        ("without its first byte", key[1:]),
        ("without its last byte", key[:-1]),
        ("cut at its first zero byte", key.partition(b"\0")[0]),
        ("without the zero bytes that it begins with", key.lstrip(b"\0")),
        ("without its last, incomplete group of base32", key[: len(key) // 5 * 5]),
        ("without white space at its ends", key.strip()),
    ):
        yield "trimmed", f"it has its seed {what}", shorter
    repeated = (key * sha.digest_bytes)[: sha.digest_bytes] if len(key) < sha.digest_bytes else key
    yield "repeated", f"its seed is repeated up to {sha.digest_bytes} bytes", repeated
    yield "byte-reversed", "the bytes of its seed are in the reverse order", key[::-1]
    for width in (2, 4, 8):
        if len(key) % width == 0:
            swapped = b"".join(key[i : i + width][::-1] for i in range(0, len(key), width))
            yield "byte-reversed", f"the bytes of its seed are reversed in every word of {width}", swapped
    swapped = bytes(byte >> 4 | (byte & 15) << 4 for byte in key)
    yield "digits-swapped", "the hex digits of its seed are swapped in every byte", swapped


def _hex(text: bytes) -> bytes | None:
    try:
        return binascii.unhexlify(text)
    except ValueError:
        return None


def _base32(text: bytes) -> bytes | None:
    """As apps read it: any case, padding or none, and digits that base32 lacks taken for the letters they look like."""
    digits = text.upper().rstrip(b"=").translate(bytes.maketrans(b"018", b"OLB"))
    whole = len(digits) * 5 // 8  # what is left over of a last digit is dropped, as apps do
    try:
        return base64.b32decode(digits + b"A" * (-len(digits) % 8))[:whole]
    except ValueError:
        return None


def _base64(text: bytes) -> bytes | None:
    digits = text.rstrip(b"=")
    try:
        return base64.b64decode(digits + b"A" * (-len(digits) % 4), validate=True)[: len(digits) * 3 // 4]
    except ValueError:
        return None


_READINGS: dict[str, Callable[[bytes], bytes | None]] = {"hex": _hex, "base32": _base32, "base64": _base64}
