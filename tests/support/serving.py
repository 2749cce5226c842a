"""A small HTTP server in a thread of the test's own process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

POLL_SECONDS = 0.01
"""How soon a server notices that it shall end."""


class Handler(BaseHTTPRequestHandler):
    """Answers in one go, and says nothing: a test's output is its own."""

    def answer(self, status: int, content: bytes = b"", kind: str = "application/json") -> None:
        """Send the whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def serving(handler: type[Handler], host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """The URL of a server, for the length of a block. `port` 0: a free one."""
    with ThreadingHTTPServer((host, port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": POLL_SECONDS}, daemon=True)
        thread.start()
        try:
            yield f"http://{host}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
