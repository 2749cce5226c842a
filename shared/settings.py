"""All settings of all services in one place, read from the environment (`O2C_…`) once and validated at start."""

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AliasChoices, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """`O2C_DATABASE_URL` and so on. Every limit has a unit in its name."""

    model_config = SettingsConfigDict(env_prefix="O2C_", frozen=True, extra="ignore", populate_by_name=True)

    # ---- where things are
    database_url: str = Field(
        "postgresql://postgres@127.0.0.1:5432", description="PostgreSQL server; each service has a database of its own"
    )
    database_prefix: str = Field("o2c_", description="The database of a service is this prefix and its name")
    kafka_servers: str = Field("127.0.0.1:9092", description="Bootstrap servers, comma separated")
    http_host: str = Field("127.0.0.1", description="Address on which a service listens")
    http_port: int = Field(0, ge=0, le=65535, description="Port on which a service listens; 0: a free one")
    service_urls: str = Field(
        "", description="Where the services answer, for the control tower and `o2c`: order=http://host:port,credit=…"
    )
    replica_urls: str = Field(
        "",
        description="The same, by names that lead to every replica, ready or not: who shows health asks at each IP "
        "address; empty: as O2C_SERVICE_URLS",
    )

    # ---- Kafka
    kafka_partitions: int = Field(4, ge=1, le=48, description="Partitions of topics that are created by us")
    kafka_replication: int = Field(1, ge=1, le=9, description="Replicas of topics that are created by us")
    consume_records_max: int = Field(
        1000, ge=1, le=10_000, description="Largest batch from Kafka; while commands come by HTTP they are smaller"
    )
    consume_session_ms: int = Field(
        6_000, ge=1_000, le=300_000, description="A consumer that is silent for so long is taken for gone"
    )
    consume_gather_ms: int = Field(
        10, ge=0, le=1_000, description="A small batch waits at least so long for more messages; 0: not at all"
    )
    consume_poll_ms: int = Field(
        250, ge=1, le=10_000, description="Ask again after so long without records; they are taken as they come"
    )
    relay_records_max: int = Field(2000, ge=1, le=20_000, description="Largest batch to Kafka")
    relay_poll_ms: int = Field(50, ge=5, le=10_000, description="Look for facts of other replicas this often")
    heads_seconds: float = Field(2.0, gt=0, le=600, description="How often a speaker says how far it has spoken")

    # ---- limits
    # No more than a dead letter keeps of a body: what is taken can be retried whole.
    body_bytes_max: int = Field(
        1_000_000, ge=1_000, le=1_000_000, description="Largest HTTP body and Kafka message we take"
    )
    commands_queued_max: int = Field(5_000, ge=1, description="HTTP commands that may wait; more get a 503")
    commands_batch_max: int = Field(500, ge=1, description="HTTP commands that share a transaction")
    cached_bytes_max: int = Field(
        25_000_000, ge=0, description="Folded states kept in memory per process, in bytes of what they come from"
    )
    dead_letters_kept_days: int = Field(
        90, ge=1, le=3_650, description="Dead letters that are done or dropped are deleted after so many days"
    )
    shutdown_seconds: float = Field(20.0, gt=0, description="Grace period to finish a batch after SIGTERM")
    http_linger_seconds: float = Field(
        1.0,
        ge=0,
        le=60,
        description="Part of it: open HTTP connections may bring one more request for so long, at most 0.35 of it",
    )

    # ---- business policies
    credit_limit_default_minor: int = Field(1_000_000, ge=0, description="Limit of a new credit account, minor units")
    credit_referral_tolerance_bp: int = Field(1_000, ge=0, le=10_000, description="Excess that a person may decide on")
    billing_time_zone: str = Field("Europe/London", description="The zone whose days invoices are dated in")
    receivables_write_off_max_minor: int = Field(0, ge=0, description="Short payment that is written off by itself")

    # ---- telemetry (docs/telemetry.md); the standard variables of OpenTelemetry are heeded where there is one
    otlp_endpoint: str = Field(
        "",
        pattern="^(https?://.+)?$",
        validation_alias=AliasChoices("O2C_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="Collector to which traces go by OTLP over HTTP, as http://127.0.0.1:4318; empty: nowhere",
    )
    otlp_metrics_seconds: float = Field(
        0.0, ge=0, le=3_600, description="Send metrics there, too, this often; 0: they are only at GET /metrics"
    )
    trace_ratio: float = Field(
        0.01,
        ge=0,
        le=1,
        validation_alias=AliasChoices("O2C_TRACE_RATIO", "OTEL_TRACES_SAMPLER_ARG"),
        description="Share of the traces beginning here that are sampled; those that come sampled always are",
    )

    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")

    @field_validator("billing_time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is not a time zone of the IANA database") from error
        return value

    @field_validator("otlp_endpoint", "trace_ratio", mode="before")
    @classmethod
    def _set_at_all(cls, value: Any, info: ValidationInfo) -> Any:
        # OpenTelemetry has it that a variable of its own that is empty is not set.
        return cls.model_fields[str(info.field_name)].default if value == "" else value

    @field_validator("service_urls", "replica_urls")
    @classmethod
    def _known_urls(cls, value: str) -> str:
        wrong = [name for name, url in _urls(value).items() if not (name and url.startswith(("http://", "https://")))]
        if wrong:
            raise ValueError(f"wants service=http://host:port, separated by commas, or that as JSON: {wrong}")
        return value

    def urls_of_services(self) -> Mapping[str, str]:
        """Service → base URL, without a slash at its end; empty when no addresses were given."""
        return {name: url.rstrip("/") for name, url in _urls(self.service_urls).items()}

    def urls_of_replicas(self) -> Mapping[str, str]:
        """Service → base URL whose name leads to all of its replicas, as far as somebody has said one."""
        return {**self.urls_of_services(), **{name: url.rstrip("/") for name, url in _urls(self.replica_urls).items()}}

    def database_of(self, service: str) -> str:
        """The address of a service's own database."""
        parts = urlsplit(self.database_url)
        return urlunsplit(parts._replace(path=f"/{self.database_prefix}{service}"))

    def shown(self) -> dict[str, Any]:
        """All settings without secrets, for people."""
        values = self.model_dump()
        parts = urlsplit(self.database_url)
        if parts.password is not None:
            host = parts.netloc.rpartition("@")[2]
            parts = parts._replace(netloc=f"{parts.username}:***@{host}")
        query = [(name, "***" if "password" in name else value) for name, value in parse_qsl(parts.query)]
        values["database_url"] = urlunsplit(parts._replace(query=urlencode(query, safe="*/")))
        return values


def problems_of(error: ValidationError) -> list[str]:
    """Every setting that is wrong, for whoever set it: the variable with the value, what is wrong, what it is for."""
    found = []
    for problem in error.errors(include_url=False):
        place = str(problem["loc"][0]) if problem["loc"] else ""
        name, variables = next(
            ((name, choices) for name in Settings.model_fields if place in (name, *(choices := _variables(name)))),
            ("", [place]),
        )
        given = next((variable for variable in variables if variable in os.environ), variables[0])
        meaning = Settings.model_fields[name].description if name else None
        found.append(f"{given}: {problem['msg']}{f' ({meaning})' if meaning else ''}")
    return found


def _variables(name: str) -> list[str]:
    """The variables that a setting is taken from: the first of them that is set."""
    alias = Settings.model_fields[name].validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [f"O2C_{name.upper()}"]


def _urls(given: str) -> Mapping[str, str]:
    """`order=http://…,credit=http://…`, or a JSON object. ValueError for JSON that is something else."""
    if given.lstrip().startswith("{"):
        return {str(name): str(url) for name, url in json.loads(given).items()}
    return dict(part.strip().partition("=")[::2] for part in given.split(",") if part.strip())
