"""Entry points of torch.hub: every published model of `vitascope.models.hub`.

`torch.hub.load(REPOSITORY, "slow_r50", pretrained=True)` needs no installation of the package.
"""

import sys as _sys
from pathlib import Path as _Path

# A checkout that torch.hub fetched is not installed.
_sys.path.insert(0, str(_Path(__file__).resolve().parent / "src"))

from vitascope.models.hub import *  # noqa: F403

dependencies = ["torch", "numpy"]
