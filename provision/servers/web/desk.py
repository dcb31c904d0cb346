"""Other people's devices, for the support desk and administrators. Nobody sees a seed here, nor can add a device."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote

from starlette.responses import Response

from provision.errors import Rejected, VerificationError
from provision.servers.backend import Device
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.web import outlook, pages, words
from provision.servers.web.outlook import Outlook
from provision.servers.web.visit import Refused, Visit, digits_of

MAX_FOUND = 20
FALLBACK_HOURS = (1, 4, 12, 24, 72, 168)


async def search(visit: Visit) -> Response:
    q = visit.request.query_params.get("q", "").strip()
    found = await visit.done(lambda server: server.search(q)) if q else []
    return visit.show("desk.html", q=q, found=found[:MAX_FOUND], are_more=len(found) > MAX_FOUND)


async def person(visit: Visit) -> Response:
    user = visit.request.query_params.get("user", "")
    now = await visit.done(lambda server: outlook.read(server, user, visit.now_s))
    if now.person is None:
        raise Refused(404, "There is no such person here.")
    return visit.show(
        "person.html",
        user=user,
        outlook=now,
        offers=_offers(now),
        may_unlock=visit.holder.role in pages.LEADERS,
    )


async def fallback(visit: Visit) -> Response:
    user, hours = visit.form.get("user", ""), visit.form.get("hours", "")
    if hours not in map(str, FALLBACK_HOURS):
        raise Refused(400, "This form cannot be read. Nothing was changed.")
    until_s = None if "end" in visit.form else visit.now_s + int(hours) * 3600
    try:
        now = await visit.done(lambda server: server.set_fallback(user, until_s))
    except Rejected as error:
        if error.code != "no-old-way":
            raise
        return visit.again(_of(user), "There is no old way any more.", "hours")
    if now.fallback_until_s is None:
        return visit.go(_of(user), "The old way is closed again: the devices count.")
    return visit.go(_of(user), f"The old way is open until {words.moment(now.fallback_until_s)}.")


async def resyncing(visit: Visit) -> Response:
    device = await visit.done(lambda server: server.device(visit.device_id))
    return visit.show("resync.html", device=device, back=pages.ROOT + _of(device.user))


async def resync(visit: Visit) -> Response:
    first, second = digits_of(visit.form, "first"), digits_of(visit.form, "second")

    def act(server: EmbeddedServer) -> Device:
        server.resync(visit.device_id, first, second)
        return server.device(visit.device_id)

    try:
        device = await visit.done(act)
    except (VerificationError, Rejected) as error:
        return visit.again(pages.at(pages.RESYNCING, visit.device_id), words.refusal_of_a_pair(error), "first")
    clock = words.clock(device)
    of_its_clock = "" if clock is None else f" Its clock: {clock}."
    return visit.go(_of(device.user), f"“{device.name}” is resynchronised.{of_its_clock}")


async def unlock(visit: Visit) -> Response:
    def act(server: EmbeddedServer) -> Device:
        server.enable(visit.device_id)
        return server.device(visit.device_id)

    device = await visit.done(act)
    return visit.go(_of(device.user), f"“{device.name}” is switched on, and earlier wrong codes are forgiven.")


async def deleting(visit: Visit) -> Response:
    def read(server: EmbeddedServer) -> tuple[Device, Outlook | None]:
        device = server.device(visit.device_id)
        return device, None if device.user is None else outlook.read(server, device.user, visit.now_s)

    device, now = await visit.done(read)
    return visit.show(
        "delete.html",
        device=device,
        outlook=now and now.without(device),
        whose=f"{device.user} is",
        action=pages.ROOT + pages.at(pages.DESK_DELETE, device.device_id),
        back=pages.ROOT + _of(device.user),
    )


async def delete(visit: Visit) -> Response:
    def act(server: EmbeddedServer) -> Device:
        device = server.device(visit.device_id)
        server.delete(visit.device_id)
        return device

    device = await visit.done(act)
    return visit.go(_of(device.user), f"“{device.name}” is deleted.")


HANDLERS: Mapping[pages.Page, Callable[[Visit], Awaitable[Response]]] = {
    pages.DESK: search,
    pages.HELPED: person,
    pages.FALLBACK: fallback,
    pages.RESYNCING: resyncing,
    pages.RESYNC: resync,
    pages.UNLOCK: unlock,
    pages.DESK_DELETING: deleting,
    pages.DESK_DELETE: delete,
}


def _offers(now: Outlook) -> list[tuple[int, float]]:
    """For how many hours the old way could be opened, and when each would end: none outlasts the cut-over."""
    if now.cutover_s is None:
        return []
    longest_s = now.cutover_s - now.now_s
    shorter = [hours for hours in FALLBACK_HOURS if hours * 3600 < longest_s]
    offers = [(hours, now.now_s + hours * 3600) for hours in shorter]
    if len(shorter) < len(FALLBACK_HOURS):
        offers.append((FALLBACK_HOURS[len(shorter)], now.cutover_s))
    return offers


def _of(user: str | None) -> str:
    """A person's page; of a device that nobody has, the search."""
    return pages.DESK.path if user is None else f"{pages.HELPED.path}?user={quote(user, safe='')}"
