"""A service without database, broker and collector: `/metrics` answers all the same, says so, and it ends in time."""

import asyncio
import re
import socket

import httpx

from services.order.app import service
from shared.frame.running import Running
from shared.settings import Settings


def nobody() -> int:
    """A port at which nobody listens."""
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        return int(once.getsockname()[1])


async def test_metrics_say_what_is_away() -> None:
    settings = Settings(
        database_url=f"postgresql://postgres@127.0.0.1:{nobody()}",
        kafka_servers=f"127.0.0.1:{nobody()}",
        otlp_endpoint=f"http://127.0.0.1:{nobody()}",
        otlp_metrics_seconds=0.1,
        trace_ratio=1,
        shutdown_seconds=10,
    )
    running, port = Running(service(settings), settings), asyncio.get_running_loop().create_future()
    task = asyncio.create_task(running.run(port.set_result))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{await port}", trust_env=False) as client:
            assert (await client.get("/orders/O-1")).status_code == 503
            first, second = [(await client.get("/metrics")).text for _ in range(2)]
    finally:
        running.stop()
        async with asyncio.timeout(20):
            await task
    for page in (first, second):
        assert 'o2c_missing{part="store"} 1\n' in page
        assert "o2c_facts_total 0\n" in page
        assert "o2c_relay_leads 0\n" in page
        assert re.search(r"^process_memory_usage_bytes [1-9]", page, re.M)
        assert "o2c_orders_waiting" not in page  # what is not known is not said to be 0
    route = 'http_request_method="GET",http_route="/orders/{order_id}",http_response_status_code="503"'
    assert f"http_server_request_duration_seconds_count{{{route}}} 1\n" in second
