"""What happens when a clerk presses a button: whose form it is, what is in it, what came of it."""

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request
from fastapi.responses import Response

from services.analytics.pages.peers import PeerError
from services.analytics.pages.queues import ACTIONS, Queues
from shared.errors import ContractError, Problem

FORM_BYTES_MAX = 10_000
FIELDS_MAX = 20
NOTICE_COOKIE = "o2c_notice"
NOTICE_SECONDS = 60
NOTICE_LENGTH_MAX, REASONS_MAX, REASON_LENGTH_MAX = 400, 2, 80
"""So that a notice fits a cookie in any script."""

MISSING: Mapping[str, str] = {"by": "your name must be filled in, so that everybody can see who did this"}
"""What is said of a field that was left empty, where there is more to say."""

Notice = dict[str, Any]
"""`ok`, `text`, and, for what was refused, `reasons`: (field, message) each. `unsure`: perhaps it is done."""


class ForeignFormError(Exception):
    """A form that was not sent by one of our own pages."""


def refuse_foreign(request: Request) -> None:
    """ForeignFormError unless the browser says that the form is on a page of this very address.

    Browsers send `Origin` with every POST, and no page can forge it. There is no session here that a token could be
    bound to, so the origin is the whole protection: a request without one is refused as well.
    """
    origin = urlsplit(request.headers.get("origin", ""))
    site = request.headers.get("sec-fetch-site", "same-origin")
    if not origin.netloc or origin.netloc != request.headers.get("host") or site != "same-origin":
        raise ForeignFormError("This form was not sent by a page of the control tower; nothing was done.")


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, trimmed. ContractError for a body that is no form or too large."""
    kind = request.headers.get("content-type", "").partition(";")[0]
    body = await request.body()
    if kind != "application/x-www-form-urlencoded" or len(body) > FORM_BYTES_MAX:
        raise ContractError([Problem("", "form", f"must be a form of at most {FORM_BYTES_MAX} bytes")])
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise ContractError([Problem("", "form", "must be a form in UTF-8")]) from error
    return {name: value.strip() for name, value in pairs}


async def outcome(queues: Queues, name: str, form: Mapping[str, str], trace: str) -> Notice:
    """Do what the form asks for; what to tell the clerk."""
    action = ACTIONS[name]
    try:
        empty = [field for field in action.needs if not form.get(field)]
        if empty:
            raise ContractError([Problem(f, "missing", MISSING.get(f, "must be filled in")) for f in empty])
        answer = await queues.act(action, form, trace)
    except PeerError as error:
        if error.may_be_done:
            text = f"{error.service}: {error.detail}. It may be done all the same: look before you repeat it."
            return {"ok": False, "unsure": True, "text": text, "reasons": []}
        refused = "changed since this page was loaded; look again" if error.status == 412 else error.detail
        return _refused(f"{error.service}: {refused}", error.reasons)
    except ContractError as error:
        return _refused("Nothing was done.", tuple((p.field, p.message) for p in error.problems))
    if isinstance(answer, dict) and answer.get("stopped_by"):
        return _refused(f"It failed again: {answer['stopped_by']}", ())
    known = {**form, **(answer if isinstance(answer, dict) else {})}
    return {"ok": True, "unsure": False, "text": action.done.format_map(_Words({**known, **action.told(known)}))}


class _Words(dict[str, Any]):
    """What a sentence names; a service of another version may leave a word out."""

    def __missing__(self, word: str) -> str:
        return "?"


def _refused(text: str, reasons: tuple[tuple[str, str], ...]) -> Notice:
    return {"ok": False, "unsure": False, "text": text, "reasons": [list(reason) for reason in reasons]}


def set_notice(response: Response, notice: Notice) -> None:
    """Hand the notice to the next page, once."""
    short = {**notice, "text": notice["text"][:NOTICE_LENGTH_MAX]}
    reasons = notice.get("reasons", [])[:REASONS_MAX]
    short["reasons"] = [[part[:REASON_LENGTH_MAX] for part in reason] for reason in reasons]
    value = base64.urlsafe_b64encode(json.dumps(short, ensure_ascii=False).encode()).decode()
    response.set_cookie(NOTICE_COOKIE, value, NOTICE_SECONDS, path="/tower", samesite="strict", httponly=True)


def read_notice(request: Request) -> Notice | None:
    """What the last action led to; None when there is nothing to say."""
    try:
        notice = json.loads(base64.urlsafe_b64decode(request.cookies.get(NOTICE_COOKIE, "")))
        reasons = [(str(field), str(message)) for field, message in notice["reasons"]]
        known = {name: bool(notice[name]) for name in ("ok", "unsure")}
        return {**known, "text": str(notice["text"]), "reasons": reasons}
    except (ValueError, KeyError, TypeError):
        return None
