"""Dead letters: messages that could not be processed, kept in the service's own store with their reason."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from shared.errors import ContractError, DomainError, in_words
from shared.values import Value

BODY_KEPT_MAX = 1_000_000
"""Bytes of a body that are kept; a longer one was over the limit anyway and cannot be retried."""


class Letter(Value, frozen=True, gc=False):
    """A message as it came, so that it can be shown and tried again. `stream`: what waits behind it."""

    message_id: str
    type: str
    stream: str
    topic: str
    partition: int
    offset: int
    headers: tuple[tuple[str, bytes], ...]
    key: bytes | None
    body: bytes

    def digest(self) -> bytes:
        """The same message is one letter, however often and wherever it is delivered."""
        content = msgspec.json.encode([self.topic, self.message_id, self.headers, self.key, self.body])
        return hashlib.sha256(content).digest()


_INSERT = """
INSERT INTO dead_letters AS d (digest, status, message_id, type, stream, topic, partition, record_offset, headers,
                               key, body, code, reason)
SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::bigint[],
                     $9::jsonb[], $10::bytea[], $11::bytea[], $12::text[], $13::text[])
ON CONFLICT (digest) DO UPDATE SET attempts = d.attempts + 1, status = excluded.status, code = excluded.code,
    reason = excluded.reason, resolved_at = NULL
"""

BLOCKED = "SELECT DISTINCT stream FROM dead_letters WHERE status IN ('parked', 'waiting') AND stream = ANY ($1)"
"""Which of these streams have an open letter."""


COUNTED_MAX = 10_000
"""With so many open letters or more, how many there are is not looked up to the last one."""
COUNT_OPEN = f"""
SELECT status, count(*) FROM (
    SELECT status FROM dead_letters WHERE status IN ('parked', 'waiting') LIMIT {COUNTED_MAX}
) AS open GROUP BY status
"""


async def count_open(connection: Any, seconds_max: float | None = None) -> dict[str, int]:
    """Status → open letters, at most COUNTED_MAX of them in all; no entry for none. `connection`: or a pool."""
    return dict(await connection.fetch(COUNT_OPEN, timeout=seconds_max))


def reason_of(error: Exception) -> tuple[str, str]:
    """(code for programs, reason for people) of why a message was parked."""
    match error:
        case ContractError(problems=problems):
            return error.code, "; ".join(f"{p.field}: {p.message}" if p.field else p.message for p in problems)
        case DomainError():
            return error.code, error.message
        case _:
            return "failed", in_words(error)


async def insert_letters(connection: Any, letters: Sequence[tuple[Letter, str, str, str]]) -> None:
    """Keep (letter, status, code, reason) with one statement; one that is there already counts one attempt more."""
    once = {each[0].digest(): each for each in letters}
    rows = [
        (
            digest,
            status,
            storable(letter.message_id),
            storable(letter.type),
            storable(letter.stream),
            letter.topic,
            letter.partition,
            letter.offset,
            msgspec.json.encode([(storable(name), value) for name, value in letter.headers]).decode(),
            letter.key,
            letter.body[:BODY_KEPT_MAX],
            code,
            storable(reason)[:4_000],
        )
        for digest, (letter, status, code, reason) in once.items()
    ]
    await connection.execute(_INSERT, *map(list, zip(*rows, strict=True)))


def storable(value: str) -> str:
    """PostgreSQL's text holds no NUL; half of a surrogate pair cannot be sent either."""
    if value.isascii() and "\x00" not in value:
        return value
    return value.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode()
