"""What schemathesis cannot know of our routes: what there is to ask for, and reasons to refuse that no schema can say.

Requests that can succeed (see `known.py`) are the first of every operation, and half of all others are given their ids.
"""

import json
import os
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any
from zlib import crc32

import httpx
import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import positive_data_acceptance

KNOWN: Mapping[str, list[Mapping[str, Any]]] = json.loads(Path(os.environ["O2C_FUZZ_KNOWN"]).read_text())
"""Operation → requests that can succeed."""

FIRST = 2
"""So many of them go unchanged but for what the document gives as an example: one may be overtaken from elsewhere."""

PLACES = (
    ("path", "path_parameters", ParameterLocation.PATH),
    ("query", "query", ParameterLocation.QUERY),
    ("body", "body", ParameterLocation.BODY),
)
IF_MATCH = "if-match"
_BEYOND = 10**16
_PATHS = sorted({known["seen_at"] for each in KNOWN.values() for known in each if "seen_at" in known})
SEEN = {f'"{_BEYOND + n}"': path for n, path in enumerate(_PATHS)}
"""Entity tags that nothing has → the path of that whose tag is meant, as it is when the request is sent."""
_TAG_OF = {path: tag for tag, path in SEEN.items()}
_CLIENT = httpx.Client(trust_env=False, verify=False)  # there is no TLS, and to prepare for it takes time

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


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Schemathesis takes the `prefixItems` of an answer for a mistake: here a pair of texts is a list of two texts."""
    pair = raw_schema["components"]["schemas"]["DeadLetterWhole"]["properties"]["headers"]["items"]
    pair["items"] = pair.pop("prefixItems")[0]


@schemathesis.hook
def before_add_examples(context: Any, examples: list[Any]) -> None:
    """Known requests, in all else as the first example has it. The last of all examples are sent first."""
    if examples:
        known = [_copy(examples[0]) for _ in _known(context)[:FIRST]]
        examples += map(_give, known, _known(context))


@schemathesis.hook
def map_case(context: Any, case: Any) -> Any:
    """Every other request is for something that is there; what it tries out stays as it is."""
    known = _known(context)
    lot = crc32(repr(case).encode())
    tried = getattr(case.meta.phase.data, "parameter_location", None)
    return _give(case, known[lot // 2 % len(known)], tried) if known and lot % 2 else case


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Whoever decides has seen the thing as it is now, not as it was when the request was made up."""
    path = SEEN.get(case.headers.get(IF_MATCH))
    if path is not None:
        url = case.operation.schema.get_base_url().rstrip("/") + path
        case.headers[IF_MATCH] = _CLIENT.get(url).raise_for_status().headers["ETag"]


def _known(context: Any) -> list[Mapping[str, Any]]:
    return KNOWN.get(context.operation.label, [])


def _copy(case: Any) -> Any:
    return case.operation.Case(
        path_parameters=dict(case.path_parameters),
        headers=dict(case.headers),
        query=dict(case.query),
        body=case.body,
        media_type=case.media_type,
        _meta=deepcopy(case.meta),
    )


def _give(case: Any, known: Mapping[str, Any], tried: ParameterLocation | None = None) -> Any:
    """This case for what is known, but for the places that are wrong on purpose and the one that is tried out."""
    for place, container, location in PLACES:
        value = getattr(case, container)
        if place in known and isinstance(value, dict) and location != tried and not case.meta.is_negative_at(location):
            setattr(case, container, {**value, **known[place]})
    header = ParameterLocation.HEADER
    if "seen_at" in known and tried != header and not case.meta.is_negative_at(header):
        case.headers[IF_MATCH] = _TAG_OF[known["seen_at"]]
    return case
