"""A browser without a screen: keeps its cookie, fills in forms, and tells what a page says."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode

from provision.servers.web.pages import ROOT
from tests.servers.over_http import Service

HOST = "codes.example"


@dataclass
class Form:
    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)


class Page(HTMLParser):
    """An answer. `text`: what a person reads. `path`: where it was in the end, below ROOT."""

    def __init__(self, path: str, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__()
        self.path, self.status, self.headers, self.html = path, status, headers, body.decode()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._words: list[str] = []
        self.feed(self.html)
        self.text = " ".join(" ".join(self._words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        match tag:
            case "form":
                self.forms.append(Form(found.get("method") or "get", found["action"] or ""))
            case "input" | "select" if self.forms and found.get("name"):
                self.forms[-1].fields[found["name"] or ""] = found.get("value") or ""
            case "a":
                self.links.append(found["href"] or "")

    def handle_data(self, data: str) -> None:
        self._words.append(data)

    def form(self, end: str) -> Form:
        """The one whose action ends so."""
        (found,) = [form for form in self.forms if form.action.endswith(end)]
        return found


class Visitor:
    """Follows redirects. `sent`: headers that it adds to each request."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.cookie: str | None = None
        self.set_cookie: str | None = None
        self.sent: dict[str, str] = {"host": HOST, "sec_fetch_site": "same-origin"}

    def get(self, path: str) -> Page:
        return self.ask("GET", ROOT + path)

    def post(self, path: str, **fields: str) -> Page:
        """A form, as its page would send it, but for `fields`."""
        return self.ask("POST", ROOT + path, urlencode(fields).encode())

    def submit(self, form: Form, **typed: str) -> Page:
        return self.ask(form.method.upper(), form.action, urlencode(form.fields | typed).encode())

    def sign_in(self, api_token: str) -> Page:
        return self.submit(self.get("/sign-in").form("/sign-in"), api_token=api_token)

    def ask(self, method: str, target: str, body: bytes | None = None, *, follow: bool = True) -> Page:
        headers = dict(self.sent)
        if body is not None:
            headers.setdefault("content_type", "application/x-www-form-urlencoded")
        if self.cookie is not None:
            headers["cookie"] = self.cookie
        status, told, answer = self._service.ask(method, target, body, **headers)
        if "set-cookie" in told:
            self.set_cookie = told["set-cookie"]
            self.cookie = self.set_cookie.partition(";")[0]
        if follow and status == 303:
            return self.ask("GET", told["location"])
        return Page(target.removeprefix(ROOT), status, told, answer)
