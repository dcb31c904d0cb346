"""otpauth URIs as they are written: by a server that gives a seed out, for an app or `token program --otpauth`.

Source: the Key URI Format of the google-authenticator wiki. They are read in seeds/otpauth.py.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from provision.errors import InputError, LossyExport
from provision.model import OathType, OtpParameters, Secret

ISSUER = "hwtoken"  # of what we give out: an app shows it beside the account


@dataclass(frozen=True, slots=True)
class OtpAuth:
    """What an otpauth URI says. `issuer` may be empty; neither it nor `account` holds a colon."""

    account: str
    issuer: str
    secret: Secret
    parameters: OtpParameters


def format_otpauth(uri: OtpAuth) -> str:
    """The URI of `uri`, every field spelled out, the secret without padding (some apps choke on it).

    Raises LossyExport for a t0_s, which the format has no place for, InputError for a colon in a name.
    """
    parameters = uri.parameters
    if parameters.t0_s:
        raise LossyExport("an otpauth URI has no place for t0_s", fields=("t0_s",), hint="use t0_s = 0")
    for name in (uri.account, uri.issuer):
        if ":" in name:
            raise InputError("a name in an otpauth URI cannot hold a colon", hint="it separates issuer and account")
    if not uri.account:
        raise InputError("an otpauth URI needs an account name")
    label = quote(uri.account, safe="@")
    fields = {"secret": base64.b32encode(uri.secret.reveal()).decode("ascii").rstrip("=")}
    if uri.issuer:
        label = f"{quote(uri.issuer, safe='')}:{label}"
        fields["issuer"] = uri.issuer
    fields["algorithm"] = parameters.algorithm.value
    fields["digits"] = str(parameters.digits)
    if parameters.oath_type is OathType.TOTP:
        fields["period"] = str(parameters.time_step_s)
    else:
        fields["counter"] = str(parameters.counter)
    return f"otpauth://{parameters.oath_type.value}/{label}?{urlencode(fields, quote_via=quote)}"
