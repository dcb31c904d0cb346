"""Which way in a person has, while an organisation moves from an older one to this server. Pure.

The old way is another server, of which this one knows only until when it is open. People with a device log in with
it; people without one are sent to the old way, and so are those for whom the support desk opened a fallback, which
lasts until its time or until the old way closes, whichever comes first. A disabled device is a device: what an
administrator refuses is not let in by the other door.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from provision.servers.backend import Device, Person


@enum.unique
class Way(enum.Enum):
    DEVICE = "device"
    OLD = "old-way"
    NONE = "locked-out"


def old_way_until_s(
    *, has_device: bool, fallback_until_s: float | None, cutover_s: float | None, now_s: float
) -> float | None:
    """Until when somebody is sent to the old way, Unix seconds; None if they are not. `has_device`: a proved one,
    disabled or not."""
    if cutover_s is None or now_s >= cutover_s:
        return None
    if not has_device:
        return cutover_s
    if fallback_until_s is None or now_s >= fallback_until_s:
        return None
    return min(fallback_until_s, cutover_s)


def way_in(person: Person, devices: Sequence[Device], cutover_s: float | None, at_s: float) -> Way:
    """The way of `person`, whose devices are `devices`, at a Unix time, if nothing changes before it."""
    proved = [device for device in devices if not device.pending]
    until_s = old_way_until_s(
        has_device=bool(proved), fallback_until_s=person.fallback_until_s, cutover_s=cutover_s, now_s=at_s
    )
    if until_s is not None:
        return Way.OLD
    return Way.DEVICE if any(not device.disabled for device in proved) else Way.NONE


@dataclass(frozen=True, slots=True)
class Standing:
    """A person, their devices, and their way in now and at another time, if nothing changes before it."""

    person: Person
    devices: tuple[Device, ...]
    now: Way
    then: Way


def standings(
    people: Sequence[Person], devices: Sequence[Device], cutover_s: float | None, *, now_s: float, then_s: float
) -> list[Standing]:
    """Of everybody, by user; devices by name."""
    by_user = defaultdict(list)
    for device in sorted(devices, key=lambda one: one.name.casefold()):
        by_user[device.user].append(device)
    found = []
    for person in sorted(people, key=lambda one: one.user):
        owned = tuple(by_user[person.user])
        now, then = (way_in(person, owned, cutover_s, at_s) for at_s in (now_s, then_s))
        found.append(Standing(person, owned, now, then))
    return found
