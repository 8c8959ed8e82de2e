"""Architectures, cards and weights."""
