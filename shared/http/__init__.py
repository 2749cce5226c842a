"""What every HTTP route shares: problems (RFC 9457), traces, entity tags and cursor pages."""

from shared.http.pages import Page, decode_cursor, page_of
from shared.http.parameters import Cursor, ExpectedVersion, Limit, Trace, etag
from shared.http.problems import PROBLEMS, install_problems, invalid

__all__ = [
    "PROBLEMS",
    "Cursor",
    "ExpectedVersion",
    "Limit",
    "Page",
    "Trace",
    "decode_cursor",
    "etag",
    "install_problems",
    "invalid",
    "page_of",
]
