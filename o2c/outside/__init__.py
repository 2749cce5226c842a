"""The world around the system, played for demo and bench: shop, warehouse, and the customers' banks."""
