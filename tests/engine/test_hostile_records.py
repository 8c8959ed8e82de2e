"""Checkpoints of strangers: whatever stands in their JSON is a line, and costs nothing."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.models.weights.test_hostile_pickles import mutated
from tests.support.limits import limited, needs_limits, sweep

from vitascope.engine.build import load_model
from vitascope.engine.checkpoint import load_checkpoint, save_checkpoint
from vitascope.errors import VitascopeError, WeightsError
from vitascope.files import parse_json
from vitascope.models.registry import create_model
from vitascope.serving.loading import open_model
from vitascope.spec import ClipSpec, Contract, LabelSpec, PixelSpec, ViewProtocol, to_json

ARGS: dict[str, Any] = {"input_clip_length": 4, "input_crop_size": 32, "depth_factor": 1.0}
CONTRACT = Contract(
    model="x3d_xs",
    args=ARGS,
    labels=LabelSpec(names=("a", "b", "c")),
    clip=ClipSpec(num_frames=4, sampling_rate=2),
    pixels=PixelSpec(short_side=32, crop=(32, 32)),
    views=ViewProtocol(clips=2, crops=1),
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("saved")
    model = create_model("x3d_xs", num_classes=3, **ARGS)
    recipe = {"data": {"path": "x", "workers": 0}, "run": {"eval_precision": "32"}}
    state = {"step": 3, "steps": 9, "seed": 0, "scaler": {}, "best_score": 0.5}
    save_checkpoint(
        folder, "best", tensors=model.state_dict(), contract=CONTRACT, recipe=recipe, state=state
    )
    return folder / "best.json"


def changed(saved: Path, out: Path, path: tuple[Any, ...], value: Any) -> Path:
    """A record with another value at a place, beside links to the tensors."""
    record = json.loads(saved.read_text(encoding="utf-8"))
    place = record
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    out.mkdir(exist_ok=True)
    tensors = out / "best-3.safetensors"
    if not tensors.exists():
        tensors.symlink_to(saved.with_name("best-3.safetensors"))
    (out / "best.json").write_text(json.dumps(record), encoding="utf-8")
    return out / "best.json"


C = "contract"
WRONG: list[tuple[tuple[Any, ...], Any, str]] = [
    ((C,), None, "contract = None; expected an object"),
    ((C,), [], "expected an object"),
    ((C, "model"), 3, "contract.model = 3; expected text"),
    ((C, "model"), "x3d_sx", "unknown model"),
    ((C, "model"), "hf:evil/network", "a file may not decide what is fetched"),
    ((C, "model"), "timm:hf-hub:evil/network", "timm"),
    ((C, "args"), [1], "contract.args = .*; expected an object"),
    ((C, "args"), {"with_factor": 1.0}, "unknown argument of x3d_xs .*with_factor"),
    ((C, "args"), {"width_factor": "wide"}, "its contract does not build x3d_xs"),
    ((C, "args"), {"width_factor": 5000.0}, "many times as large"),
    ((C, "args"), {"depth_factor": 500000.0}, "many times as large"),
    ((C, "args"), {"stem_dim_in": 10**12}, "at most 1000000"),
    ((C, "args"), {"input_clip_length": {"a": {"a": 1}}}, "does not build"),
    ((C, "labels", "names"), "abc", "labels.names = 'abc'; expected a list"),
    ((C, "labels", "names"), ["a", 2, "c"], r"labels.names\[1\] = 2; expected text"),
    ((C, "labels", "names"), ["a", "b"], "for the 2 classes that it names, but for 3"),
    ((C, "labels", "names"), [str(i) for i in range(10**5)], "100000 classes that it names"),
    ((C, "clip", "num_frames"), 0, "at least one frame"),
    ((C, "clip", "num_frames"), True, "expected a whole number"),
    ((C, "clip", "num_frames"), 10**9, "a sensible number"),
    ((C, "clip", "fps"), "1e99999999", "clip.fps = '1e99999999'; expected a fraction"),
    ((C, "clip", "fps"), "1/0", "expected a fraction"),
    ((C, "clip", "fps"), "9" * 10**5, "expected a fraction"),
    ((C, "clip", "coverage"), ["window"], "expected one of window, video"),
    ((C, "clip", "pathways"), [4, 0], "a stride is at least 1"),
    ((C, "clip", "pathways"), {"a": 1}, "expected a list"),
    ((C, "pixels", "crop"), [32], "expected a list of 2"),
    ((C, "pixels", "crop"), ["32", 32], "expected a whole number"),
    ((C, "pixels", "std"), [0, 1, 1], "std above 0"),
    ((C, "pixels", "mean"), [None] * 3, "expected a number"),
    ((C, "pixels"), {"short_side": 10**6, "crop": [10**6, 10**6]}, "from 1 to 16384"),
    ((C, "views"), {"clips": -1}, "clips must be at least 1"),
    ((C, "views"), "10x3", "expected an object"),
    (("format",), 1, "has format 1"),
    (("state",), [], r"state = \[\]; expected an object"),
    (("state", "step"), "3", "state.step = '3'"),
    (("recipe",), "x", "recipe = 'x'; expected an object"),
    (("versions",), 3, "versions = 3; expected an object"),
    (("tensors",), None, "entry 'tensors'"),
    (("tensors", "file"), "../saved/best-3.safetensors", "the name of a file beside it"),
    (("tensors", "file"), "/etc/passwd", "the name of a file beside it"),
    (("tensors", "file"), "best.json", "bytes of"),
    (("tensors", "bytes"), "many", "entry 'tensors'"),
    (("tensors", "sha256"), None, "sha256"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "word"), WRONG)
@needs_limits
def test_a_wrong_entry_is_named(
    path: tuple[Any, ...], value: Any, word: str, saved: Path, tmp_path: Path
) -> None:
    record = changed(saved, tmp_path / "other", path, value)
    with limited(), pytest.raises(VitascopeError, match=word) as caught:
        load_model(record)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


def test_a_clip_of_allowed_sizes_may_still_be_too_large(saved: Path, tmp_path: Path) -> None:
    pixels = {"short_side": 2**14, "crop": [2**14, 2**14]}
    large = changed(saved, tmp_path / "large", (C, "pixels"), pixels)
    long = changed(large, tmp_path / "long", (C, "clip", "num_frames"), 100)
    with pytest.raises(VitascopeError, match="more than any model"):
        load_model(long)


TEXTS = [
    b"", b"{", b"[" * 10**6, b'{"a":' * 10**5, b'{"tensors": NaN}', b'{"tensors": 1e99999999}',
    b'{"tensors": ' + b"9" * 10**5 + b"}", b'{"tensors": {}, "tensors": {}}', b"\xff\xfe{}",
    b'{"tensors": Infinity}', b" " * (17 << 20), b"null", b'"text"', b"\x00" * 1000,
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: str(text[:20]))
@needs_limits
def test_text_that_is_no_record_is_refused(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    path.write_bytes(text)
    with limited(), pytest.raises(WeightsError, match=r"best\.json") as caught:
        load_checkpoint(tmp_path, "best")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_json_is_read_as_the_standard_has_it() -> None:
    assert parse_json('{"a": [1, -2.5e3, null, true, "x"]}', "x") == {
        "a": [1, -2500.0, None, True, "x"]
    }


def test_a_sound_record_still_opens(saved: Path) -> None:
    model, checkpoint = load_model(saved)
    assert model.num_classes == 3 and checkpoint.contract == CONTRACT


# Every field of a record, with everything that could stand there.

VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 10**6, 2**31, 2**63, 10**30, -(10**30), 0.5, -0.5, 1e300,
    1e-300, "", "x", "NaN", "1e99999999", "1/0", "../x", "/etc/passwd", "a\nb", "\x1b[2J",
    "x" * 10**5,
    "hf:a/b", "timm:x", [], [1], ["x"], [[]], [None] * 1000, list(range(20)), {}, {"a": 1},
    {"a": {"b": {}}}, [1e308] * 3,
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in JSON, inner places too."""
    if path:
        yield path
    if isinstance(value, dict):
        for name, part in value.items():
            yield from places(part, (*path, name))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from places(part, (*path, index))


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.slow
@needs_limits
def test_hostile_values_in_every_field_of_a_record(saved: Path, tmp_path: Path) -> None:
    record = json.loads(saved.read_text(encoding="utf-8"))

    def cases() -> Iterator[tuple[str, Callable[[], object]]]:
        for path in places(record):
            for value in [*VALUES, deep(500)]:
                other = changed(saved, tmp_path / "other", path, value)
                yield f"{path} = {value!r:.40}", lambda other=other: open_model(other)

    counts = sweep(cases(), "fields of a record")
    assert counts["refused"] > 800


def test_the_contract_of_every_card_is_read_back() -> None:
    from vitascope.models.registry import list_cards

    for card in list_cards():
        contract = Contract(
            model=card.full_name, args={}, labels=card.labels, clip=card.clip, pixels=card.pixels
        )
        assert Contract.from_json(json.loads(json.dumps(to_json(contract)))) == contract


@pytest.mark.slow
@needs_limits
def test_200_mutated_records_and_tensors(saved: Path, tmp_path: Path) -> None:
    rng = random.Random(5)
    tensors = saved.with_name("best-3.safetensors")
    content = tensors.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])

    def cases() -> Iterator[tuple[str, Callable[[], object]]]:
        for number in range(100):
            folder = tmp_path / f"r{number}"
            folder.mkdir()
            (folder / "best.json").write_bytes(mutated(saved.read_bytes(), rng))
            (folder / "best-3.safetensors").symlink_to(tensors)
            yield f"record {number}", lambda folder=folder: open_model(folder)
        for number in range(100):  # alone: nothing vouches for the header
            alone = tmp_path / f"{number}.safetensors"
            header = mutated(content[8 : 8 + size], rng)
            alone.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + size :])
            yield f"tensors {number}", lambda alone=alone: open_model(alone)

    counts = sweep(cases(), "mutated records and tensors")
    assert counts["refused"] > 100
