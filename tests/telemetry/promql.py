"""What a PromQL expression asks for: its metrics, and the labels that stand at them or that it groups by."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.y*ml"))
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))

_WORDS = {"by", "on", "ignoring", "without", "group_left", "group_right", "and", "or", "unless", "sum", "max", "min"}
_WORDS |= {
    "count",
    "time",
    "topk",
    "rate",
    "increase",
    "deriv",
    "max_over_time",
    "changes",
    "absent",
    "predict_linear",
    "histogram_quantile",
}
_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*")|(?P<range>\[[^\]]*\])|(?P<matchers>\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})"""
    r"""|(?P<grouping>\b(?:by|on|ignoring|without|group_left|group_right)\s*\([^)]*\))|(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)"""
    r"""|(?P<number>[0-9][0-9.eE]*)|(?P<sign>[-+*/%^(),]|[<>=!]=?)|(?P<space>\s+)"""
)
_MATCHER = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')


def asked(expression: str) -> tuple[dict[str, set[str]], set[str]]:
    """(metric → labels that are matched on it, labels that are grouped by). ValueError for what is no PromQL."""
    metrics: dict[str, set[str]] = {}
    grouped: set[str] = set()
    place, last, depth = 0, "", 0
    while place < len(expression):
        token = _TOKEN.match(expression, place)
        if token is None:
            raise ValueError(f"no PromQL at {expression[place : place + 20]!r} of {expression!r}")
        text, place = token.group(), token.end()
        match token.lastgroup:
            case "name" if text not in _WORDS:
                last = text
                metrics.setdefault(text, set())
            case "matchers":
                metrics[last] |= _labels(text)
            case "grouping":
                grouped |= set(re.findall(r"\w+", text.partition("(")[2]))
            case "sign":
                depth += (text == "(") - (text == ")")
    if depth:
        raise ValueError(f"brackets do not close: {expression!r}")
    return metrics, grouped


def _labels(matchers: str) -> set[str]:
    inner, place, found = matchers[1:-1], 0, set()
    while inner[place:].strip():
        matcher = _MATCHER.match(inner, place)
        if matcher is None:
            raise ValueError(f"no matchers: {matchers}")
        found.add(matcher[1])
        place = matcher.end()
    return found


@cache
def _groups() -> list[Any]:
    return [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]


def of_rules() -> Iterator[tuple[str, str]]:
    """(where, expression) of all alerts and recorded rules."""
    for group in _groups():
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]


def recorded() -> set[str]:
    """The names of recorded rules."""
    return {rule["record"] for group in _groups() for rule in group["rules"] if "record" in rule}


def dashboard(path: Path) -> Any:
    """A dashboard as data."""
    return json.loads(path.read_text())


def of_dashboards() -> Iterator[tuple[str, str]]:
    """(where, expression) of all panels, with Grafana's variables filled in."""
    for path in DASHBOARDS:
        for panel in dashboard(path)["panels"]:
            for target in panel.get("targets", ()):
                filled = target["expr"].replace("$__rate_interval", "1m").replace("$service", ".*")
                yield f"{path.stem}: {panel['title']}", filled


def of_variables() -> Iterator[tuple[str, str]]:
    """(where, selector) of what fills the variables of dashboards."""
    for path in DASHBOARDS:
        for variable in dashboard(path)["templating"]["list"]:
            match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert match is not None, variable
            yield f"{path.stem}: ${variable['name']}", match[1]
