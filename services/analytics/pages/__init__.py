"""The control tower: pages that show the whole cycle and let clerks work its queues."""
