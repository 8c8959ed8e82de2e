"""The house plan, held by a machine: floors, sizes, optional imports, reasons of exceptions."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from support.source_graph import SourceGraph
from support.unreached import LATER, OLD

REPO = Path(__file__).resolve().parents[1]
ROOT = REPO / "src" / "vitascope"
FILES = sorted(ROOT.rglob("*.py"))
GRAPH = SourceGraph(ROOT)

FLOORS = {
    "spec": 0, "errors": 0, "catalog": 0, "optional": 0, "files": 0, "distributed": 0,
    "text": 0,
    "layers": 1, "transforms": 1, "metrics": 1,
    "data": 2, "models": 2, "losses": 2,
    "ssl": 3, "accelerator": 3,
    "engine": 4,
    "recipes": 5, "serving": 5,
    "compat": 6,
    "cli": 7, "demo": 7,
}  # fmt: skip

# Not required by the package, so never imported at module level.
OPTIONAL = {
    "torchcodec", "decord", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf", "executorch",
    "torchao", "cv2", "transformers", "timm", "webdataset", "ray", "gradio", "torchvision", "PIL",
    "psutil", "scipy", "s3fs", "triton",
}  # fmt: skip

# file -> why it is longer than 450 lines (800 is the wall).
LONG_FILES: dict[str, str] = {
    "files.py": "floor 0: one atomic write, one lock, one download, one reader of JSON",
}
# "file:function" -> why it is longer than 60 code lines or takes more than 10 parameters.
KEPT_BUILDER = "kept signature of a public PyTorchVideo builder"
LONG_FUNCTIONS: dict[str, str] = {
    "data/dataset.py:__init__": "a keyword for each property of a data set, most with a default",
    "compat/ptv/data/utils.py:export_video_array": KEPT_BUILDER,
    "compat/ptv/data/ego4d/ego4d_dataset.py:__init__": KEPT_BUILDER,
    "compat/ptv/data/epic_kitchen_forecasting.py:__init__": KEPT_BUILDER,
    "compat/ptv/data/hmdb51.py:Hmdb51": KEPT_BUILDER,
    "compat/ptv/data/ssv2.py:__init__": KEPT_BUILDER,
    "models/hub/mvit.py:_card": "a row of a table: a column each",
    "transforms/transforms_factory.py:create_video_transform": KEPT_BUILDER,
    "models/head.py:create_res_basic_head": KEPT_BUILDER,
    "models/stem.py:create_res_basic_stem": KEPT_BUILDER,
    "models/stem.py:create_acoustic_res_basic_stem": KEPT_BUILDER,
    "models/slowfast.py:create_slowfast": KEPT_BUILDER,
    "models/slowfast.py:create_slowfast_with_roi_head": KEPT_BUILDER,
    "models/resnet_blocks.py:create_bottleneck_block": KEPT_BUILDER,
    "models/resnet_blocks.py:create_basic_block": KEPT_BUILDER,
    "models/resnet_blocks.py:create_res_block": KEPT_BUILDER,
    "models/resnet_blocks.py:create_res_stage": KEPT_BUILDER,
    "models/head.py:create_res_roi_pooling_head": KEPT_BUILDER,
    "models/resnet.py:create_resnet": KEPT_BUILDER,
    "models/resnet.py:create_resnet_with_roi_head": KEPT_BUILDER,
    "layers/squeeze_excitation.py:create_audio_2d_squeeze_excitation_block": KEPT_BUILDER,
    "layers/convolutions.py:create_conv_2plus1d": KEPT_BUILDER,
    "models/audio_visual_slowfast.py:__init__": KEPT_BUILDER,
    "models/audio_visual_slowfast.py:create_audio_visual_slowfast": KEPT_BUILDER,
    "models/r2plus1d.py:create_2plus1d_bottleneck_block": KEPT_BUILDER,
    "models/r2plus1d.py:create_r2plus1d": KEPT_BUILDER,
    "models/csn.py:create_csn": KEPT_BUILDER,
    "models/acoustic_resnet.py:create_acoustic_bottleneck_block": KEPT_BUILDER,
    "models/acoustic_resnet.py:create_acoustic_resnet": KEPT_BUILDER,
    "layers/mobile_cpu/convolutions.py:__init__": KEPT_BUILDER,
    "models/efficient_x3d.py:__init__": KEPT_BUILDER,
    "layers/attention.py:__init__": KEPT_BUILDER,
    "models/mvit/model.py:create_multiscale_vision_transformers": KEPT_BUILDER,
    "ssl/projection.py:create_contrastive_head": KEPT_BUILDER,
    "models/x3d.py:create_x3d": KEPT_BUILDER,
    "models/x3d.py:create_x3d_bottleneck_block": KEPT_BUILDER,
    "models/x3d.py:create_x3d_head": KEPT_BUILDER,
    "models/x3d.py:create_x3d_res_block": KEPT_BUILDER,
    "models/x3d.py:create_x3d_res_stage": KEPT_BUILDER,
}


# folder -> why it holds more than 25 files.
FULL_ROOMS: dict[str, str] = {
    "compat/ptv/data": "the files of PyTorchVideo's package, whose names are kept",
}
RESULTS_DIFFER = "PySlowFast computes it by Pillow or in another way; recorded results differ"
# public name -> why it stands more than once.
EQUAL_NAMES: dict[str, str] = {
    "affine": RESULTS_DIFFER,
    "autocontrast": RESULTS_DIFFER,
    "blend": RESULTS_DIFFER,
    "color_normalization": "PySlowFast has one for tensors and one for lists of frames",
    "equalize": RESULTS_DIFFER,
    "grayscale": RESULTS_DIFFER,
    "install": "what switches old import paths on, called so for each old package",
    "posterize": RESULTS_DIFFER,
    "scale_boxes": "PySlowFast's for lists of frames takes other arguments",
    "solarize": RESULTS_DIFFER,
    "ClipSampling": "PyTorchVideo has an enumeration of this name for each of its two EPIC sets",
    "SqueezeExcitation": "PyTorchVideo has a block of this name for training and one for phones",
    "Swish": "PyTorchVideo has a layer of this name for training and one for phones",
}


def _package(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def _imports(tree: ast.AST) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            if node.module == "vitascope":
                found += [(f"vitascope.{alias.name}", node.lineno) for alias in node.names]
            elif node.module:
                found.append((node.module, node.lineno))
    return found


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    package = _package(path)
    if package == "__init__":
        assert not [m for m, _ in _imports(_parse(path)) if m.startswith("vitascope")]
        return
    if package == "__main__":
        return
    floor = FLOORS[package]
    for module, line in _imports(_parse(path)):
        parts = module.split(".")
        if parts[0] != "vitascope" or len(parts) == 1:
            continue
        other = parts[1]
        if other == "__version__":
            continue
        assert other in FLOORS, f"{path.name}:{line} imports {module}, which is on no floor"
        if floor == 0:
            allowed = FLOORS[other] == 0
        else:
            allowed = other == package or FLOORS[other] < floor
        assert allowed, f"{path.relative_to(ROOT)}:{line} (floor {floor}) imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_optional_packages_are_never_imported_at_module_level(path: Path) -> None:
    for node in _parse(path).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for module, line in _imports(node):
                assert module.split(".")[0] not in OPTIONAL, f"{path.name}:{line} {module}"


def test_file_sizes() -> None:
    lengths = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in FILES}
    long = {name for name, n in lengths.items() if n > 450}
    assert long <= set(LONG_FILES), f"without a reason: {sorted(long - set(LONG_FILES))}"
    assert not set(LONG_FILES) - long, "rows that are no longer needed"
    assert max(lengths.values()) <= 800
    assert len(long) <= 0.1 * len(lengths)
    assert sorted(lengths.values())[len(lengths) // 2] <= 150


def _code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef, source: list[str]) -> int:
    body = node.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]  # the docstring
    if not body:
        return 0
    lines = source[body[0].lineno - 1 : node.end_lineno]
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines)


def test_function_sizes() -> None:
    seen = set()
    for path in FILES:
        source = path.read_text().splitlines()
        for node in ast.walk(_parse(path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            args = node.args
            count = len(args.posonlyargs + args.args + args.kwonlyargs)
            count -= bool(args.args) and args.args[0].arg in ("self", "cls")
            lines = _code_lines(node, source)
            name = f"{path.relative_to(ROOT)}:{node.name}"
            if lines > 60 or count > 10:
                seen.add(name)
                assert name in LONG_FUNCTIONS, f"{name}: {lines} code lines, {count} parameters"
                assert lines <= 60 or LONG_FUNCTIONS[name] != KEPT_BUILDER, f"{name}: {lines} lines"
    assert not set(LONG_FUNCTIONS) - seen, "rows that are no longer needed"


def test_no_modules_import_each_other_in_a_circle() -> None:
    # Imports inside functions and under TYPE_CHECKING count.
    assert not GRAPH.circles()


def test_rooms_are_not_too_full() -> None:
    counts = Counter(str(path.parent.relative_to(ROOT)) for path in FILES)
    full = {room: count for room, count in counts.items() if count > 25}
    assert full.keys() <= FULL_ROOMS.keys(), f"more than 25 files, make rooms: {full}"
    assert FULL_ROOMS.keys() <= full.keys(), "rows that are no longer needed"


def test_no_two_public_names_are_equal() -> None:
    homes: dict[str, list[str]] = {}
    for module, name in GRAPH.public:
        # A command is called what the function is called that does its work.
        if not module.startswith("vitascope.cli."):
            homes.setdefault(name, []).append(module)
    twice = {name: found for name, found in homes.items() if len(found) > 1}
    assert twice.keys() <= EQUAL_NAMES.keys(), f"one name, one meaning: {twice}"
    assert EQUAL_NAMES.keys() <= twice.keys(), "rows that are no longer needed"


# What a user starts from: commands, cards, the old names, and what the pages say.
STARTS = (
    "vitascope.cli", "vitascope.models.hub", "vitascope.compat.ptv", "vitascope.compat.decord",
    "vitascope.compat.pytorchvideo",
)  # fmt: skip


def test_every_public_name_is_reached_or_has_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    starts = [n for n in GRAPH.uses if n[0] == "vitascope" or n[0].startswith(STARTS)]
    starts += GRAPH.programs()
    starts += [name for name, node in GRAPH.public.items() if is_recipe(*name, node)]
    docs = REPO / "docs"
    for page in (REPO / "README.md", *docs.rglob("*.md"), *docs.glob("*.py")):
        starts += GRAPH.named_in(page.read_text("utf-8"))
    unreached = GRAPH.public.keys() - GRAPH.reached(starts)
    old, later = set(listed(OLD)), [n for rows in LATER.values() for n in listed(rows)]
    assert len(later) == len(set(later)) and not old & set(later), "a name has two reasons"
    with capsys.disabled():
        print(
            f"\n{len(GRAPH.public):,} public names; not reached: {len(old)} by old names of their"
        )
        print(f"own place, {len(later)} until later work:")
        for work, rows in LATER.items():
            print(f"  {len(list(listed(rows))):3} {work}")
    missing = unreached - old - set(later)
    missing -= GRAPH.reached([*old, *later])
    assert not missing, f"reach these by a command, card or page, or delete them: {missing}"
    assert old | set(later) <= unreached, f"no longer needed: {(old | set(later)) - unreached}"


def is_recipe(module: str, _: str, node: ast.stmt) -> bool:
    """Whether `vitascope recipes` finds it: a function without arguments that gives a recipe."""
    return (
        module.startswith("vitascope.recipes.")
        and isinstance(node, ast.FunctionDef)
        and not ast.unparse(node.args)
        and node.returns is not None
        and ast.unparse(node.returns) == "Recipe"
    )


def test_old_names_without_a_row_are_names_of_pytorchvideo() -> None:
    file = REPO.parent / "shared" / "reference" / "api" / "pytorchvideo_api.json"
    if not file.is_file():
        pytest.skip("the interface of PyTorchVideo is not at hand")
    modules = json.loads(file.read_text("utf-8"))["modules"]
    theirs = {name for module in modules.values() for name in module["names"]}
    assert {name for _, name in listed(OLD)} <= theirs


def listed(rows: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for module, names in rows.items():
        yield from ((f"vitascope.{module}", name) for name in names.split())


def test_import_loads_floor_0_only() -> None:
    code = (
        "import sys, vitascope; "
        "heavy = [m for m in sys.modules if m.split('.')[0] in ('torch', 'numpy', 'av')"
        " or m.startswith('vitascope.')]; print(heavy); sys.exit(bool(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
