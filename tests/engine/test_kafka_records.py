"""Header names that are no UTF-8: the records beside and behind them are read all the same."""

from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from shared import kafka

PLAIN, GZIP = 0, 1
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
    records = fetcher.MemoryRecords(data)
    return list(fetcher.PartitionRecords(TopicPartition("t", 0), records, None, start, None, None, False, 0))


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
