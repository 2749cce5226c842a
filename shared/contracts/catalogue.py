"""All speakers at once: importing this module completes the registry of public messages."""

from shared.contracts import billing, credit, fulfillment, inbound, orders, receivables
from shared.contracts.messages import Contract, contract_of, contracts

SPEAKERS = {
    speaker.name: speaker
    for speaker in (
        orders.ORDER,
        credit.CREDIT,
        fulfillment.FULFILLMENT,
        billing.BILLING,
        receivables.RECEIVABLES,
    )
}
"""The services that say something, by name."""

INBOUND_TOPICS = (
    inbound.INBOUND_ORDERS.topic,
    inbound.INBOUND_PAYMENTS.topic,
    inbound.INBOUND_SHIPMENTS.topic,
)

__all__ = ["INBOUND_TOPICS", "SPEAKERS", "Contract", "contract_of", "contracts"]
