"""Nouns of the seam <-> what JSON can say, where both ends are ours. Odds are fractions, as text: they are exact."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from provision.model import Algorithm, OathType, OtpParameters, Secret
from provision.servers.backend import Fit, Fits, SeedSide


def plain_parameters(parameters: OtpParameters) -> dict[str, Any]:
    return {
        "oath_type": parameters.oath_type.value,
        "algorithm": parameters.algorithm.value,
        "digits": parameters.digits,
        "time_step_s": parameters.time_step_s,
        "t0_s": parameters.t0_s,
        "counter": parameters.counter,
    }


def parameters_of(plain: Any) -> OtpParameters:
    return OtpParameters(
        **{**plain, "oath_type": OathType(plain["oath_type"]), "algorithm": Algorithm(plain["algorithm"])}
    )


def plain_question(side: SeedSide, codes: Sequence[str], first_s: int) -> dict[str, Any]:
    """What a SeedSearch is asked, seeds included: for a pipe to a process of our own, and nothing else."""
    return {
        "secret": side.secret.reveal().hex(),
        "parameters": plain_parameters(side.parameters),
        "registered_s": side.registered_s,
        "others": {name: other.reveal().hex() for name, other in side.others.items()},
        "codes": list(codes),
        "first_s": first_s,
    }


def question_of(plain: Any) -> tuple[SeedSide, Sequence[str], int]:
    side = SeedSide(
        Secret(bytes.fromhex(plain["secret"])),
        parameters_of(plain["parameters"]),
        plain["registered_s"],
        {name: Secret(bytes.fromhex(other)) for name, other in plain["others"].items()},
    )
    return side, plain["codes"], plain["first_s"]


def plain_fits(fits: Fits) -> dict[str, Any]:
    return {
        "clock": None if fits.clock is None else _plain_fit(fits.clock),
        "seeds": [_plain_fit(fit) for fit in fits.seeds],
    }


def fits_of(plain: Any) -> Fits:
    return Fits(None if plain["clock"] is None else _fit_of(plain["clock"]), [_fit_of(fit) for fit in plain["seeds"]])


def _plain_fit(fit: Fit) -> dict[str, Any]:
    return {
        "name": fit.name,
        "what": fit.what,
        "step": fit.step,
        "offset_s": fit.offset_s,
        "odds": f"{fit.odds.numerator}/{fit.odds.denominator}",
    }


def _fit_of(plain: Any) -> Fit:
    return Fit(plain["name"], plain["what"], plain["step"], plain["offset_s"], Fraction(plain["odds"]))
