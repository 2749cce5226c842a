"""What garbage collection costs a process."""

import gc
import time
from collections.abc import Mapping
from typing import Any


class Collecting:
    """Settles how the process collects garbage, and counts the seconds of CPU it takes."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._begun = 0.0
        gc.callbacks.append(self._observe)

    def settle(self) -> None:
        """To be called when everything is built: what lives now lives for ever, and is not looked at again."""
        gc.freeze()  # with what garbage there is: finding it would take a tenth of the time that a start takes
        gc.set_threshold(50_000, 50, 100)  # our values hold no cycles; the default costs a third of the CPU

    def _observe(self, phase: str, info: Mapping[str, Any]) -> None:
        if phase == "start":
            self._begun = time.thread_time()
        else:
            self.seconds += time.thread_time() - self._begun
