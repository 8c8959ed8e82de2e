"""Blocks with a form for training and one for deployment on a CPU."""
