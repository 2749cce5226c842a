"""What aiokafka 0.14 gets wrong, mended from outside: reset connections, odd headers, records that cannot be read,
groups left in silence, groups whose coordinator refuses for a while."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import wraps
from typing import Any

import structlog
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import (
    CorruptRecordException,
    GroupCoordinatorNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    NotCoordinatorForGroupError,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy

from shared.errors import in_words

log = structlog.get_logger()

REFUSED_SECONDS = 1.0
"""So often a coordinator that may not be looked for is looked for again."""

HEARTBEAT, OFFSETS = "heartbeat", "how far the group has heard"
"""What a coordinator may refuse."""

UNREADABLE_SECONDS = 5.0
"""So often a partition is asked again for records that could not be read."""


def _breaking(send: Callable[..., Any]) -> Callable[..., Any]:
    """uvloop raises RuntimeError for a write to a connection that was reset; aiokafka expects OSError. Unexpected, it
    ends the client's only task that looks at the cluster, and a consumer never finds its group again."""

    @wraps(send)
    def sending(connection: AIOKafkaConnection, *args: Any, **options: Any) -> Any:
        try:
            return send(connection, *args, **options)
        except RuntimeError as error:
            if type(error) is not RuntimeError:
                raise  # KafkaError and others derive from it: those aiokafka knows
            connection.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"the connection is broken: {error}") from error

    return sending


class _KeptRecords:
    """The records of a fetch, with their bytes kept so that they can be read a second time.

    Bytes without one whole batch cannot be read; aiokafka would take them for a record that is too large, and skip it.
    """

    def __init__(self, data: bytes) -> None:
        records = MemoryRecords(data)
        self.data = data
        self.has_next, self.next_batch = records.has_next, records.next_batch
        self.size_in_bytes = records.size_in_bytes
        if data and not records.has_next():
            self.has_next, self.next_batch = lambda: True, self._not_whole

    def _not_whole(self) -> Any:
        raise CorruptRecordException(f"{len(self.data)} bytes are no whole batch")


class _Text(bytes):
    """Bytes that decode whatever they hold."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")


class _Buffer(bytearray):
    """A buffer whose slices decode whatever they hold."""

    def __getitem__(self, key: Any) -> Any:
        value = super().__getitem__(key)
        return _Text(value) if isinstance(key, slice) else value


class _TolerantBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    def __iter__(self) -> Any:
        super().__iter__()
        self._buffer: Any = _Buffer(self._buffer)
        return self


class _TolerantRecords(_MemoryRecordsPy):  # type: ignore[misc]
    def next_batch(self, *args: Any) -> Any:
        data = self._next_slice
        batch = super().next_batch(*args)
        return _TolerantBatch(data) if isinstance(batch, DefaultRecordBatch) else batch


def _tolerant(unpack: Callable[[Any], Iterator[Any]]) -> Callable[[Any], Iterator[Any]]:
    """A header name that is no UTF-8 fails the fetch it is in: records beside it would be passed over, and those
    behind it never reached. Such a fetch is read again, from the record it failed at, with the name escaped."""

    @wraps(unpack)
    def unpacking(records: Any) -> Iterator[Any]:
        try:
            yield from unpack(records)
        except UnicodeDecodeError:
            position = records.next_fetch_offset
            records._records = _TolerantRecords(records._records.data)
            yield from (record for record in unpack(records) if record.offset >= position)

    return unpacking


def _ending(unpack: Callable[[Any], Iterator[Any]]) -> Callable[[Any], Iterator[Any]]:
    """Records that cannot be read (a wrong checksum, a broken compression) end their fetch instead of failing the poll:
    it has passed over records of other partitions by then, and they would be gone."""

    @wraps(unpack)
    def unpacking(records: Any) -> Iterator[Any]:
        try:
            yield from unpack(records)
        except Exception as error:
            records.unreadable = error

    return unpacking


def _resting(getall: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """A partition that comes to records that cannot be read says so and rests; all others go on."""

    @wraps(getall)
    def reading(result: Any, max_records: int | None = None) -> list[Any]:
        records = result._partition_records
        found = getall(result, max_records)
        error = None if found else getattr(records, "unreadable", None)
        if error is not None:
            partition = result._topic_partition
            state = result._assignment.state_value(partition)
            where = {"topic": partition.topic, "partition": partition.partition, "offset": state.position}
            log.error("records cannot be read", **where, fault=in_words(error))
            state.pause()
            asyncio.get_running_loop().call_later(UNREADABLE_SECONDS, state.resume)
        return found

    return reading


def _leaving(leave: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """aiokafka takes generation 0 for none and says nothing when it goes. The embedded broker counts from 0: it would
    wait for the member that went until its session is over, and whoever comes back would hear nothing for 10 s."""

    @wraps(leave)
    async def leaving(coordinator: Any) -> None:
        if coordinator.generation == 0:
            coordinator.generation = 1  # not part of the request; it is reset right after
        await leave(coordinator)

    return leaving


def refused(coordinator: Any) -> str:
    """What a group's coordinator refuses, in words; "" when nothing, or where there is no group."""
    return next(iter(getattr(coordinator, "refusals", {}).values()), "")


def _note(coordinator: Any, what: str, error: KafkaError | None) -> None:
    """Remember that this was refused, or that it was not; say it once."""
    refusals = coordinator.__dict__.setdefault("refusals", {})
    fault = "" if error is None else f"{what}: {in_words(error)}"
    if fault and refusals.get(what) != fault:
        log.warning("refused by the group's coordinator", group=coordinator.group_id, fault=fault)
    if fault:
        refusals[what] = fault
    else:
        refusals.pop(what, None)


def _asking_again(what: str, ask: Callable[..., Awaitable[bool]]) -> Callable[..., Awaitable[bool]]:
    """A heartbeat, or the question how far the group has heard, that is answered with an error aiokafka does not expect
    (rights that are missing for a moment) ends the task that asks. Nobody starts it again: every poll would raise that
    error for ever, and the group, which hears of the member no more, would give its partitions away."""

    @wraps(ask)
    async def asking(coordinator: GroupCoordinator, *args: Any) -> bool:
        try:
            answered = await ask(coordinator, *args)
        except KafkaError as error:
            _note(coordinator, what, error)
            return False  # what asks waits a moment, and asks again
        _note(coordinator, what, None)
        return answered

    return asking


def _beating_on(beat: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """The same of the coordinator that is looked for before a heartbeat."""

    @wraps(beat)
    async def beating(coordinator: GroupCoordinator) -> None:
        while True:
            try:
                return await beat(coordinator)
            except KafkaError as error:
                _note(coordinator, HEARTBEAT, error)
            try:
                await asyncio.sleep(REFUSED_SECONDS)
            except asyncio.CancelledError:
                return None  # as aiokafka's own ends: who stops it waits for its end

    return beating


def _looking_at_errors(send: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The answer how far a group has heard may be one error for all partitions (from version 2 on). aiokafka does not
    look at it and takes the group for a new one: it would hear the whole log again, and what has no position, as a
    customer's old data, would be done again."""

    @wraps(send)
    async def sending(coordinator: GroupCoordinator, request: Any) -> Any:
        answer = await send(coordinator, request)
        code = getattr(answer, "error_code", 0) if isinstance(request, OffsetFetchRequest) else 0
        if code:
            error = for_code(code)
            if error in (GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError):
                coordinator.coordinator_dead()
            raise error(coordinator.group_id)
        return answer

    return sending


def mend() -> None:
    """Put the mends in place, once."""
    if fetcher.MemoryRecords is not _KeptRecords:
        fetcher.MemoryRecords = _KeptRecords
        fetcher.PartitionRecords._unpack_records = _ending(_tolerant(fetcher.PartitionRecords._unpack_records))
        fetcher.FetchResult.getall = _resting(fetcher.FetchResult.getall)
        AIOKafkaConnection.send = _breaking(AIOKafkaConnection.send)
        GroupCoordinator._maybe_leave_group = _leaving(GroupCoordinator._maybe_leave_group)
        GroupCoordinator._send_req = _looking_at_errors(GroupCoordinator._send_req)
        GroupCoordinator._heartbeat_routine = _beating_on(GroupCoordinator._heartbeat_routine)
        GroupCoordinator._do_heartbeat = _asking_again(HEARTBEAT, GroupCoordinator._do_heartbeat)
        GroupCoordinator._maybe_refresh_commit_offsets = _asking_again(
            OFFSETS, GroupCoordinator._maybe_refresh_commit_offsets
        )
