"""Has the server's clock moved? Then the tokens of all who log in seem to have jumped at once, by as much.

Two traces are left of it. Where the jump is small, people still get in, and their logins do not fit what was known of
their clocks, all in the same direction. Where it is large, nobody gets in any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from fractions import Fraction

from provision.drift.diagnosis import diagnose
from provision.drift.estimate import Estimate, Interval
from provision.drift.history import Allowance
from provision.drift.outlook import present
from provision.drift.places import DAY_S
from provision.servers.backend import Attempt, AttemptOutcome, Device
from provision.station.desk import Login
from provision.station.explain.case import holds, jump, model_for, observation

_ENOUGH = 3  # people: of two, each may have a trouble of their own
_VAGUE_STEPS = 5  # a clock known no better than this tells nothing of the server's
_NEARLY_ALL = Fraction(4, 5)


@dataclass(frozen=True, slots=True)
class Crowd:
    """What other people's logins of the last day say.

    fitting    people who got in, and whose token was where it was expected
    refused    people who were refused since anybody else got in, though their clocks were expected within the window
    stumbled   people who were refused at all, of so many who `tried`
    moved_s    by how much the server's clock jumped, if their logins tell
    since_s    between when and when that was, or the refusals began
    """

    fitting: int = 0
    refused: int = 0
    stumbled: int = 0
    tried: int = 0
    moved_s: Interval | None = None
    since_s: tuple[float, float] | None = None

    @property
    def shut_out(self) -> bool:
        """Whether nobody gets in any more."""
        return self.refused >= _ENOUGH

    @property
    def limps(self) -> bool:
        """Whether so many are refused that it is more than people's own mistakes."""
        return self.stumbled >= _ENOUGH and 2 * self.stumbled >= self.tried


def crowd(
    person: str | None,
    devices: Mapping[str, Device],
    logins: Iterable[tuple[str, Sequence[Login]]],
    attempts: Sequence[Attempt],
    now_s: float,
    window_steps: tuple[int, int],
    allowance: Allowance,
) -> Crowd:
    """`devices`: by their ids. `logins`: of each device, oldest first. `attempts`: everybody's, lately."""
    lately = [one for one in attempts if one.user not in (None, person) and one.at_s >= now_s - DAY_S]
    stumbled = {str(one.user) for one in lately if one.outcome is AttemptOutcome.MISMATCH}
    dependable: set[str] = set()
    jumps: dict[str, Interval] = {}
    since: list[tuple[float, float]] = []
    for device_id, all_logins in logins:
        device = devices.get(device_id)
        if device is None or device.user in (None, person):
            continue
        if device.user in stumbled and _is_expected_in(device, all_logins, now_s, window_steps, allowance):
            dependable.add(device.user)
        recent = [login for login in all_logins if login[0] > now_s - DAY_S]
        earlier = all_logins[: len(all_logins) - len(recent)]
        if not recent or not earlier:
            continue
        size_s = _jump(device, earlier, recent, allowance)
        if size_s is not None:
            jumps[str(device.user)] = size_s
            since.append((float(earlier[-1][0]), float(recent[0][0])))
    refused, began_s = _refused(lately, dependable, now_s - DAY_S)
    common = _common(list(jumps.values()))
    if common is not None:
        began_s = (max([one for one, _ in since]), min([other for _, other in since]))
    return Crowd(
        fitting=sum(holds(size_s) for size_s in jumps.values()),
        refused=refused,
        stumbled=len(stumbled),
        tried=len({one.user for one in lately}),
        moved_s=None if common is None else (-common[1], -common[0]),
        since_s=None if began_s is None else (min(began_s), max(began_s)),
    )


def _jump(device: Device, earlier: Sequence[Login], recent: Sequence[Login], allowance: Allowance) -> Interval | None:
    before = _known(device, earlier, allowance)
    return jump(before, observation(device, recent[-1], allowance)) if before.is_feasible else None


def _is_expected_in(
    device: Device, logins: Sequence[Login], now_s: float, window_steps: tuple[int, int], allowance: Allowance
) -> bool:
    """Whether its codes should be taken, for what is known of its clock: most of them, if not every one."""
    before = _known(device, logins, allowance)
    if not before.is_feasible:
        return False
    step_s, (back, forward) = device.parameters.time_step_s, window_steps
    low, high = before.offset_at(Fraction(now_s))
    middle = (low + high) / 2
    is_inside = (device.drift_steps - back) * step_s <= middle <= (device.drift_steps + forward) * step_s
    return is_inside and high - low <= _VAGUE_STEPS * step_s


def _known(device: Device, logins: Sequence[Login], allowance: Allowance) -> Estimate:
    model = model_for(device, logins, allowance)
    seen = [observation(device, login, allowance) for login in logins]
    return present(model, seen, diagnose(model, seen))


def _common(jumps: Sequence[Interval]) -> Interval | None:
    """The sizes that nearly all of the jumps may have, if that is not 0."""
    if len(jumps) < _ENOUGH or 2 * sum(map(holds, jumps)) >= len(jumps):
        return None
    sizes = [bound for one in jumps for bound in one]
    shared: dict[Fraction, int] = {size: sum(holds(one, size) for one in jumps) for size in sizes}
    most = max(shared.values())
    if most < _ENOUGH or most < _NEARLY_ALL * len(jumps):
        return None
    best = [size for size, count in shared.items() if count == most]
    return None if min(best) <= 0 <= max(best) else (min(best), max(best))


def _refused(
    attempts: Sequence[Attempt], dependable: Set[str], since_s: float
) -> tuple[int, tuple[float, float] | None]:
    """How many of these people were refused since anybody got in, and between when and when that began."""
    last_good_s, refused = since_s, dict[str, float]()
    for attempt in attempts:
        if attempt.outcome is AttemptOutcome.ACCEPTED:
            last_good_s = attempt.at_s
            refused.clear()
        elif attempt.outcome is AttemptOutcome.MISMATCH and attempt.user in dependable:
            refused.setdefault(str(attempt.user), attempt.at_s)
    return len(refused), (last_good_s, min(refused.values())) if refused else None
