"""Recorded numbers of the predecessors' models: how to build, fill, run and compare.

The rules are those of `shared/reference/models/README.md`.
"""

from __future__ import annotations

import gzip
import importlib
import json
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vitascope.layers.squeeze_excitation import SqueezeExcitation
from vitascope.models.measure.flops import FlopCounter

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "reference" / "models"
Case = dict[str, Any]

# Old modules whose public names the expressions of the records use.
_MODULES = """
layers.accelerator.mobile_cpu.activation_functions layers.accelerator.mobile_cpu.attention
layers.accelerator.mobile_cpu.convolutions layers.accelerator.mobile_cpu.fully_connected
layers.accelerator.mobile_cpu.pool models.accelerator.mobile_cpu.efficient_x3d
models.accelerator.mobile_cpu.residual_blocks layers.attention layers.batch_norm
layers.convolutions layers.drop_path layers.fusion layers.mlp layers.nonlocal_net
layers.positional_encoding layers.squeeze_excitation layers.swish layers.utils models.resnet
models.audio_visual_slowfast models.byol models.csn models.head models.masked_multistream
models.memory_bank models.net models.r2plus1d models.simclr models.slowfast models.stem
models.vision_transformers models.weight_init models.x3d models.hub
""".split()


@cache
def cases() -> dict[str, Case]:
    """All records by id; empty where the reference is not beside the checkout."""
    if not FOLDER.is_dir():
        return {}
    return {case["id"]: case for case in json.loads((FOLDER / "index.json").read_text())["cases"]}


def select(*prefixes: str, dialect: str = "ptv") -> list[str]:
    """Ids of a dialect that start with one of `prefixes`."""
    found = [i for i, c in cases().items() if c["dialect"] == dialect and i.startswith(prefixes)]
    return found or ["reference not present"]


@cache
def states() -> dict[str, Any]:
    """State-dict entries by key."""
    with gzip.open(FOLDER / "states.json.gz") as file:
        return json.load(file)


@cache
def outputs() -> Any:
    """Recorded values by key."""
    return np.load(FOLDER / "outputs.npz")


def case(name: str) -> Case:
    """The record `name`; skips the test where the reference is absent."""
    if not FOLDER.is_dir():
        pytest.skip(f"reference data not present: {FOLDER}")
    return cases()[name]


@cache
def old_names() -> dict[str, Any]:
    """Names for the expressions of the records, all taken from the old import paths.

    A module that does not exist (yet) gives no names; the expression that needs one then fails.
    """
    import vitascope.compat.pytorchvideo  # noqa: F401  (serves `import pytorchvideo`)

    names: dict[str, Any] = {"torch": torch, "nn": nn, "partial": partial}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for module in _MODULES:
            try:
                loaded = importlib.import_module(f"pytorchvideo.{module}")
            except ModuleNotFoundError:
                continue
            listed = getattr(loaded, "__all__", None) or [n for n in vars(loaded) if n[0] != "_"]
            names.update({name: getattr(loaded, name) for name in listed})
    from vitascope.models.acoustic_resnet import (
        create_acoustic_bottleneck_block,
        create_acoustic_resnet,
    )

    names.update(
        SqueezeExcitation=SqueezeExcitation,
        create_acoustic_bottleneck_block=create_acoustic_bottleneck_block,
        create_acoustic_resnet=create_acoustic_resnet,
    )
    return names


def build(record: Case) -> nn.Module:
    """Evaluates the expression of a record with our names."""
    return eval(record["expr"], dict(old_names()))


def filled(name: str, shape: tuple[int, ...], salt: str, gain: float) -> np.ndarray:
    """Value of one floating-point entry by the fill rule, float64."""
    rs = np.random.RandomState(zlib.crc32((salt + name).encode()) & 0xFFFFFFFF)
    if len(shape) >= 2:
        return rs.randn(*shape) * gain / np.sqrt(np.prod(shape[1:]))
    if len(shape) == 0:
        return np.asarray(rs.rand())
    if name.endswith("running_var"):
        return 0.5 + rs.rand(*shape)
    if name.endswith("running_mean"):
        return 0.1 * rs.randn(*shape)
    if name.endswith(".weight"):
        return 0.5 + rs.rand(*shape)
    return 0.1 * rs.randn(*shape)


def fill(
    module: nn.Module,
    salt: str,
    gain: float,
    buffers_kept: bool = False,
    rename: Callable[[str], str] | None = None,
) -> None:
    """Sets all entries of the state dict by the rule; an alias keeps the value of the first name.

    Args:
        module: changed in place.
        salt: salt of the record.
        gain: gain of the record.
        buffers_kept: leave buffers as built.
        rename: maps a name of `module` to the name that the rule sees.
    """
    buffers = {name for name, _ in module.named_buffers(remove_duplicate=False)}
    seen: set[tuple[int, tuple[int, ...]]] = set()
    for name, entry in module.state_dict().items():
        place = (entry.data_ptr(), tuple(entry.shape))
        if (place in seen and entry.numel()) or (buffers_kept and name in buffers):
            continue
        seen.add(place)
        with torch.no_grad():
            if not entry.is_floating_point():
                entry.zero_()
                continue
            known = name if rename is None else rename(name)
            value = filled(known, tuple(entry.shape), salt, gain).astype(np.float32)
            entry.copy_(torch.from_numpy(np.asarray(value)))


def argument(spec: Any) -> Any:
    """One positional argument of a record."""
    if isinstance(spec, list):
        return [argument(part) for part in spec]
    if isinstance(spec, dict) and "rule" in spec:
        rs = np.random.RandomState(spec["seed"])
        draw = rs.randn if spec["rule"] == "randn" else rs.rand
        return torch.from_numpy(draw(*spec["shape"]).astype(np.float32))
    if isinstance(spec, dict) and "value" in spec:
        return torch.tensor(spec["value"], dtype=getattr(torch, spec["dtype"]))
    return spec


def arguments(record: Case) -> list[Any]:
    """The positional arguments of a record."""
    return [argument(spec) for spec in record["args"]]


def tensors(nest: Any) -> Iterator[Tensor]:
    """The tensors of a nest of lists, tuples and dictionaries, in order."""
    if isinstance(nest, Tensor):
        yield nest
    elif isinstance(nest, list | tuple):
        for part in nest:
            yield from tensors(part)
    elif isinstance(nest, dict):
        for part in nest.values():
            yield from tensors(part)


def _kept(value: Tensor) -> np.ndarray:
    flat = value.detach().to(torch.float64).contiguous().flatten().numpy()
    size = flat.size
    return flat if size <= 4096 else flat[(np.arange(4096) * size) // 4096]


def compare(got: Tensor, want: dict[str, Any], what: str) -> float:
    """Asserts that a tensor is the recorded one; returns the largest difference."""
    assert list(got.shape) == want["shape"], f"{what}: shape {list(got.shape)} != {want['shape']}"
    expected = outputs()[want["key"]].astype(np.float64).flatten()
    mine = _kept(got)
    tolerance = 5e-5 * want["absmax"] + 1e-6
    difference = float(np.abs(mine - expected).max()) if expected.size else 0.0
    assert difference <= tolerance, f"{what}: largest difference {difference:.3g} > {tolerance:.3g}"
    for name, value in (("mean", got.double().mean()), ("absmax", got.double().abs().max())):
        assert abs(float(value) - want[name]) <= tolerance, f"{what}: {name}"
    return difference


def check_state(module: nn.Module, key: str) -> None:
    """Asserts names, order, shapes and types of the state dict."""
    mine = [
        [name, list(entry.shape), str(entry.dtype).removeprefix("torch.")]
        for name, entry in module.state_dict().items()
    ]
    want = [[name, list(shape), dtype] for name, shape, dtype in states()[key]["entries"]]
    missing = [row for row in want if row not in mine]
    extra = [row for row in mine if row not in want]
    assert not missing and not extra, f"missing {missing[:5]}, extra {extra[:5]}"
    assert mine == want, "the same entries in another order"


def run(module: nn.Module, record: Case) -> tuple[Any, Tensor | None, int]:
    """Runs a record in evaluation mode.

    Returns:
        The result, the input of the head's last activation where the record has it, and the
        multiply-adds by fvcore's rule.
    """
    module.eval()
    caught: list[Tensor] = []
    if "pre_activation" in record and record["dialect"] == "ptv":
        target = module.get_submodule(record["pre_activation"]["input_of"])
        target.register_forward_pre_hook(lambda _, args: caught.append(args[0].detach().clone()))
    call = getattr(module, record["method"]) if record.get("method") else module
    with torch.no_grad(), FlopCounter() as counter:
        counter.watch(module)
        result = call(*arguments(record))
    return result, caught[0] if caught else None, counter.total


def check_case(name: str, module: nn.Module | None = None) -> float:
    """Builds, fills and runs a record, and compares everything that it holds but gradients.

    Args:
        name: id of the record.
        module: the model; None builds it from the record's expression.

    Returns:
        The largest difference over all outputs.
    """
    record = case(name)
    module = build(record) if module is None else module
    check_state(module, record["state"])
    storages = {p.data_ptr(): p.numel() for p in module.parameters()}
    assert sum(storages.values()) == record["parameters"]
    fill(module, record["salt"], record["gain"], record.get("buffers_kept", False))
    result, before, flops = run(module, record)
    got = list(tensors(result))
    assert len(got) == len(record["outputs"])
    worst = 0.0
    for index, (mine, want) in enumerate(zip(got, record["outputs"], strict=True)):
        worst = max(worst, compare(mine, want, f"{name} output {index}"))
    if before is not None:
        worst = max(worst, compare(before, record["pre_activation"], f"{name} logits"))
    if "gflops" in record:
        assert abs(flops / 1e9 - record["gflops"]) <= 6e-7, f"{flops / 1e9} GFLOPs"
    return worst


def check_backward(name: str, module: nn.Module | None = None) -> None:
    """Compares a float64 training step with the recorded one."""
    record = case(name)
    step, want = record["backward"], record["backward"]["float64"]
    module = (build(record) if module is None else module).train()
    fill(module, record["salt"], record["gain"], record.get("buffers_kept", False))
    module.double()
    args = _double([argument(spec) for spec in step["args"]])
    out = next(tensors(module(*args)))
    assert list(out.shape) == want["output_shape"]
    weights = np.random.RandomState(step["R_seed"]).randn(*out.shape)
    loss = (out * torch.from_numpy(weights)).sum()
    loss.backward()
    # The loss is a sum of both signs: its size is that of the outputs.
    _close(float(loss.detach()), want["loss"], "loss", scale=want["output_norm"])
    _close(float(out.detach().norm()), want["output_norm"], "output_norm")
    parameters = dict(module.named_parameters(remove_duplicate=False))
    for key, value in want["grad_norm"].items():
        grad = parameters[key].grad
        assert grad is not None, key
        _close(float(grad.norm()), value, key)
    entries = module.state_dict()
    for key, value in want.get("running_mean_norm_after", {}).items():
        _close(float(entries[key].norm()), value, key)
    unused = {n for n, p in module.named_parameters() if p.grad is None}
    assert unused == set(step.get("no_gradient", []))


def _double(nest: Any) -> Any:
    if isinstance(nest, list):
        return [_double(part) for part in nest]
    return nest.double() if isinstance(nest, Tensor) and nest.is_floating_point() else nest


def _close(got: float, want: float, what: str, scale: float = 0.0) -> None:
    assert abs(got - want) <= 1e-6 * max(abs(want), scale, 1e-9), f"{what}: {got} != {want}"
