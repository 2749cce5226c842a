"""Order files become messages to the system, and every row of them is accounted for."""

from o2c.importing.reader import open_text, read_orders
from o2c.importing.report import ImportReport

__all__ = ["ImportReport", "open_text", "read_orders"]
