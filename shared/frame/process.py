"""The entry of a service process: settings, logs, event loop."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Sequence

import structlog
import uvloop

from shared.eventsourced.service import Service
from shared.frame.logs import configure_logs
from shared.frame.running import Running
from shared.settings import Settings

log = structlog.get_logger()


def run_process(services: Sequence[Callable[[Settings], Service]], settings: Settings) -> None:
    """Run one service, or several in one process, until SIGTERM or SIGINT; returns after a clean stop."""

    async def run() -> None:
        made = [make(settings) for make in services]
        configure_logs("+".join(service.name for service in made), settings.log_level)
        together = [Running(service, settings) for service in made]
        loop = asyncio.get_running_loop()
        stop = [running.stop for running in together]
        tasks = [asyncio.create_task(running.run(_announce(running.service.name))) for running in together]
        _on_signals(loop, stop, settings.shutdown_seconds)
        await asyncio.gather(*tasks)

    uvloop.run(run())


def _announce(name: str) -> Callable[[int], None]:
    def announce(port: int) -> None:
        log.info("listens", service=name, port=port)

    return announce


def _on_signals(loop: asyncio.AbstractEventLoop, stops: Sequence[Callable[[], None]], grace_seconds: float) -> None:
    last_resort = threading.Timer(grace_seconds, os._exit, [1])
    last_resort.daemon = True

    def stop_all() -> None:
        if last_resort.ident is None:  # the first of the signals counts
            last_resort.start()
        for stop in stops:
            stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_all)
