"""The one small tree of errors.

O2CError
├ DomainError        the caller asked for what the rules forbid; HTTP 409, on Kafka a dead letter
│ ├ NotFoundError    there is no such thing; HTTP 404
│ └ ConflictError    the caller saw an older version (HTTP 412) or reused an id with other content (HTTP 409)
├ ContractError      a message or file cannot be read, with every reason; HTTP 422, on Kafka a dead letter
├ ConcurrencyError   another writer was first; the batch is decided again
└ UnavailableError   a dependency is away or a queue is full; HTTP 503, retried with back-off
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One reason why input was refused: `field` is a path such as `lines[2].quantity`, `code` is for programs."""

    field: str
    code: str
    message: str


class O2CError(Exception):
    """Root of all errors that the product raises itself."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class DomainError(O2CError):
    """The rules of the business forbid what was asked; nothing was stored."""

    code = "refused"


class NotFoundError(DomainError):
    """What the command is about does not exist."""

    code = "not_found"


class ConflictError(DomainError):
    """The caller's picture is out of date, or an id was used twice for different content."""

    code = "conflict"


class ContractError(O2CError):
    """Input that cannot be read or breaks its contract; `problems` holds every reason, not the first."""

    code = "invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{p.field}: {p.message}" if p.field else p.message for p in problems))
        self.problems = tuple(problems)


class ConcurrencyError(O2CError):
    """Another writer appended first, or consumed first; decide again on fresh state."""

    code = "concurrency"


class UnavailableError(O2CError):
    """A dependency is away or a queue is full; try again later."""

    code = "unavailable"


def in_words(error: BaseException) -> str:
    """What kind of error it is and what it says, for logs and for people; some libraries' say their kind themselves."""
    kind, said = type(error).__name__, str(error)
    if not said:
        return f"{kind}: no answer" if isinstance(error, TimeoutError) else kind
    return said if said.startswith(kind) else f"{kind}: {said}"
