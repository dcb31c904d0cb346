"""How somebody logs in: by a device, by the old way (servers/ways.py), or not at all; now, and without a device. Pure,
but for `read`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from provision.servers.backend import Device, Person
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.ways import Way, old_way_until_s, way_in
from provision.servers.web.words import moment


@dataclass(frozen=True, slots=True)
class Outlook:
    """`person`: None for somebody whom the server does not know, who has an API token and nothing else yet."""

    person: Person | None
    devices: Sequence[Device]
    cutover_s: float | None
    now_s: float

    @property
    def way(self) -> Way:
        if self.person is None:
            return Way.NONE
        return way_in(self.person, self.devices, self.cutover_s, self.now_s)

    @property
    def usable(self) -> list[Device]:
        return [device for device in self.devices if not device.pending and not device.disabled]

    @property
    def is_locked(self) -> bool:
        return any(device.locked for device in self.devices)

    @property
    def old_until_s(self) -> float | None:
        """Until when the person is sent to the old way, None if they are not."""
        if self.person is None:
            return None
        return old_way_until_s(
            has_device=any(not device.pending for device in self.devices),
            fallback_until_s=self.person.fallback_until_s,
            cutover_s=self.cutover_s,
            now_s=self.now_s,
        )

    @property
    def can_fall_back(self) -> bool:
        """Whether there is an old way that a support desk could open."""
        return self.cutover_s is not None and self.now_s < self.cutover_s

    @property
    def has_fallback(self) -> bool:
        return self.person is not None and self.person.fallback_until_s is not None

    def without(self, device: Device) -> Outlook:
        left = [one for one in self.devices if one.device_id != device.device_id]
        return dataclasses.replace(self, devices=left)

    def for_oneself(self) -> str | None:
        """What the person must know of the old way, None if nothing."""
        if self.way is Way.DEVICE and self.is_locked:
            return "No code is looked at, after too many wrong ones. Ask your support desk."
        if self.way is Way.NONE:
            return "No code lets you in now: you have no device that works, and the old way is not open to you."
        if self.old_until_s is None:
            return None
        until = moment(self.old_until_s)
        if self.has_fallback and self.usable:
            return (
                f"Until {until} you log in the old way, as the support desk arranged. Then these devices count again."
            )
        return (
            f"You still log in the old way, until {until}. Add a device before then: afterwards the old way is closed."
        )

    def for_the_desk(self) -> str:
        """How the person stands to the old way."""
        if self.old_until_s is not None:
            why = "opened by the support desk" if self.has_fallback and self.usable else "for want of a device"
            return f"Used until {moment(self.old_until_s)}, {why}."
        if self.cutover_s is None:
            return "There is none."
        if not self.can_fall_back:
            return f"Closed since {moment(self.cutover_s)}."
        return f"Not used. It could be opened until {moment(self.cutover_s)}."

    def in_words(self, whose: str) -> str:
        """What becomes of logging in. `whose`: "you are", or "anna is"."""
        match self.way:
            case Way.DEVICE if self.is_locked:
                return "no code is looked at, after too many wrong ones."
            case Way.DEVICE:
                return f"logging in works with {_listed([device.name for device in self.usable])}."
            case Way.OLD:
                until = moment(self.old_until_s or 0)
                after = (
                    "the other devices count again"
                    if self.usable
                    else "the old way is closed: add a device before then"
                )
                return f"logging in works the old way, with what was used before, until {until}. Then {after}."
            case Way.NONE:
                return f"{whose} locked out: no device that works, and no old way is open now."


def read(server: EmbeddedServer, user: str, now_s: float) -> Outlook:
    person = server.person(user)
    return Outlook(person, [] if person is None else server.list(user), server.cutover_s, now_s)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
