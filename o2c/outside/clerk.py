"""The accounts receivable clerk: sends money that names the wrong invoice to the right one, over the API."""

import asyncio
from urllib.parse import quote

from o2c.outside.heard import Invoice
from o2c.services import Services
from shared.contracts.inbound import Payment
from shared.errors import ConflictError, NotFoundError

WAIT_SECONDS = 0.25
"""Money that cannot be applied yet is looked at again after so long, behind what came meanwhile."""


class Clerk:
    """Works off payments that wait without an invoice, one after the other, until told to stop."""

    def __init__(self, services: Services, *, name: str = "clerk") -> None:
        self._services, self._name = services, name
        self._waiting: asyncio.Queue[tuple[Invoice, Payment]] = asyncio.Queue()

    def take(self, invoice: Invoice, payment: Payment) -> None:
        """This payment was received and is for this invoice, whatever its reference says."""
        self._waiting.put_nowait((invoice, payment))

    async def work(self) -> None:
        """Apply what waits; ends by cancellation. Raises UnavailableError if receivables does not answer."""
        while True:
            waiting = await self._waiting.get()
            if not await self._apply(*waiting):
                asyncio.get_running_loop().call_later(WAIT_SECONDS, self._waiting.put_nowait, waiting)

    async def _apply(self, invoice: Invoice, payment: Payment) -> bool:
        """Decide on the account as it is; whether this payment is done with."""
        path = f"/accounts/{quote(invoice.customer_id, safe='')}"
        body = {
            "source_id": payment.payment_id,
            "invoice_id": invoice.invoice_id,
            "amount_minor": min(payment.amount_minor, invoice.total_minor),
            "by": self._name,
        }
        try:
            seen = await self._services.etag("receivables", path)
            await self._services.post("receivables", f"{path}/apply", body=body, seen=seen)
        except NotFoundError:
            return await self._is_used(payment)  # an earlier run has done it
        except ConflictError:
            return False  # the account has moved on meanwhile
        return True

    async def _is_used(self, payment: Payment) -> bool:
        """Whether the money pays something; if not, receivables has not heard of the invoice yet."""
        try:
            found = await self._services.get("receivables", f"/payments/{quote(payment.payment_id, safe='')}")
        except NotFoundError:
            return False
        return bool(found["unapplied_minor"] == 0)
