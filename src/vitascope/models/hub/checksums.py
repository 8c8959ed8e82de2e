"""Length and sha256 of published files, by address; `tools/fill_checksums.py` writes the table.

The publishers give none, so they are those of the files as they were fetched then. A file that is
not here has neither on its card; its first download records them, and later ones must match.
"""

from __future__ import annotations

CHECKSUMS: dict[str, tuple[int, str]] = {}
