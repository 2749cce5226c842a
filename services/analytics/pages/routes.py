"""Routes of the pages: what is shown, what is sent live, and what clerks do."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Annotated, Any
from urllib.parse import quote, unquote, urlsplit

from fastapi import APIRouter, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from fastapi.routing import APIRoute

from services.analytics.pages.acting import (
    NOTICE_COOKIE,
    ForeignFormError,
    outcome,
    read_form,
    read_notice,
    refuse_foreign,
    set_notice,
)
from services.analytics.pages.figures import Figures
from services.analytics.pages.live import Live
from services.analytics.pages.panels import panels
from services.analytics.pages.peers import PeerError, Peers
from services.analytics.pages.queues import ACTIONS, QUEUES, Queues
from services.analytics.pages.rendering import HEADERS, assets, page
from services.analytics.pages.searching import Search
from services.analytics.pages.stories import Stories
from shared.errors import ContractError, NotFoundError, O2CError, UnavailableError
from shared.eventsourced.commands import Commands
from shared.http import Cursor, Trace

ID_LENGTH_MAX = 128
CLERK_COOKIE = "o2c_clerk"
YEAR_SECONDS = 31_536_000
RETRY_MS = 2_000
OVERVIEW_SECONDS_MAX, FRAME_SECONDS_MAX = 2.0, 0.5
"""How long a page waits for figures that nobody has read lately; what is late comes with the live updates."""

Id = Annotated[str, Path(max_length=ID_LENGTH_MAX, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""An id; those that a bank gave may have slashes in them."""

Mark = Annotated[str, Query(max_length=ID_LENGTH_MAX)]
"""What the reader comes for: marked in a story, first in a list."""


def page_route(live: Live) -> type[APIRoute]:
    """Routes whose errors are pages as well, in the frame of all others, and whose pages answer HEAD.

    The server then leaves the body out.
    """

    class PageRoute(APIRoute):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            if self.methods == {"GET"}:
                self.methods = {"GET", "HEAD"}

        def get_route_handler(self) -> Callable[[Request], Any]:
            handle = super().get_route_handler()

            async def shown(request: Request) -> Response:
                try:
                    return await handle(request)
                except (O2CError, PeerError, ForeignFormError, RequestValidationError) as error:
                    status, title, detail = _failure(error)
                    return await _shown(request, live, "failed.html", status, title=title, detail=detail)

            return shown

    return PageRoute


def _failure(error: Exception) -> tuple[int, str, str]:
    """HTTP status, title and text of the page for an error."""
    match error:
        case NotFoundError():
            return 404, "Not found", error.message
        case ForeignFormError():
            return 403, "Refused", str(error)
        case ContractError() | RequestValidationError():
            return 422, "This cannot be read", "The address or the form has a value that is not taken."
        case UnavailableError():
            return 503, "Not now", error.message
        case PeerError():
            return error.status or 503, "A service did not answer", error.detail
        case _:
            raise error


class Tower:
    """The pages of one analytics process. When it stops: `end_updates()`, the last answers, `close()`."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._live: Live | None = None

    def routes(self, commands: Commands) -> APIRouter:
        """All routes of the pages; none of them is part of the public API."""
        live = self._live = Live(Figures(commands, self._peers).sources(), panels)
        router = APIRouter(route_class=page_route(live), include_in_schema=False)
        _overview_routes(router, live)
        _story_routes(router, live, Stories(commands, self._peers), Search(commands, self._peers))
        _queue_routes(router, live, Queues(self._peers))
        router.add_api_route("/tower/{rest:path}", _no_such_page)  # the last: what no route above takes
        return router

    def end_updates(self) -> None:
        """End the live updates, which have no end of their own; all else is still answered."""
        if self._live is not None:
            self._live.end_updates()

    async def close(self) -> None:
        """Read nothing any more, and drop the connections to the other services."""
        if self._live is not None:
            await self._live.close()
        await self._peers.close()


async def _no_such_page(request: Request) -> Response:
    path = request.url.path
    if path.endswith("/"):
        return RedirectResponse(request.url.replace(path=path.rstrip("/")))
    raise NotFoundError("There is no such page.")


def _overview_routes(router: APIRouter, live: Live) -> None:
    @router.get("/")
    async def root() -> Response:
        return RedirectResponse("/tower")

    @router.get("/tower")
    async def overview(request: Request) -> Response:
        return await _shown(request, live, "overview.html")

    @router.get("/tower/live")
    async def updates(request: Request) -> Response:
        live.admit()
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        if request.method == "HEAD":  # what has no end would be awaited, though nobody gets it
            return Response(media_type="text/event-stream", headers=headers)
        return StreamingResponse(_events(live), media_type="text/event-stream", headers=headers)

    @router.get("/tower/assets/{name}")
    async def asset(name: str, request: Request) -> Response:
        found = assets().get(name)
        if found is None:
            raise NotFoundError("There is no such file.")
        headers = {**HEADERS, "Cache-Control": f"public, max-age={YEAR_SECONDS}, immutable", "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(found.zipped, media_type=found.media_type, headers={**headers, "Content-Encoding": "gzip"})
        return Response(found.content, media_type=found.media_type, headers=headers)


async def _events(live: Live) -> AsyncIterator[str]:
    """Panels as server-sent events, each named like its panel."""
    yield f"retry: {RETRY_MS}\n\n"
    async for changed in live.updates():
        if not changed:
            yield ": still here\n\n"
        for name, html in changed.items():
            data = "\n".join(f"data: {line}" for line in html.splitlines())
            yield f"event: {name}\n{data}\n\n"


async def _shown(request: Request, live: Live, template: str, status: int = 200, **values: Any) -> Response:
    """A page in its frame, with what the last action led to, once."""
    shown = await live.panels(OVERVIEW_SECONDS_MAX if template == "overview.html" else FRAME_SECONDS_MAX)
    notice = read_notice(request)
    clerk = unquote(request.cookies.get(CLERK_COOKIE, ""))
    response = page(template, status, **{"panels": shown, "clerk": clerk, "notice": notice, **values})
    if notice is not None:
        response.delete_cookie(NOTICE_COOKIE, path="/tower")
    return response


def _story_routes(router: APIRouter, live: Live, stories: Stories, search: Search) -> None:
    @router.get("/tower/search")
    async def searched(request: Request, q: Annotated[str, Query(max_length=ID_LENGTH_MAX)] = "") -> Response:
        wanted = "".join(c for c in q if c.isprintable()).strip()
        found = await search.find(wanted)
        if len(found["hits"]) == 1:
            return RedirectResponse(found["hits"][0].address, 303)
        return await _shown(request, live, "search.html", wanted=wanted, **found)

    @router.get("/tower/orders/{order_id}")
    async def order(order_id: Id, request: Request, mark: Mark = "") -> Response:
        return await _shown(request, live, "order.html", mark=mark, **await stories.order(order_id))

    @router.get("/tower/customers/{customer_id}")
    async def customer(customer_id: Id, request: Request) -> Response:
        return await _shown(request, live, "customer.html", **await stories.customer(customer_id))

    @router.get("/tower/invoices/{invoice_id}")
    async def invoice(invoice_id: Id, request: Request, mark: Mark = "") -> Response:
        return await _shown(request, live, "invoice.html", mark=mark, **await stories.invoice(invoice_id))

    @router.get("/tower/payments/{payment_id:path}")
    async def payment(payment_id: Id, request: Request) -> Response:
        return await _shown(request, live, "payment.html", **await stories.payment(payment_id))


def _queue_routes(router: APIRouter, live: Live, queues: Queues) -> None:
    @router.get("/tower/queues/dead-letters")
    async def letters(request: Request) -> Response:
        found, problems = await queues.letters()
        return await _shown(request, live, "letters.html", letters=found, problems=problems)

    @router.get("/tower/queues/cash/{customer_id}")
    async def cash(customer_id: Id, request: Request, source: Mark = "") -> Response:
        account, etag = await queues.account(customer_id)
        account["unapplied"].sort(key=lambda credit: credit["source_id"] != source)  # what was asked for comes first
        return await _shown(request, live, "apply.html", account=account, etag=etag, customer_id=customer_id)

    @router.get("/tower/queues/{name}")
    async def queue(name: str, request: Request, cursor: Cursor = None) -> Response:
        if name not in QUEUES:
            raise NotFoundError("There is no such queue.")
        shown = QUEUES[name]
        try:
            entries, away = await queues.page(shown, cursor), ""
        except PeerError as error:
            if error.is_refusal:
                raise
            entries, away = {"items": [], "next": None}, error.detail
        values = {"queue": shown, "entries": entries["items"], "next": entries["next"], "away": away}
        return await _shown(request, live, f"{name}.html", **values)

    @router.post("/tower/actions/{name}")
    async def act(name: str, request: Request, trace: Trace) -> Response:
        refuse_foreign(request)
        if name not in ACTIONS:
            raise NotFoundError("There is no such action.")
        form = await read_form(request)
        notice = await outcome(queues, name, form, trace)
        response = RedirectResponse(_back(form), 303, headers=dict(HEADERS))
        set_notice(response, notice)
        if form.get("by"):
            # Fills in the next form: it names who decides, and gives no right to anything.
            options: dict[str, Any] = {"path": "/tower", "samesite": "strict", "httponly": True}
            response.set_cookie(CLERK_COOKIE, quote(form["by"]), YEAR_SECONDS, **options)
        return response


def _back(form: Mapping[str, str]) -> str:
    """Where the form was; never another site's address, whatever the form says."""
    back = urlsplit(form.get("back", ""))
    own = not back.scheme and not back.netloc and back.path.startswith("/tower") and "\\" not in back.path
    return back.geturl() if own else "/tower"
