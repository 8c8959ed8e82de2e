"""vitascope: video understanding on PyTorch.

`import vitascope` loads nothing heavy; each name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

__version__ = "0.1.0"

# name -> module that holds it
_LAZY = {
    "load": "vitascope.serving.predictor",
    "Predictor": "vitascope.serving.predictor",
    "create_model": "vitascope.models.registry",
    "list_models": "vitascope.models.registry",
    "load_recipe": "vitascope.recipes.stored",
    "train": "vitascope.cli.shown",
    "evaluate": "vitascope.recipes.folder",
    "export": "vitascope.serving.exporting",
}
__all__ = ["__version__", *_LAZY]


# Read by torch's threads when torch is loaded: they spin at a barrier for microseconds, not
# milliseconds, before they sleep. Alone on a machine a training step is no slower; beside the
# processes that load its data the usual spinning costs half of the speed.
THREADS_SET = "torch" not in sys.modules or "GOMP_SPINCOUNT" in os.environ
if THREADS_SET:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'vitascope' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
