"""What may be seen of a token from outside the simulation: everything but its secrets."""

from __future__ import annotations

from typing import TypedDict


class CredentialView(TypedDict):
    name: str
    type: str
    algorithm: str
    digits: int
    time_step_s: int
    t0_s: int
    counter: int | None
    own_clock: bool
    pin: bool
    touch: bool


class View(TypedDict, total=False):
    """What `Token.inspect` tells. Only the first nine are there while the token is off, and of the others those that
    its family has."""

    family: str
    model: str
    firmware: str
    serial: str
    powered: bool
    true_time_s: float
    device_time_us: int | None
    battery: str
    most_erases_of_a_page: int
    boot_id: str
    device_id: str
    screen: str
    label: str
    lifecycle: str
    key_version: int
    pin: str
    attempts_remaining: int | None
    password: bool
    credentials: list[CredentialView]
