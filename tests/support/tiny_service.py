"""The smallest service the stack can keep running: `python -m tests.support.tiny_service NAME`.

It is ready `TINY_READY_SECONDS` after its start, shows its environment at `/environment`, and ends with status 3 at
`/crash`. With `TINY_DEAF=1` it ignores SIGTERM; with `TINY_BROKEN=1` it ends at once and says why.
"""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STARTED = time.monotonic()
READY_SECONDS = float(os.environ.get("TINY_READY_SECONDS", "0"))


class Handler(BaseHTTPRequestHandler):
    """Three paths, as above."""

    def do_GET(self) -> None:
        """Answer one request."""
        match self.path:
            case "/health/ready":
                self._answer(200 if time.monotonic() - STARTED >= READY_SECONDS else 503, {})
            case "/environment":
                self._answer(200, {name: value for name, value in os.environ.items() if name.startswith("O2C_")})
            case "/crash":
                os._exit(3)
            case _:
                self._answer(404, {})

    def _answer(self, status: int, body: dict[str, str]) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


def main() -> None:
    """Serve until SIGTERM."""
    if os.environ.get("TINY_BROKEN") == "1":
        sys.exit("the tiny service is broken on purpose")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if os.environ.get("TINY_DEAF") == "1" else lambda *_: os._exit(0))
    ThreadingHTTPServer((os.environ["O2C_HTTP_HOST"], int(os.environ["O2C_HTTP_PORT"])), Handler).serve_forever()


if __name__ == "__main__":
    main()
