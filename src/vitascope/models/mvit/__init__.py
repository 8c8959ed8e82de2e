"""Multiscale vision transformers (arXiv:2104.11227, 2112.01526), also reversible (2302.09221)."""
