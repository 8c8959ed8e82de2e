"""Checkpoints of every dialect."""
