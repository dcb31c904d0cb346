"""A person's own devices. Whose they are, the server keeps to: others do not exist here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from starlette.responses import Response

from provision.errors import AlreadyRegistered, InputError, Rejected, VerificationError
from provision.model import Secret
from provision.servers.backend import Device
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.web import outlook, pages, render, words
from provision.servers.web.outlook import Outlook
from provision.servers.web.visit import Visit, digits_of


@dataclass(frozen=True, slots=True)
class Shown:
    """A seed as its page shows it, once. `secret`: Base32, in groups of four for whoever types it."""

    otpauth: str = field(repr=False)
    secret: str = field(repr=False)
    qr: str = field(repr=False)


async def devices(visit: Visit) -> Response:
    return visit.show(
        "devices.html", outlook=await visit.done(lambda server: outlook.read(server, visit.user, visit.now_s))
    )


async def new(visit: Visit) -> Response:
    return visit.show("new.html")


async def add(visit: Visit) -> Response:
    name = visit.form.get("name", "").strip()
    try:
        enrolment = await visit.done(lambda server: server.enrol(visit.user, name))
    except (AlreadyRegistered, InputError, Rejected) as error:
        return visit.again(pages.NEW.path, words.refusal(error), "name", name)
    device_id = enrolment.device.device_id
    visit.session.shown_once = device_id, enrolment.otpauth
    return visit.go(pages.at(pages.PROVING, device_id))


async def proving(visit: Visit) -> Response:
    device = await visit.done(lambda server: server.device(visit.device_id))
    if not device.pending:
        return visit.go(pages.DEVICES.path)
    shown = None
    fresh = visit.session.shown_once
    if fresh is not None and fresh[0] == device.device_id and visit.request.method == "GET":
        shown, visit.session.shown_once = _shown(fresh[1]), None
    return visit.show("prove.html", device=device, shown=shown)


async def prove(visit: Visit) -> Response:
    code = digits_of(visit.form, "code")
    try:
        await visit.done(lambda server: server.prove(visit.device_id, code))
    except (VerificationError, Rejected) as error:
        if not (isinstance(error, Rejected) and error.code == "proved"):  # a second click on the button found it proved
            return visit.again(pages.at(pages.PROVING, visit.device_id), words.refusal(error), "code")
    return visit.go(pages.DEVICES.path, "Your device is ready: log in with its codes from now on.")


async def renaming(visit: Visit) -> Response:
    return visit.show("rename.html", device=await visit.done(lambda server: server.device(visit.device_id)))


async def rename(visit: Visit) -> Response:
    name = visit.form.get("name", "").strip()
    try:
        await visit.done(lambda server: server.rename(visit.device_id, name))
    except (AlreadyRegistered, InputError) as error:
        return visit.again(pages.at(pages.RENAMING, visit.device_id), words.refusal(error), "name", name)
    return visit.go(pages.DEVICES.path, f"The device is called “{name}” now.")


async def deleting(visit: Visit) -> Response:
    def read(server: EmbeddedServer) -> tuple[Device, Outlook]:
        return server.device(visit.device_id), outlook.read(server, visit.user, visit.now_s)

    device, now = await visit.done(read)
    return visit.show(
        "delete.html",
        device=device,
        outlook=now.without(device),
        whose="you are",
        action=pages.ROOT + pages.at(pages.DELETE, device.device_id),
        back=pages.ROOT + pages.DEVICES.path,
    )


async def delete(visit: Visit) -> Response:
    def act(server: EmbeddedServer) -> str:
        name = server.device(visit.device_id).name
        server.delete(visit.device_id, even_if_locked_out="even_if_locked_out" in visit.form)
        return name

    try:
        name = await visit.done(act)
    except Rejected as error:
        if error.code != "locks-out":
            raise
        return visit.again(pages.at(pages.DELETING, visit.device_id), words.LAST_WAY_IN)
    if "again" in visit.form:
        return visit.go(pages.NEW.path, f"“{name}” is deleted. Give the new one a name.")
    return visit.go(pages.DEVICES.path, f"“{name}” is deleted.")


HANDLERS: Mapping[pages.Page, Callable[[Visit], Awaitable[Response]]] = {
    pages.DEVICES: devices,
    pages.NEW: new,
    pages.ADD: add,
    pages.PROVING: proving,
    pages.PROVE: prove,
    pages.RENAMING: renaming,
    pages.RENAME: rename,
    pages.DELETING: deleting,
    pages.DELETE: delete,
}


def _shown(otpauth: Secret) -> Shown:
    uri = otpauth.reveal().decode()
    secret = parse_qs(urlsplit(uri).query)["secret"][0]
    groups = (secret[at : at + 4] for at in range(0, len(secret), 4))
    return Shown(uri, " ".join(groups), render.qr(otpauth))
