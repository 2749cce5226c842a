"""What NetworkPolicies let through: every connection that one side may open and the other side takes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Policy = Mapping[str, Any]


@dataclass(frozen=True)
class Pod:
    """A kind of pod. `namespace` "" is ours; pods of others may open any connection and take any."""

    name: str
    labels: Mapping[str, str]
    namespace: str = ""


def connections(pods: Iterable[Pod], policies: Iterable[Policy], ports: Iterable[int]) -> set[tuple[str, str, int]]:
    """(from, to, port) of all TCP connections between these pods that are let through."""
    pods, policies, ports = list(pods), list(policies), list(ports)
    return {
        (sender.name, taker.name, port)
        for sender in pods
        for taker in pods
        for port in ports
        if not (sender.namespace and taker.namespace)
        and _passes(policies, "Egress", sender, taker, port)
        and _passes(policies, "Ingress", taker, sender, port)
    }


def _passes(policies: Iterable[Policy], direction: str, pod: Pod, other: Pod, port: int) -> bool:
    if pod.namespace:
        return True
    applying = [
        policy["spec"]
        for policy in policies
        if direction in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], pod.labels)
    ]
    peers = "to" if direction == "Egress" else "from"
    rules = [rule for spec in applying for rule in spec.get(direction.lower(), [])]
    return not applying or any(_rule_passes(rule, peers, other, port) for rule in rules)


def _rule_passes(rule: Mapping[str, Any], peers: str, other: Pod, port: int) -> bool:
    ports = rule.get("ports")
    if ports is not None and port not in [each["port"] for each in ports if each["protocol"] == "TCP"]:
        return False
    return peers not in rule or any(_is_peer(peer, other) for peer in rule[peers])


def _is_peer(peer: Mapping[str, Any], other: Pod) -> bool:
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other.namespace}):
            return False
    elif other.namespace:
        return False
    return selects(peer.get("podSelector", {}), other.labels)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes these labels. KeyError for an operator that is not used here."""
    wanted = selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    operators = {"In": lambda key, values: labels.get(key) in values}
    return all(
        operators[each["operator"]](each["key"], each["values"]) for each in selector.get("matchExpressions", [])
    )
