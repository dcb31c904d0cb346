"""otpauth URIs, the way a server hands a seed to an app: `otpauth://totp/ISSUER:ACCOUNT?secret=...&issuer=...`.

Source: the Key URI Format of the google-authenticator wiki. Read strictly: a parameter that is unknown, doubled or
contradictory would change the codes without a word, so it is refused by name. Only pictures are ignored.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from provision.errors import SeedSyntax
from provision.model import Algorithm, OathType, OtpParameters
from provision.otpauth import OtpAuth
from provision.seeds.text import SeedFormat, parse_seed

_IGNORED = {"image", "icon", "color"}
_FIELDS = {"secret", "issuer", "algorithm", "digits", "period", "counter"}
_HINT = "give the whole URI, in one line, as the server shows it"


def parse_otpauth(text: str, *, allow_short_seed: bool = False) -> OtpAuth:
    """Read one URI (white space around it is ignored). Raises SeedSyntax, whose text never holds the seed."""
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        raise SeedSyntax("not a URI", line=1, hint=_HINT) from None
    if parts.scheme != "otpauth":
        raise SeedSyntax("not an otpauth URI", line=1, hint=_HINT)
    try:
        oath_type = OathType(parts.netloc.lower())
    except ValueError:
        raise SeedSyntax("an otpauth URI of neither totp nor hotp", line=1, hint=_HINT) from None
    fields = _fields(parts.query)
    if parts.fragment:
        raise SeedSyntax("the otpauth URI goes on after a # sign", line=1, hint="a # in a name is written %23")
    issuer, account = _label(parts.path, fields.get("issuer"))
    if not fields.get("secret"):
        raise SeedSyntax("the otpauth URI has no secret", line=1, hint=_HINT)
    secret = parse_seed(fields["secret"], SeedFormat.BASE32, allow_short_seed=allow_short_seed)
    return OtpAuth(account, issuer, secret, _parameters(oath_type, fields))


def _fields(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict") if query else []
    except ValueError:
        raise SeedSyntax("the otpauth URI's parameters are not name=value pairs", line=1, hint=_HINT) from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name in _IGNORED:
            continue
        if name not in _FIELDS:
            raise SeedSyntax(
                f"the otpauth URI has the unknown parameter {name[:32]!r}",
                line=1,
                hint="it may change the codes; take it out if you know that it does not",
            )
        if name in fields:
            raise SeedSyntax(f"the otpauth URI says {name} twice", line=1, hint=_HINT)
        fields[name] = value
    return fields


def _label(path: str, issuer: str | None) -> tuple[str, str]:
    try:
        label = unquote(path.removeprefix("/"), errors="strict")
    except UnicodeDecodeError:
        raise SeedSyntax("the otpauth URI's label is not UTF-8", line=1, hint=_HINT) from None
    prefix, colon, account = label.partition(":")
    if not colon:
        prefix, account = "", label
    account = account.strip()  # "Issuer: account" is usual, the space written %20
    if not account or ":" in account:
        raise SeedSyntax("the otpauth URI's label is not ISSUER:ACCOUNT or ACCOUNT", line=1, hint=_HINT)
    if issuer is not None and ":" in issuer:
        raise SeedSyntax("the otpauth URI's issuer holds a colon", line=1, hint=_HINT)
    if colon and issuer is not None and prefix != issuer:
        raise SeedSyntax("the otpauth URI names two different issuers", line=1, hint=_HINT)
    return issuer if issuer is not None else prefix, account


def _parameters(oath_type: OathType, fields: dict[str, str]) -> OtpParameters:
    try:
        algorithm = Algorithm(fields.get("algorithm", "SHA1").upper())
    except ValueError:
        raise SeedSyntax("the otpauth URI's algorithm is not SHA1, SHA256 or SHA512", line=1) from None
    digits = _integer(fields, "digits", 6, 6, 8)
    if oath_type is OathType.TOTP:
        if "counter" in fields:
            raise SeedSyntax("the otpauth URI has a counter, but is for totp", line=1, hint=_HINT)
        return OtpParameters(oath_type, algorithm, digits, time_step_s=_integer(fields, "period", 30, 1, 3600))
    if "period" in fields:
        raise SeedSyntax("the otpauth URI has a period, but is for hotp", line=1, hint=_HINT)
    if "counter" not in fields:
        raise SeedSyntax("the otpauth URI for hotp has no counter", line=1, hint=_HINT)
    return OtpParameters(oath_type, algorithm, digits, counter=_integer(fields, "counter", 0, 0, (1 << 64) - 1))


def _integer(fields: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    text = fields.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and least <= int(text) <= most):
        raise SeedSyntax(f"the otpauth URI's {name} is not a number from {least} to {most}", line=1)
    return int(text)
