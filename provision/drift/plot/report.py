"""Pictures and the same in words on one HTML page, which needs nothing but itself: it can be mailed and printed."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from html import escape

from provision.drift.plot.charts import rendered
from provision.drift.plot.pictures import Picture, printable

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>Clock drift</title>
<style>
body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #202020 }
img { width: 100% }
figure { margin: 2rem 0; break-inside: avoid }
pre { font-size: 14px; line-height: 1.4; overflow-x: auto }
@media print { pre { white-space: pre-wrap } }
</style>
</head>
<body>
"""


def page(pictures: Iterable[tuple[str, Picture]], told: str) -> str:
    """`pictures`: each with its title. `told`: what they show, in words; lines are kept."""
    parts = [_HEAD]
    for title, picture in pictures:
        # As an image of its own each: the names inside an SVG would clash with those in the next.
        data = b64encode(rendered(picture, title, "svg")).decode("ascii")
        parts.append(f'<figure><img alt="{escape(title)}" src="data:image/svg+xml;base64,{data}"></figure>\n')
    return "".join([*parts, f"<pre>{escape(printable(told))}</pre>\n</body>\n</html>\n"])
