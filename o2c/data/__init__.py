"""Data that ships with the package: the real orders of the demo."""

from importlib.resources import files
from importlib.resources.abc import Traversable


def demo_orders() -> Traversable:
    """The slice of the Online Retail set that `o2c demo` carries to cash (gzip CSV)."""
    return files(__name__) / "online-retail" / "orders.csv.gz"
