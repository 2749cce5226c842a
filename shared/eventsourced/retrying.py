"""Parked messages after repair: a stream's letters are tried again in their order, each in a transaction of its own."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from shared.errors import ConflictError, NotFoundError, UnavailableError
from shared.eventsourced.faults import passes
from shared.eventsourced.hearing import Translator
from shared.eventsourced.letters import reason_of, storable
from shared.eventsourced.reading import Received
from shared.eventsourced.unit_of_work import Batch, UnitOfWork
from shared.values import Value

_LETTERS = "SELECT * FROM dead_letters"
_NEXT = """
SELECT * FROM dead_letters WHERE stream = $1 AND stream <> '' AND id > $2 AND status IN ('parked', 'waiting')
ORDER BY id LIMIT 1
"""
_OPEN = """
SELECT stream, id, status FROM dead_letters WHERE status IN ('parked', 'waiting') AND (stream, id) > ($1, $2)
ORDER BY stream, id LIMIT $3
"""
_BEFORE_ALL_STREAMS = ("", 2**63 - 1)
_PRUNE = """
DELETE FROM dead_letters WHERE id IN (
    SELECT id FROM dead_letters WHERE status IN ('done', 'dropped') AND resolved_at < now() - make_interval(days => $1)
    ORDER BY resolved_at LIMIT $2)
"""
SWEPT_MAX = 1_000
"""Letters that one sweep looks at, and deletes."""


class _Record(Value, frozen=True, gc=False):
    """What a dead letter keeps of a Kafka record."""

    topic: str
    partition: int
    offset: int
    headers: tuple[tuple[str, bytes], ...]
    key: bytes | None
    value: bytes
    timestamp: int


class _ResolvedError(ConflictError):
    """Somebody else was first with a letter, and goes on with those behind it."""


class Letters:
    """Retry and drop for one service. `read`: a record → what was received, as the consumer reads it."""

    def __init__(self, pool: Any, work: UnitOfWork, translator: Translator, read: Callable[[Any], Received]) -> None:
        self._pool, self._work, self._translator, self._read = pool, work, translator, read
        self._swept = _BEFORE_ALL_STREAMS

    async def retry(self, letter_id: int) -> tuple[int, str]:
        """Try a letter again and, if it succeeds, those that waited behind it. Returns (done, reason it stopped).

        ConflictError: it is done or dropped, or waits behind another one.
        """
        letter = await self._open_letter(letter_id)
        done = 0
        while letter is not None:
            try:
                failure = await self._try(letter)
            except _ResolvedError:
                if done:
                    return done, ""
                raise
            if failure:
                return done, failure
            done += 1
            letter = await self._pool.fetchrow(_NEXT, letter["stream"], letter["id"])
            if letter is not None and letter["status"] == "parked":
                return done, letter["reason"]  # somebody else's try of it has just failed: those behind it wait
        return done, ""

    async def drop(self, letter_id: int) -> int:
        """Give a letter up for good, and try those behind it. Returns how many of those were done."""
        letter = await self._open_letter(letter_id)
        await _close(self._pool, letter_id, "dropped")
        follower = await self._pool.fetchrow(_NEXT, letter["stream"], letter["id"])
        if follower is not None and follower["status"] == "waiting":
            with suppress(ConflictError):  # somebody else was first with it, and goes on
                return (await self.retry(follower["id"]))[0]
        return 0

    async def sweep(self) -> None:
        """Take up letters that wait behind nothing any more (their predecessor went while they were being kept).

        One call looks at a part of the open letters, the next at those behind them, and after the last at the first.
        """
        rows = await self._pool.fetch(_OPEN, *self._swept, SWEPT_MAX)
        streams = [self._swept[0], *(stream for stream, _, _ in rows)]
        self._swept = (rows[-1]["stream"], rows[-1]["id"]) if len(rows) == SWEPT_MAX else _BEFORE_ALL_STREAMS
        for before, (stream, letter_id, status) in zip(streams, rows, strict=False):
            if stream != before and status == "waiting":
                with suppress(ConflictError):  # somebody else takes care of it
                    await self.retry(letter_id)

    async def prune(self, days: int) -> None:
        """Delete letters that were done or dropped more than so many days ago, some at a time."""
        await self._pool.execute(_PRUNE, days, SWEPT_MAX)

    async def _open_letter(self, letter_id: int) -> Any:
        letter = await self._pool.fetchrow(_LETTERS + " WHERE id = $1", letter_id)
        if letter is None:
            raise NotFoundError(f"there is no dead letter {letter_id}")
        if letter["status"] in ("done", "dropped"):
            raise ConflictError(f"dead letter {letter_id} is {letter['status']} already")
        blocking = await self._pool.fetchval(
            "SELECT min(id) FROM dead_letters WHERE stream = $1 AND stream <> '' AND id < $2 "
            "AND status IN ('parked', 'waiting')",
            letter["stream"],
            letter_id,
        )
        if blocking is not None:
            raise ConflictError(f"dead letter {letter_id} waits behind {blocking}; begin with that one")
        return letter

    async def _try(self, letter: Any) -> str:
        """The reason why it failed again, "" when it is done."""
        headers = msgspec.json.decode(letter["headers"], type=tuple[tuple[str, bytes], ...])
        received = self._read(
            _Record(
                letter["topic"],
                letter["partition"],
                letter["record_offset"],
                headers,
                letter["key"],
                letter["body"],
                int(letter["parked_at"].timestamp() * 1000),
            )
        )
        work = self._translator.work(received)
        if work is not None:
            work.letter, work.stream = None, ""
        failed: list[Exception] = []

        async def close(connection: Any) -> None:
            if work is not None and work.error is not None:
                failed.append(work.error)
            else:
                await _close(connection, letter["id"], "done")

        try:
            await self._work.run(Batch([work] if work is not None else [], finish=close))
        except _ResolvedError:
            raise
        except Exception as error:
            if passes(error):
                # Nothing is wrong with the letter: it stays as it is and is taken up again.
                raise UnavailableError(f"try again later: {type(error).__name__}") from error
            failed.append(error)
        if not failed:
            return ""
        code, reason = reason_of(failed[-1])
        await self._pool.execute(
            "UPDATE dead_letters SET status = 'parked', attempts = attempts + 1, code = $2, reason = $3 "
            "WHERE id = $1 AND status IN ('parked', 'waiting')",
            letter["id"],
            code,
            storable(reason)[:4_000],
        )
        return reason


async def _close(connection: Any, letter_id: int, status: str) -> None:
    """Raises, and so undoes the transaction, when another retry or a drop was first: a letter has its effect once."""
    closed = await connection.execute(
        "UPDATE dead_letters SET status = $2, resolved_at = now() WHERE id = $1 AND status IN ('parked', 'waiting')",
        letter_id,
        status,
    )
    if closed != "UPDATE 1":
        raise _ResolvedError(f"dead letter {letter_id} was done or dropped by somebody else meanwhile")
