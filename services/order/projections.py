"""Read tables of the order service: a clerk's list of orders, the customers and the products."""

from services.order.domain.customer import Customer, customer
from services.order.domain.order import Order, order
from services.order.domain.product import Product, product
from shared.eventsourced.projecting import Column, Projection, Row, StateProjection, Table

ORDERS = Table(
    "orders",
    (Column("order_id", "text"),),
    (
        Column("customer_id", "text"),
        Column("status", "text"),
        Column("reason", "text"),
        Column("currency", "text"),
        Column("total_minor", "bigint"),
        Column("line_count", "integer"),
        Column("prepaid", "boolean"),
        Column("placed_at", "timestamptz"),
        Column("confirmed_at", "timestamptz"),
        Column("allocation", "text"),
        Column("shipments", "integer"),
        Column("shipped_fully", "boolean"),
        Column("invoices_open", "integer"),
        Column("invoiced_fully", "boolean"),
        Column("invoiced_minor", "bigint"),
        Column("paid_minor", "bigint"),
        Column("credited_minor", "bigint"),
        Column("stage", "text"),
        Column("stage_at", "timestamptz"),
    ),
    dated=True,
)

CUSTOMERS = Table(
    "customers",
    (Column("customer_id", "text"),),
    (
        Column("name", "text"),
        Column("country", "text"),
        Column("currency", "text"),
        Column("payment_terms_days", "integer"),
    ),
)

PRODUCTS = Table(
    "products",
    (Column("sku", "text"),),
    (
        Column("description", "text"),
        Column("unit_price_minor", "bigint"),
        Column("currency", "text"),
        Column("tax_rate_bp", "integer"),
    ),
)


def order_row(key: str, state: Order) -> Row | None:
    """An order is listed from the moment it is placed."""
    placed = state.placed
    if placed is None:
        return None
    return (
        key,
        placed.customer_id,
        state.status,
        state.reason,
        placed.currency,
        placed.total_minor,
        len(placed.lines),
        placed.prepaid,
        placed.placed_at,
        state.confirmed_at,
        state.allocation,
        len(state.shipments),
        state.shipped_fully,
        state.open_invoices,
        state.invoiced_fully,
        state.invoiced_minor,
        state.settled_minor,
        state.credited_minor,
    )


def stage_of(state: Order) -> str:
    """For whom the order waits (one of `STAGES` in gauges.py), or how it ended."""
    match state.status:
        case "placed" | "held":
            return "credit"
        case "confirmed" if not state.shipped_fully:
            return "warehouse" if state.allocation == "reserved" else "stock"
        case "confirmed":
            return "payment" if state.invoiced_fully else "invoice"
        case _:
            return state.status


def customer_row(key: str, state: Customer) -> Row | None:
    """A customer as they are now."""
    return (key, state.name, state.country, state.currency, state.payment_terms_days) if state.customer_id else None


def product_row(key: str, state: Product) -> Row | None:
    """A product with the price of now."""
    listed = state.listed
    if listed is None:
        return None
    return (key, listed.description, state.unit_price_minor, state.currency, listed.tax_rate_bp)


PROJECTIONS: tuple[Projection, ...] = (
    StateProjection(ORDERS, order, order_row, stage_of),
    StateProjection(CUSTOMERS, customer, customer_row),
    StateProjection(PRODUCTS, product, product_row),
)
