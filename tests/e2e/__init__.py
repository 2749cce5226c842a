"""The whole system as processes: every path of an order to cash, across all six services."""
