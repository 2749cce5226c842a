"""Which facts about orders, customers and products the world hears. What others told us stays private."""

from services.order.domain import customer, order_facts, product
from shared.contracts import orders as public
from shared.eventsourced.publishing import Publishing, same

SAYS: Publishing = {
    order_facts.OrderPlaced: same(public.OrderPlaced),
    order_facts.OrderHeld: same(public.OrderHeld),
    order_facts.OrderReleased: same(public.OrderReleased),
    order_facts.OrderConfirmed: same(public.OrderConfirmed),
    order_facts.OrderRejected: same(public.OrderRejected),
    order_facts.OrderCancellationRequested: same(public.OrderCancellationRequested),
    order_facts.OrderCancelled: same(public.OrderCancelled),
    order_facts.OrderCompleted: same(public.OrderCompleted),
    customer.CustomerRegistered: same(public.CustomerRegistered),
    customer.CustomerChanged: same(public.CustomerChanged),
    product.ProductListed: same(public.ProductListed),
    product.PriceChanged: same(public.PriceChanged),
}
