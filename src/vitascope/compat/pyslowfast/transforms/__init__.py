"""PySlowFast's transforms, with its names and results."""
