"""The whole record of PyTorchVideo's interface, name by name: parameters, kinds and defaults.

Old calls must mean the same: the recorded parameters come first, by the same names, of the same
kinds, with the same defaults; what vitascope adds comes after them and has a default, and what had
to be given may have one now. Where this does not hold, the name stands in `OTHERWISE` with the
reason.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from compat.test_old_names import recorded, short
from support.model_reference import old_names
from vitascope.errors import VitascopeError

pytestmark = pytest.mark.filterwarnings("ignore:pytorchvideo:DeprecationWarning")
Entry = dict[str, Any]
FREE = ("var_positional", "var_keyword")

# name (below pytorchvideo) -> why it is not as recorded
OTHERWISE = {
    "data.decoder.DecoderType": "torchvision has no decoder any more; its name is PyAV's",
}


def spelled(value: Any) -> str:
    """A value as the record writes it: functions by their names."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {spelled(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(spelled, value)) + "]"
    return value.__name__ if inspect.isfunction(value) else repr(value)


def parameters(new: Any) -> list[inspect.Parameter]:
    found = list(inspect.signature(new).parameters.values())
    # A function may have a parameter of this name, too: `set_attributes(self, params)`.
    return found[1:] if found and found[0].name in ("self", "cls") else found


def faults(new: Any, old: list[list[str]]) -> Iterator[str]:
    """How the parameters differ from the recorded ones."""
    wanted = [p for p in old if p[0] not in ("self", "cls")]
    mine = parameters(new)
    named = {p.name: p for p in mine}
    if any(p[1] in FREE for p in wanted):
        kinds = {p.kind.name.lower() for p in mine}
        yield from (f"no {p[1]}" for p in wanted if p[1] in FREE and p[1] not in kinds)
        wanted = [p for p in wanted if p[1] not in FREE]
    order = [p.name for p in mine if p.kind is p.POSITIONAL_OR_KEYWORD]
    places = [p[0] for p in wanted if p[1] == "positional_or_keyword"]
    if order[: len(places)] != places:
        yield f"places {order}, before {places}"
    for name, kind, *default in wanted:
        if name not in named:
            yield f"no {name}"
            continue
        have = named[name]
        if have.kind.name.lower() != kind:
            yield f"{name} is {have.kind.name.lower()}, before {kind}"
        if default and have.default is have.empty:
            yield f"{name} has no default"
        elif default and short(have.default).replace(" ", "") != recorded(default[0]):
            yield f"{name} = {short(have.default)}, before {default[0]}"
    known = {p[0] for p in wanted}
    for extra in mine:
        free = extra.kind in (extra.VAR_POSITIONAL, extra.VAR_KEYWORD)
        if extra.name not in known and not free and extra.default is extra.empty:
            yield f"{extra.name} is new and has no default"


def of_class(new: Any, old: Entry) -> Iterator[str]:
    enumeration = old["bases"] == ["enum.Enum"]
    if not enumeration:
        yield from faults(new, old["parameters"])
    for method, entry in old.get("methods", {}).items():
        if not hasattr(new, method):
            yield f"no method {method}"
            continue
        found = inspect.getattr_static(new, method)
        if isinstance(found, property):  # a value that can be called, too
            continue
        if method == "__call__" and issubclass(new, nn.Module):
            method = "forward"  # what a module's call runs
        for fault in faults(getattr(new, method), entry["parameters"]):
            yield f"{method}: {fault}"
    for name in old.get("properties", []):
        if not hasattr(new, name):
            yield f"no property {name}"
    for name, value in old.get("constants", {}).items():
        if not hasattr(new, name):
            yield f"no constant {name}"
        elif enumeration or value.lstrip("-").replace(".", "").isalnum() or value[0] == "'":
            have = getattr(new, name)
            if repr(have) != value and str(getattr(have, "value", have)) not in value:
                yield f"{name} = {have!r}, before {value}"


def walk(modules: Entry, count: Counter[str]) -> Iterator[tuple[str, str]]:
    for module, entry in modules.items():
        for name, old in entry["names"].items():
            where = f"{module.removeprefix('pytorchvideo.')}.{name}"
            count[old["kind"]] += 1
            try:
                new = getattr(importlib.import_module(module), name)
            except (ModuleNotFoundError, AttributeError):
                yield where, "not there"
                continue
            if old["kind"] == "function":
                yield from ((where, fault) for fault in faults(new, old["parameters"]))
            elif old["kind"] == "class":
                count["method"] += len(old.get("methods", {}))
                yield from ((where, fault) for fault in of_class(new, old))
            elif old["type"] in ("dict", "list", "int", "str"):
                have, want = spelled(new), old["value"]
                if not (want.startswith(have) or have.startswith(want)):
                    yield where, f"{have}, before {want}"
        for name in entry.get("re_exports", {}):
            count["again"] += 1
            if not hasattr(importlib.import_module(module), name):
                yield f"{module.removeprefix('pytorchvideo.')}.{name}", "not there"


def test_every_name_is_as_recorded(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old_names()
    record = json.loads((shared / "reference" / "api" / "pytorchvideo_api.json").read_text())
    count: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = list(walk(record["modules"], count))
    with capsys.disabled():
        sys.stdout.write(f"\nnames compared: {dict(count)}, otherwise: {len(OTHERWISE)}\n")
    unknown = [f"{where}: {fault}" for where, fault in found if where not in OTHERWISE]
    assert not unknown, "\n".join(unknown)
    assert set(OTHERWISE) == {where for where, _ in found}, "rows that are no longer needed"


def test_old_calls_that_were_served_last() -> None:
    old_names()

    def old(module: str, name: str) -> Any:
        return getattr(importlib.import_module(f"pytorchvideo.{module}"), name)

    assert (
        old("data.encoded_video_torchvision", "EncodedVideoTorchVision").SEEK_FRAME_MARGIN == 0.25
    )
    paths = old("data.hmdb51", "Hmdb51LabeledVideoPaths")([("run/a.avi", {"label": "run"})], "root")
    assert paths.path_prefix == "root" and paths[0][0] == "root/run/a.avi"
    paths.path_prefix = "other"
    assert paths[0][0] == "other/run/a.avi"
    absolute = old("data.hmdb51", "Hmdb51LabeledVideoPaths")([("/run/a.avi", {})])
    with pytest.raises(VitascopeError, match="not below the prefix other"):
        absolute.path_prefix = "other"
    holder = type("Holder", (), {})()
    old("layers.utils", "set_attributes")(self=holder, params={"self": 1, "width": 2})
    assert vars(holder) == {"width": 2}
    x, labels, sound = torch.rand(4, 3, 2, 8, 8), torch.arange(4), torch.rand(4, 7)
    for name in ("MixUp", "CutMix", "MixVideo"):
        mixed = old("transforms.mix", name)(num_classes=4)(
            x_video=x, labels=labels, x_audio=sound, aug_index=0
        )
        assert len(mixed) == 3 and mixed[1].shape == sound.shape and mixed[2].shape == (4, 4)
