"""Whether the service in this container answers 200 at the path given: exit code 0 or 1. Nothing but Python's own."""

import http.client
import os
import sys

SECONDS_MAX = 4


def main(path: str) -> int:
    """Ask the service on its own port."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["O2C_HTTP_PORT"]), timeout=SECONDS_MAX)
    try:
        connection.request("GET", path)
        return 0 if connection.getresponse().status == 200 else 1
    except (OSError, http.client.HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
