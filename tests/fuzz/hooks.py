"""What schemathesis cannot know of our routes: reasons to refuse a request that no JSON Schema can say."""

import re
from typing import Any

import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

UNSPOKEN = {
    ("cursor", "cursor"): "only we make cursors",
    ("lines", "total"): "the sum of the lines is bounded, not the lines alone",
    ("lines[].line_no", "duplicate"): "a line is named once",
    ("to", "empty_period"): "a period ends after it begins",
    ("value_on", "implausible"): "days are of our time",
    ("placed_at", "out_of_range"): "instants are of our time",
    ("shipped_at", "out_of_range"): "instants are of our time",
    ("delivered_at", "out_of_range"): "instants are of our time",
    ("received_at", "out_of_range"): "instants are of our time",
}
"""(field, code of the problem) → the rule. A request that meets its schema may be refused for these alone."""

EVERYWHERE = {
    "not_printable": "characters without a glyph, in ids and texts of the warehouse: Unicode's tables, not a pattern",
    "int_type": "2.0 is an integer to JSON Schema; we want it written as one",
}
"""The same for rules that hold for many fields, by code alone."""


def _unspoken(error: dict[str, str]) -> bool:
    field = re.sub(r"\[\d+\]", "[]", error["field"])
    return (field, error["code"]) in UNSPOKEN or error["code"] in EVERYWHERE


@schemathesis.check
def good_data_is_taken(context: Any, response: Any, case: Any) -> bool | None:
    """Whatever meets its schema is taken, unless it breaks a rule that a schema cannot say."""
    if response.status_code == 422 and all(map(_unspoken, response.json().get("errors", [{"field": "", "code": ""}]))):
        return None
    accepted: bool | None = positive_data_acceptance(context, response, case)
    return accepted
