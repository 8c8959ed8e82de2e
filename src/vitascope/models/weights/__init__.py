"""Checkpoints of every dialect.

`convert_state_dict` translates, `load_into` loads strictly, `load_own` loads what vitascope wrote,
`export_state_dict` goes back.
"""

from __future__ import annotations

from vitascope.models.weights.convert import convert_state_dict, export_state_dict
from vitascope.models.weights.dialects import DIALECTS, Dialect
from vitascope.models.weights.load import load_into, load_own
from vitascope.models.weights.report import ConversionReport

__all__ = [
    "DIALECTS", "ConversionReport", "Dialect", "convert_state_dict", "export_state_dict",
    "load_into", "load_own",
]  # fmt: skip
