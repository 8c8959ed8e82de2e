"""Old formats and old import paths."""
