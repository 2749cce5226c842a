"""What the domain checks, said in the OpenAPI document: keywords that describe a value and check nothing themselves.

Checks stay where they are for HTTP and Kafka alike, so that a refusal lists every reason at once; the document only
says beforehand what they will refuse.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema

from shared.money import AMOUNT_MINOR_MAX, BASIS_POINTS, EXPONENTS

NO_CONTROLS = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""A text without control characters, as a pattern."""


@dataclass(frozen=True, eq=False)  # hashed by identity: `Annotated` wants a hash, and a dict has none
class Described:
    """JSON Schema keywords for `Annotated`. They appear in the document and have no other effect."""

    keywords: dict[str, Any]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), **self.keywords}


def described(**keywords: Any) -> Described:
    """These JSON Schema keywords, as in `Annotated[str, described(maxLength=64)]`."""
    return Described(keywords)


def within(least: int, most: int) -> Described:
    """A whole number in this range, ends included."""
    return described(minimum=least, maximum=most)


def text(length_min: int, length_max: int, pattern: str = NO_CONTROLS) -> Described:
    """A text of so many characters, without control characters if no other pattern is given."""
    return described(minLength=length_min, maxLength=length_max, pattern=pattern)


CURRENCY = described(enum=sorted(EXPONENTS))
PRICE = within(0, AMOUNT_MINOR_MAX)
TAX_RATE = within(0, BASIS_POINTS)
