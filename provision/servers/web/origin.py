"""Whether a form was sent by a page of ours. Pure.

Browsers say where a request comes from in headers that no script and no form can write: Sec-Fetch-Site where the page
came over TLS or from this machine, Origin with every POST (WHATWG Fetch; W3C Fetch Metadata). Who says neither is no
browser that can be asked to keep its user safe, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit


def is_same(headers: Mapping[str, str]) -> bool:
    """`headers` with lower-case names. Nothing that a proxy may have added (X-Forwarded-...) is looked at."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    try:
        sent_by = urlsplit(headers.get("origin", "")).netloc
    except ValueError:  # brackets that hold no address
        return False
    return bool(sent_by) and sent_by == headers.get("host", "")
