"""Templates, the words and units in them, and what every page is sent with."""

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from services.analytics.pages import charts
from services.analytics.words import amount, capital, counted, day, kind, label, money, number, reason

_HERE = Path(__file__).parent

NBSP = "\N{NO-BREAK SPACE}"

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: with it browsers send `Origin: null` with our own forms, and they would be refused.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

AGES = (
    ("current_minor", "Not due"),
    ("due_1_30_minor", "1–30 days"),
    ("due_31_60_minor", "31–60 days"),
    ("due_61_90_minor", "61–90 days"),
    ("due_over_90_minor", "Over 90 days"),
)


class Asset(NamedTuple):
    """A static file, whole in memory."""

    content: bytes
    zipped: bytes
    media_type: str
    version: str


@cache
def assets() -> Mapping[str, Asset]:
    """All static files by name; `version` changes with the content, so that browsers may keep them for ever."""
    found = {}
    for path in sorted((_HERE / "static").iterdir()):
        content = path.read_bytes()
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        version = hashlib.sha256(content).hexdigest()[:12]
        found[path.name] = Asset(content, gzip.compress(content, mtime=0), kind, version)
    return found


def asset_url(name: str) -> str:
    """The address of a static file, with its version."""
    return f"/tower/assets/{name}?v={assets()[name].version}"


def instant(value: datetime | str | None, exact: bool = False) -> Markup | str:
    """An instant as people read it, always in UTC and saying so. `exact`: with milliseconds, for what is in a hurry."""
    if value is None:
        return "–"
    at = (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)
    shown = f"{at.day} {at:%b %Y}, {at.time().isoformat('milliseconds' if exact else 'seconds')} UTC"
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(timespec="milliseconds"), shown)


def clock(value: datetime | None) -> Markup | str:
    """The time of day of an instant, for what is of today."""
    return (
        "–" if value is None else Markup('<time datetime="{}">{:%H:%M:%S} UTC</time>').format(value.isoformat(), value)
    )


def duration(seconds: float | None) -> str:
    """Seconds in the unit that people would choose: 350 ms, 12 s, 5 min, 3 h, 12 days; figure and unit on one line."""
    if seconds is None:
        return "–"
    seconds = float(seconds)
    if seconds < 1:
        return f"{round(seconds * 1000)}{NBSP}ms"
    if seconds < 10:
        return f"{seconds:.1f}{NBSP}s"
    for limit, unit, name in ((120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if seconds < limit:
            return f"{round(seconds / unit)}{NBSP}{name}"
    return f"{round(seconds / 86_400):,}{NBSP}days"


def since(value: datetime | str | None) -> str:
    """How long ago, in minutes at the finest: a figure that changes every second would be shown anew every second."""
    if value is None:
        return "–"
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if value.tzinfo is None:  # a day
        days = (datetime.now(UTC).date() - value.date()).days
        return "today" if days <= 0 else f"{days:,}{NBSP}day{'s' if days > 1 else ''}"
    seconds = (datetime.now(UTC) - value).total_seconds()
    return f"<{NBSP}1{NBSP}min" if seconds < 60 else duration(seconds)


def breakable(name: str) -> Markup:
    """A name of parts with points between them, which may go on in the next line after a point and nowhere else."""
    return Markup(".<wbr>").join(name.split("."))


def naming(text: str, name: str) -> bool:
    """Whether a text has this id or number as a whole: PAY-1 is not in a text about PAY-12."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,  # everything, whatever the file is called: ids and reasons come from outside
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = (amount, capital, counted, day, kind, label, money, number, reason)
    for function in (*words, instant, clock, duration, since, breakable):
        environment.filters[function.__name__] = function
    environment.tests["naming"] = naming
    environment.globals.update(asset=asset_url, columns=charts.columns, nice_top=charts.nice_top, AGES=AGES)
    environment.globals.update(stacked=charts.stacked)
    return environment


def rendered(template: str, **values: Any) -> str:
    """The text of a template."""
    return _environment().get_template(template).render(**values)


def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page, under a policy that lets no foreign or inline script run."""
    return HTMLResponse(rendered(template, **values), status, headers=dict(HEADERS))
