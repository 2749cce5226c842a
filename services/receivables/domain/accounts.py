"""The chart of accounts: which accounts of the general ledger order-to-cash posts to."""

from collections.abc import Mapping

BANK = "1000"
RECEIVABLES = "1200"
CUSTOMER_CREDIT = "2100"
TAX_PAYABLE = "2200"
REVENUE = "4000"
WRITE_OFFS = "6100"

CHART: Mapping[str, str] = {
    BANK: "Bank",
    RECEIVABLES: "Trade receivables",
    CUSTOMER_CREDIT: "Customer credit and prepayments",
    TAX_PAYABLE: "Output tax payable",
    REVENUE: "Revenue",
    WRITE_OFFS: "Write-offs and small differences",
}
"""Account → its name, for people."""
