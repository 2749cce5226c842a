"""What a process tells the world about itself: metrics, and the spans of sampled orders. Never in the way of work."""
