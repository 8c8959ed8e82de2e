"""Optional dependencies: import one, or explain which extra brings it."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from vitascope.errors import MissingExtraError


def require(module: str, *, extra: str) -> Any:
    """Imports `module`, which the pip extra `extra` installs.

    Returns:
        The module (typed as Any: most optional packages carry no types).

    Raises:
        MissingExtraError: the package is absent, or is present and fails to load; the message
            names the command that mends it and, in the second case, the original reason.
    """
    command = f'pip install "vitascope[{extra}]"'
    try:
        loaded: ModuleType = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise MissingExtraError(
                f"{module} is installed but needs {error.name}, which is not. Run: {command}"
            ) from error
        raise MissingExtraError(f"{module} is not installed. Run: {command}") from error
    except (ImportError, OSError, RuntimeError) as error:
        # Packages around a native library (torchcodec, decord) fail with any of these.
        reason = str(error).strip().splitlines()
        raise MissingExtraError(
            f"{module} is installed but does not load ({reason[0] if reason else error!r}). "
            f"Run: {command}"
        ) from error
    return loaded
