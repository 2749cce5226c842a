"""The HTTP face of a service process: its own routes, health, status and the care of dead letters."""

import base64
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, FastAPI, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import NotFoundError
from shared.eventsourced.commands import Commands
from shared.frame.status import status_of
from shared.http import PROBLEMS, Cursor, Limit, Page, decode_cursor, install_problems, page_of
from shared.http.parameters import PAGE_SIZE
from shared.http.problems import problem_response
from shared.telemetry.prometheus import CONTENT_TYPE

if TYPE_CHECKING:
    from shared.frame.running import Running


_NAMES = ("id", "status", "message_id", "type", "stream", "topic", "code", "reason", "attempts")
_SHOWN = ", ".join((*_NAMES, "parked_at", "resolved_at"))  # without bodies: a page of them might fill the memory


class BodyLimit:
    """Refuses bodies over the limit, whether or not the sender says how long they are (HTTP 413)."""

    def __init__(self, app: ASGIApp, bytes_max: int) -> None:
        self._app, self._bytes_max = app, bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._bytes_max:
            await self._refuse(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._bytes_max:
                raise _TooLarge(413, f"at most {self._bytes_max} bytes are taken")
            return message

        try:
            await self._app(scope, counted, send)
        except _TooLarge:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = problem_response(413, f"at most {self._bytes_max} bytes are taken", "too_large")
        await response(scope, receive, send)


class _TooLarge(HTTPException):
    """A body without an honest length went over the limit. An HTTPException, since FastAPI makes others a 400."""

    code = "too_large"


class DeadLetter(BaseModel):
    """A message that could not be processed."""

    id: int
    status: str
    message_id: str
    type: str
    stream: str
    topic: str
    code: str
    reason: str
    attempts: int
    parked_at: str
    resolved_at: str | None


class DeadLetterWhole(DeadLetter):
    """With everything that was in the record; bytes that are no UTF-8 are shown escaped."""

    partition: int
    offset: int
    headers: list[tuple[str, str]]
    key: str | None
    body: str
    body_base64: str


class Live(BaseModel):
    """Whether the parts of the process run, and which do not."""

    live: bool
    dead: list[str]


class Ready(BaseModel):
    """Whether the process answers requests, and what keeps it from any of its work: part → reason."""

    ready: bool
    missing: dict[str, str]


class Retried(BaseModel):
    """What became of a letter and of those that waited behind it."""

    done: int
    stopped_by: str = ""


def build_http(running: "Running", commands: Commands) -> FastAPI:
    """The application of one service process. It needs nothing that is started, until the first request."""
    name = running.service.name
    app = FastAPI(
        title=f"O2C {name}",
        version=running.version,
        description=f"The {name} service of the order-to-cash system. Errors are RFC 9457 problems.",
        docs_url="/docs",
        redoc_url=None,
    )
    install_problems(app)
    app.include_router(running.service.routes(commands))
    app.include_router(_operations(running, commands))
    app.add_middleware(BodyLimit, bytes_max=running.settings.body_bytes_max)
    return app


def _operations(running: "Running", commands: Commands) -> APIRouter:
    router = APIRouter(tags=["operations"], responses=PROBLEMS)

    _health(router, running)

    @router.get("/metrics", summary="For Prometheus", include_in_schema=False)
    async def metrics() -> Response:
        return Response(await running.metrics.text(), media_type=CONTENT_TYPE)

    @router.get("/status", summary="Positions, backlog and faults of this process")
    async def status() -> dict[str, Any]:
        return await status_of(running)

    @router.post("/replay", status_code=202, summary="Say every public fact again, from the store")
    async def replay() -> dict[str, int]:
        return {"lanes": await running.replay()}

    @router.post("/rebuild", summary="Make the read tables anew")
    async def rebuild() -> dict[str, int]:
        return {"facts": await running.rebuild()}

    _letters(router, running, commands)
    return router


def _health(router: APIRouter, running: "Running") -> None:
    """Answered in the same form whether all is well or not: no problem documents here."""

    @router.get(
        "/health/live",
        summary="Nothing in the process is dead that only a restart would bring back",
        responses={503: {"model": Live}},
    )
    async def live(response: Response) -> Live:
        dead = running.dead()
        response.status_code = 503 if dead else 200
        return Live(live=not dead, dead=dead)

    @router.get(
        "/health/ready",
        summary="The process has begun and answers requests; and what is missing, Kafka included",
        responses={503: {"model": Ready}},
    )
    async def ready(response: Response) -> Ready:
        missing = await running.missing()
        is_ready = running.ready(missing)
        response.status_code = 200 if is_ready else 503
        return Ready(ready=is_ready, missing=missing)


def _letters(router: APIRouter, running: "Running", commands: Commands) -> None:
    @router.get("/dead-letters", summary="Messages that could not be processed, newest first")
    async def dead_letters(limit: Limit = PAGE_SIZE, cursor: Cursor = None, status: str = "") -> Page[DeadLetter]:
        key = decode_cursor(cursor, int)
        rows = await commands.fetch(
            f"SELECT {_SHOWN} FROM dead_letters WHERE ($1 = '' OR status = $1) AND ($2::bigint IS NULL OR id < $2) "
            "ORDER BY id DESC LIMIT $3",
            status.replace("\x00", ""),
            key[0] if key else None,
            limit + 1,
        )
        page = page_of([_shown(row) for row in rows], limit, lambda row: (row["id"],))
        return Page[DeadLetter].model_validate(page)

    @router.get("/dead-letters/{letter_id}", summary="One of them, whole")
    async def dead_letter(letter_id: int) -> DeadLetterWhole:
        rows = await commands.fetch("SELECT * FROM dead_letters WHERE id = $1", _bigint(letter_id))
        if not rows:
            raise NotFoundError(f"there is no dead letter {letter_id}")
        return DeadLetterWhole.model_validate(_shown_whole(rows[0]))

    @router.post("/dead-letters/{letter_id}/retry", summary="Try it and those behind it again")
    async def retry(letter_id: int) -> Retried:
        done, stopped_by = await running.letters.retry(_bigint(letter_id))
        return Retried(done=done, stopped_by=stopped_by)

    @router.post("/dead-letters/{letter_id}/drop", summary="Give it up; those behind it are tried")
    async def drop(letter_id: int) -> Retried:
        return Retried(done=await running.letters.drop(_bigint(letter_id)))


def _bigint(number: int) -> int:
    if not 0 <= number < 2**63:
        raise NotFoundError(f"there is no dead letter {number}")
    return number


def _shown(row: Any) -> dict[str, Any]:
    resolved = row["resolved_at"]
    return {
        **{name: row[name] for name in _NAMES},
        "parked_at": row["parked_at"].isoformat(),
        "resolved_at": resolved.isoformat() if resolved else None,
    }


def _shown_whole(row: Any) -> dict[str, Any]:
    headers = msgspec.json.decode(row["headers"], type=list[tuple[str, bytes]])
    return {
        **_shown(row),
        "partition": row["partition"],
        "offset": row["record_offset"],
        "headers": [(name, value.decode("utf-8", "backslashreplace")) for name, value in headers],
        "key": None if row["key"] is None else row["key"].decode("utf-8", "backslashreplace"),
        "body": row["body"].decode("utf-8", "backslashreplace"),
        "body_base64": base64.b64encode(row["body"]).decode(),
    }
