"""Live figures for all viewers together: each source is read once however many look, and at its own pace."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from services.analytics.pages.peers import PeerError
from shared.errors import O2CError, UnavailableError, in_words

log = structlog.get_logger()

TICK_SECONDS = 1.0
SHARE_MAX = 0.05
"""Of the time, how much one source may keep a store or a service busy: one that takes 1 s is read every 20 s."""
WAITED_SECONDS = 5.0
"""The pause where the time went by waiting for somebody who does not answer: how he is, is what everybody looks for."""
READ_SECONDS_MAX = 6.0
HEARTBEAT_SECONDS = 15.0
VIEWERS_MAX = 200


@dataclass
class Reading:
    """The last value of a source, when it was read, and what is wrong with reading it now ("" when nothing is)."""

    value: Any = None
    at: datetime | None = None
    problem: str = ""


@dataclass
class Source:
    """Something to be read again and again, `seconds` apart at least. `waits`: it asks others, who may not answer."""

    name: str
    read: Callable[[], Awaitable[Any]]
    seconds: float = TICK_SECONDS
    waits: bool = False
    reading: Reading = field(default_factory=Reading)
    due_at: float = 0.0
    task: "asyncio.Task[None] | None" = None


class Live:
    """Reads sources while somebody looks, renders panels of them, and tells every viewer what changed.

    `render`: readings by source name → panels by name. Nobody looks: nothing is read.
    """

    def __init__(self, sources: Sequence[Source], render: Callable[[Mapping[str, Reading]], Mapping[str, str]]) -> None:
        self._sources, self._render = sources, render
        self._panels: dict[str, tuple[int, str]] = {}
        self._changed = asyncio.Event()
        self._turning: asyncio.Task[None] | None = None
        self._version = self.viewers = 0
        self._ending = self._closed = False

    @property
    def readings(self) -> dict[str, Reading]:
        """What was read last, by source."""
        return {source.name: source.reading for source in self._sources}

    def admit(self) -> None:
        """UnavailableError when too many look already."""
        if self.viewers >= VIEWERS_MAX:
            raise UnavailableError("too many pages are open; try again later")

    async def panels(self, seconds_max: float) -> dict[str, str]:
        """All panels, as fresh as their sources' pace and this wait allow."""
        begun = self._begin()
        if begun:
            await asyncio.wait(begun, timeout=seconds_max)
        self._show()
        return {name: html for name, (_, html) in self._panels.items()}

    async def updates(self) -> AsyncIterator[dict[str, str]]:
        """Panels that changed, each time some did; an empty dict as a sign of life. Ends when the service stops."""
        self.viewers += 1
        if self._turning is None or self._turning.done():
            self._turning = asyncio.create_task(self._turn(), name="live")
        seen: dict[str, int] = {}
        try:
            while not self._ending:
                changed = self._changed
                fresh = {name: html for name, (version, html) in self._panels.items() if version > seen.get(name, 0)}
                seen = {name: version for name, (version, _) in self._panels.items()}
                yield fresh
                # A slow viewer misses what came between, and gets the latest: nothing is queued for anybody.
                with suppress(TimeoutError):
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        await changed.wait()
        finally:
            self.viewers -= 1

    def end_updates(self) -> None:
        """End all updates: an answer without an end would hold up the shut-down. Viewers come again, elsewhere."""
        self._ending = True
        self._wake()

    async def close(self) -> None:
        """End all updates, and read nothing any more."""
        self._closed = True
        self.end_updates()
        tasks = [task for task in (self._turning, *(source.task for source in self._sources)) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _turn(self) -> None:
        while self.viewers > 0:
            begun = self._begin()
            if begun:
                await asyncio.wait(begun, timeout=TICK_SECONDS)
            try:
                if self._show():
                    self._wake()
            except Exception as error:
                log.warning("the panels could not be shown", error=in_words(error))
            await asyncio.sleep(TICK_SECONDS)

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _begin(self) -> list["asyncio.Task[None]"]:
        """Start reading what is due; returns all that is being read."""
        now = time.monotonic()
        for source in self._sources:
            if source.due_at <= now and (source.task is None or source.task.done()) and not self._closed:
                source.task = asyncio.create_task(_read(source), name=f"live {source.name}")
        return [s.task for s in self._sources if s.task is not None and not s.task.done()]

    def _show(self) -> bool:
        """Render; whether any panel is another than before."""
        changed = False
        for name, html in self._render(self.readings).items():
            if name not in self._panels or self._panels[name][1] != html:
                self._version += 1
                self._panels[name] = (self._version, html)
                changed = True
        return changed


async def _read(source: Source) -> None:
    """Read once. A value that was there stays beside the reason why there is no newer one."""
    begun = time.monotonic()
    reading, waited = source.reading, source.waits
    try:
        async with asyncio.timeout(READ_SECONDS_MAX):
            value = await source.read()
        source.reading = Reading(value, datetime.now(UTC))
    except (PeerError, O2CError, TimeoutError) as error:
        why = str(error) or "it took too long"
        waited = waited or isinstance(error, PeerError)
        source.reading = Reading(reading.value, reading.at, why)
    except Exception as error:
        log.warning("a figure could not be read", source=source.name, error=in_words(error))
        source.reading = Reading(reading.value, reading.at, "an error of ours; it is in the log")
    took = time.monotonic() - begun
    rest = took * (1 / SHARE_MAX - 1)
    if waited:
        rest = min(rest, WAITED_SECONDS)
    source.due_at = time.monotonic() + max(source.seconds, rest)
