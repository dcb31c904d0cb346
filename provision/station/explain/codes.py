"""What the codes say: whose they are, and where they fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from provision.drift.estimate import Interval
from provision.servers.backend import Device
from provision.station.desk import Desk, Fit, Login
from provision.station.explain.case import Case
from provision.station.explain.clock import Clock, clock


@dataclass(frozen=True, slots=True)
class Read:
    """What the codes say. `device`: whose they are, or the one that is meant. `clock`: None where they fit nowhere with
    its own seed. `seeds`: other seeds with which they fit. `is_second`: the first ones fitted nowhere."""

    device: Device
    logins: Sequence[Login]
    fit: Fit | None = None
    clock: Clock | None = None
    seeds: Sequence[Fit] = ()
    is_second: bool = False

    @property
    def fits_nowhere(self) -> bool:
        return self.fit is None and not self.seeds


def read(desk: Desk, case: Case) -> Read:
    first = case.meant[0]
    if case.asked is None:
        return Read(first, desk.logins(first))
    for device in sorted(case.owned, key=lambda one: one not in case.meant):
        logins = desk.logins(device)
        for fit in desk.near(device, case.asked):
            return Read(device, logins, fit, clock(device, logins, case.asked, fit, case.allowance))
    seeds: list[tuple[Device, Fit]] = []
    for device in case.meant:
        far, others = desk.elsewhere(device, case.asked)
        if far is not None:
            logins = desk.logins(device)
            return Read(device, logins, far, clock(device, logins, case.asked, far, case.allowance))
        seeds += [(device, fit) for fit in others]
    device = seeds[0][0] if seeds else first
    return Read(device, desk.logins(device), seeds=[fit for one, fit in seeds if one is device])


def are_taken(case: Case, token: Read) -> bool | None:
    """Whether the server would take these codes now. None where there is nothing to say it of."""
    device, fit, made = token.device, token.fit, token.clock
    if fit is None or made is None or case.asked is None:
        return None
    back, forward = case.window_steps
    expected = device.parameters.step_at(case.asked.at_s) + device.drift_steps
    is_spent = device.last_step is not None and fit.step <= device.last_step
    return expected - back <= fit.step <= expected + forward and not is_spent


def surely_taken(case: Case, token: Read) -> Interval:
    """Offsets at which every code is taken, whatever its phase."""
    (back, forward), step_s = case.window_steps, token.device.parameters.time_step_s
    drift_steps = token.device.drift_steps
    return Fraction((drift_steps - back) * step_s), Fraction((drift_steps + forward) * step_s)
