"""Programs for PyTorchVideo or decord become programs for vitascope."""

from __future__ import annotations

from vitascope.compat.migrate.files import MigratedFile, migrate_files, write_migrated

__all__ = ["MigratedFile", "migrate_files", "write_migrated"]
