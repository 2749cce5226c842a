"""Header names that are no UTF-8, and records that cannot be read: what is beside them is read all the same."""

import asyncio
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.subscription_state import Assignment
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition
from structlog.testing import capture_logs

from shared import kafka, kafka_mends

PLAIN, GZIP, SNAPPY, LZ4, ZSTD = range(5)
PLACE = TopicPartition("t", 0)
ODD = b"\xff\xfe\xff\xfe"


def fetched(*batches: list[str], compression: int = PLAIN) -> bytes:
    """The bytes of a fetch: batches of records, each with one header of this name; ODDX stands for the odd name."""
    data, offset = b"", 0
    for names in batches:
        builder = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=compression,
            is_transactional=0,
            producer_id=-1,
            producer_epoch=-1,
            base_sequence=0,
            batch_size=100_000,
        )
        for n, name in enumerate(names):
            builder.append(n, timestamp=1, key=b"k", value=b"v%d" % (offset + n), headers=[(name, b"h")])
        batch = bytearray(builder.build())
        batch[:8] = offset.to_bytes(8, "big")
        data += bytes(batch)
        offset += len(names)
    return data.replace(b"ODDX", ODD)


def read(data: bytes, start: int = 0) -> list[Any]:
    assert kafka.CONTROL_TOPIC  # importing it puts the mends in place
    return list(records_of(data, start, checked=False))


def records_of(data: bytes, start: int = 0, *, checked: bool = True) -> Any:
    records = fetcher.MemoryRecords(data)
    return fetcher.PartitionRecords(PLACE, records, None, start, None, None, checked, 0)


def test_records_beside_and_behind_an_odd_name_are_read_once_and_in_order() -> None:
    records = read(fetched(["a", "ODDX", "b"], ["c", "ODDX"], ["d"]))
    assert [record.offset for record in records] == [0, 1, 2, 3, 4, 5]
    assert [record.value for record in records] == [b"v%d" % n for n in range(6)]
    assert [record.headers[0][0] for record in records] == [
        "a",
        r"\xff\xfe\xff\xfe",
        "b",
        "c",
        r"\xff\xfe\xff\xfe",
        "d",
    ]


def test_what_was_read_before_the_odd_name_is_not_read_again() -> None:
    assert [record.offset for record in read(fetched(["a", "b"], ["c", "ODDX"], ["d"]))] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("start", range(5))
def test_reading_may_start_at_any_offset(start: int) -> None:
    records = read(fetched(["a", "ODDX", "b", "ODDX", "c"]), start)
    assert [record.offset for record in records] == list(range(start, 5))


def test_ordinary_fetches_are_read_as_ever() -> None:
    assert [record.offset for record in read(fetched(["a", "b"], ["ü"], compression=GZIP))] == [0, 1, 2]


@pytest.mark.parametrize("compression", [SNAPPY, LZ4, ZSTD])
def test_what_shops_compress_is_read(compression: int) -> None:
    assert [record.offset for record in read(fetched(["a", "b"], ["c"], compression=compression))] == [0, 1, 2]


class Partition:
    """One partition as aiokafka's fetcher holds it. `take` polls it once for all that was fetched from its position."""

    def __init__(self) -> None:
        self.assignment = Assignment({PLACE})
        self.state = self.assignment.state_value(PLACE)
        self.state.reset_to(0)

    def take(self, data: bytes) -> list[int]:
        records = records_of(data, self.state.position)
        result = fetcher.FetchResult(PLACE, assignment=self.assignment, partition_records=records, backoff=0)
        return [record.offset for record in result.getall(100)]


def broken(data: bytes) -> bytes:
    """The same bytes with the last one changed, so that the checksum of the last batch is wrong."""
    return data[:-1] + bytes([data[-1] ^ 1])


async def test_a_partition_rests_at_what_cannot_be_read_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_mends, "UNREADABLE_SECONDS", 0.01)
    partition, whole = Partition(), fetched(["a", "b"], ["c"])
    with capture_logs() as logs:
        assert partition.take(broken(whole)) == [0, 1]
        assert not partition.state.paused
        assert partition.take(broken(whole)) == []
        assert partition.state.paused
        assert partition.take(whole) == []
    await asyncio.sleep(0.05)
    assert not partition.state.paused
    assert partition.take(whole) == [2]
    assert [(entry["event"], entry["offset"]) for entry in logs] == [("records cannot be read", 2)]
    assert "CRC" in logs[0]["fault"]


async def test_a_broken_compression_is_no_other_case() -> None:
    batch = bytearray(fetched(["a", "b"], compression=GZIP))
    batch[61] ^= 0xFF  # of the magic number of gzip
    records = records_of(bytes(batch), checked=False)
    assert list(records) == []
    assert records.unreadable is not None


async def test_bytes_that_are_no_whole_batch_are_not_skipped() -> None:
    partition, whole = Partition(), fetched(["a", "b"])
    with capture_logs() as logs:
        assert partition.take(whole[:-5]) == []
    assert (partition.state.position, partition.state.paused) == (0, True)
    assert "no whole batch" in logs[0]["fault"]


def test_what_is_cut_off_behind_whole_batches_comes_with_the_next_fetch() -> None:
    assert [record.offset for record in read(fetched(["a", "b"], ["c"])[:-5])] == [0, 1]


def test_a_fetch_of_nothing_is_nothing() -> None:
    assert read(b"") == []
