"""Modules without a paper of their own."""
