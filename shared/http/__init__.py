"""What every HTTP route shares: problems (RFC 9457), traces, entity tags and cursor pages."""

from shared.http.pages import Page, decode_cursor, page_of
from shared.http.parameters import Cursor, Day, ExpectedVersion, Limit, SeenVersion, Trace, etag
from shared.http.problems import PROBLEMS, install_problems, invalid

__all__ = [
    "PROBLEMS",
    "Cursor",
    "Day",
    "ExpectedVersion",
    "Limit",
    "Page",
    "SeenVersion",
    "Trace",
    "decode_cursor",
    "etag",
    "install_problems",
    "invalid",
    "page_of",
]
