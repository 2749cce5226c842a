"""Who says what and who hears it, from the services as they are wired: a table, a picture, and what is not closed."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec

from shared.contracts.catalogue import INBOUND_TOPICS, SPEAKERS, contracts
from shared.contracts.messages import Contract, contract_of
from shared.eventsourced.projecting import MessageProjection
from shared.eventsourced.service import Service
from shared.settings import Settings

NAMES = ("order", "credit", "fulfillment", "billing", "receivables", "analytics")
"""The stages of the cycle, in the order in which an order meets them."""

LISTENS_TO_ALL = "analytics"
OUTSIDE = "inbound"

Services = Mapping[str, Service]


def missing_services() -> list[str]:
    """The services whose `app` module is not there."""
    return [name for name in NAMES if not _there(name)]


def _there(name: str) -> bool:
    return find_spec(f"services.{name}") is not None and find_spec(f"services.{name}.app") is not None


def load_services(settings: Settings) -> dict[str, Service]:
    """The services that are there, wired under these settings."""
    return {name: import_module(f"services.{name}.app").service(settings) for name in NAMES if _there(name)}


def said_by(service: Service) -> list[Contract]:
    """What a service says, by type, each once."""
    said = {says.contract.name: says.contract for says in service.says.values()}
    return [said[name] for name in sorted(said)]


def heard_by(service: Service) -> list[Contract]:
    """What a service hears, by type."""
    return sorted((contract_of(message) for message in service.hears), key=lambda contract: contract.name)


# ---- what is not closed


def open_ends(services: Services, catalogue: Mapping[str, Contract]) -> list[str]:
    """Why the flow is not closed, one sentence each; empty when everything heard is said, and the reverse."""
    return [
        *_unknown(services, catalogue),
        *_unsaid(services, catalogue),
        *_unheard(services, catalogue),
        *_projected_unheard(services),
    ]


def _unknown(services: Services, catalogue: Mapping[str, Contract]) -> Iterator[str]:
    declared = {contract.message for contract in catalogue.values()}
    for service in services.values():
        for message in sorted({*service.hears} - declared, key=lambda cls: cls.__name__):
            yield f"{service.name} hears {message.__name__}, which is not in the catalogue"
        for message in sorted(
            {says.message for says in service.says.values()} - declared, key=lambda cls: cls.__name__
        ):
            yield f"{service.name} says {message.__name__}, which is not in the catalogue"


def _unsaid(services: Services, catalogue: Mapping[str, Contract]) -> Iterator[str]:
    said = {(name, says.message) for name, service in services.items() for says in service.says.values()}
    for contract in catalogue.values():
        if contract.speaker == OUTSIDE:
            continue
        if (contract.speaker, contract.message) not in said:
            yield f"{contract.name} is in the catalogue, but {contract.speaker} never says it"
    for name, message in sorted(said, key=lambda pair: (pair[0], pair[1].__name__)):
        found = [contract for contract in catalogue.values() if contract.message is message]
        if found and found[0].speaker != name:
            yield f"{name} says {message.__name__}, which is {found[0].speaker}'s to say"


def _unheard(services: Services, catalogue: Mapping[str, Contract]) -> Iterator[str]:
    heard = {message for service in services.values() for message in service.hears}
    for contract in catalogue.values():
        if contract.speaker == OUTSIDE and contract.message not in heard:
            yield f"{contract.name} comes from outside, but nobody hears it"
    listener = services.get(LISTENS_TO_ALL)
    if listener is None:
        return
    for contract in catalogue.values():
        if contract.speaker != OUTSIDE and contract.message not in listener.hears:
            yield f"{LISTENS_TO_ALL} hears everything, but not {contract.name}"


def _projected_unheard(services: Services) -> Iterator[str]:
    for service in services.values():
        for projection in service.projections:
            if isinstance(projection, MessageProjection):
                for message in sorted({*projection.rows} - {*service.hears}, key=lambda cls: cls.__name__):
                    yield f"{service.name} makes rows of {message.__name__}, which it does not hear"


# ---- the table and the picture


def flow_page(services: Services) -> str:
    """docs/flow.md."""
    return "\n".join(
        [
            "# Who says what, and who hears it",
            "",
            "Made from the services' `SAYS` and `HEARS` by `python -m o2c.documents`; a test fails when it is out of",
            f"date. `{LISTENS_TO_ALL}` hears every message that a service says and is left out of the tables. Messages",
            "from outside come last; HTTP requests have the same shapes. Each message is explained in full in its",
            "[schema](schemas/).",
            "",
            "```mermaid",
            *_picture(services),
            "```",
            "",
            *_tables(services),
        ]
    )


def _picture(services: Services) -> Iterator[str]:
    yield "flowchart LR"
    yield "    outside([shops, warehouse, bank])"
    for name in services:
        yield f"    {name}[{name}]"
    for speaker in (OUTSIDE, *SPEAKERS):
        for listener in services:
            if listener == LISTENS_TO_ALL:
                continue
            names = [c.message.__name__ for c in heard_by(services[listener]) if c.speaker == speaker]
            if names:
                yield f'    {"outside" if speaker == OUTSIDE else speaker} -- "{"<br>".join(names)}" --> {listener}'
    speakers = " & ".join(name for name in SPEAKERS if name in services)
    if LISTENS_TO_ALL in services:
        yield f"    {speakers} -- everything --> {LISTENS_TO_ALL}"


def _tables(services: Services) -> Iterator[str]:
    topics = [*(speaker.topic for speaker in SPEAKERS.values()), *INBOUND_TOPICS]
    for topic in topics:
        said = sorted((c for c in contracts().values() if c.topic == topic), key=lambda contract: contract.name)
        speaker = said[0].speaker
        yield f"## {'The outside' if speaker == OUTSIDE else speaker} says on `{topic}`"
        yield ""
        yield "| message | key | subject | heard by | meaning |"
        yield "|---|---|---|---|---|"
        for contract in said:
            yield _table_row(contract, services)
        yield ""


def _table_row(contract: Contract, services: Services) -> str:
    heard = ", ".join(
        name for name, service in services.items() if name != LISTENS_TO_ALL and contract.message in service.hears
    )
    meaning = (contract.message.__doc__ or "").split("\n")[0].replace("|", "\\|")
    link = f"[{contract.name}](schemas/{contract.name}.json)"
    return f"| {link} | {contract.key} | {contract.subject} | {heard or '–'} | {meaning} |"
