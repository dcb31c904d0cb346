"""Templates and QR codes. Every value is escaped unless a template marks it as HTML, and none does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import segno
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from provision.model import Secret
from provision.servers.web import words
from provision.servers.web.pages import ROOT

_FOLDER = Path(__file__).parent
STYLE = (_FOLDER / "style.css").read_text("utf-8")

_templates = Environment(
    loader=FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals["root"] = ROOT
_templates.globals["words"] = words


def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    return HTMLResponse(_templates.get_template(template).render(**values), status)


def qr(otpauth: Secret) -> str:
    """The URI as a picture that a page can hold, black on white in any colour scheme, with its quiet zone."""
    picture: str = segno.make_qr(otpauth.reveal().decode(), error="m").svg_data_uri(scale=5, light="#fff")
    return picture
