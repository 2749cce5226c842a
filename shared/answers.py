"""What a service answers to another program, read: its problem documents (RFC 9457). Loads no web framework."""

from dataclasses import dataclass

import httpx


@dataclass(frozen=True, slots=True)
class ProblemSaid:
    """An answer of 400 or more. `line`: its status and what that is called; `detail`: what the service says to people,
    "" if that is nothing; `reasons`: (field, message) of each problem of a 422."""

    status: int
    line: str
    detail: str = ""
    reasons: tuple[tuple[str, str], ...] = ()


def problem_said(response: httpx.Response) -> ProblemSaid:
    """The problem of an answer, whatever its body is: a proxy in between may have written it."""
    line = f"{response.status_code} {response.reason_phrase}"
    try:
        document = response.json()
        detail = str(document.get("detail") or document.get("title") or "")
        reasons = tuple((str(each["field"]), str(each["message"])) for each in document.get("errors", ()))
    except (ValueError, AttributeError, KeyError, TypeError):
        return ProblemSaid(response.status_code, line)
    return ProblemSaid(response.status_code, line, detail, reasons)
