"""Multiscale vision transformers and their reversible form (arXiv:2104.11227, 2112.01526, 2302.09221)."""
