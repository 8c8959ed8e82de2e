"""Exported models of strangers: no code runs, no other file is touched, one line each."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.accelerator.test_export import Small, _clips, _write
from tests.engine.test_hostile_records import VALUES, places
from tests.models.weights.test_hostile_pickles import mutated
from tests.support.limits import needs_limits, sweep

from vitascope.accelerator.export import open_artifact
from vitascope.accelerator.export.operators import OPERATORS, is_harmless
from vitascope.errors import WeightsError

CODE = "exec(bytes([{}]))".format(",".join(map(str, b"import os;os.makedirs('ran')")))
"""Makes the folder `ran`, and has no dot and no quotes, which some places would take apart."""
Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return _write(tmp_path_factory.mktemp("good"), "torch.export")[1]


def rewrite(good: Path, out: Path, change: Change, member: str = "models/model.json") -> Path:
    """A copy whose member, as JSON, was changed."""
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith(member):
                content = json.loads(data)
                change(content)
                data = json.dumps(content).encode()
            new.writestr(name, data)
    return out


def everywhere(value: Any, old: str, new: str) -> Any:
    """Replaces a text wherever it stands, also as a key."""
    if isinstance(value, dict):
        return {(new if k == old else k): everywhere(v, old, new) for k, v in value.items()}
    if isinstance(value, list):
        return [everywhere(v, old, new) for v in value]
    return new if value == old else value


def graph(program: dict[str, Any]) -> dict[str, Any]:
    return program["graph_module"]["graph"]


def rename(old: str, new: str) -> Change:
    def change(program: dict[str, Any]) -> None:
        program.update(everywhere(program, old, new))

    return change


def size(text: str) -> Change:
    def change(program: dict[str, Any]) -> None:
        for fact in graph(program)["tensor_values"].values():
            for side in fact["sizes"]:
                if "as_expr" in side:
                    side["as_expr"]["expr_str"] = text

    return change


def input_name(text: str) -> Change:
    """Another name for the clip, in the graph alone."""

    def change(program: dict[str, Any]) -> None:
        calls = program["graph_module"]["module_call_graph"]
        program.update(everywhere(program, "videos_0", text))
        program["graph_module"]["module_call_graph"] = calls

    return change


def call(target: str, **arguments: Any) -> Change:
    """Lets the last node call something else."""

    def change(program: dict[str, Any]) -> None:
        node = graph(program)["nodes"][-1]
        node["target"] = target
        node["inputs"] = [{"name": n, "arg": a, "kind": 1} for n, a in arguments.items()]

    return change


FROM_FILE = call(
    "torch.ops.aten.from_file.default",
    filename={"as_string": "ran"}, shared={"as_bool": True}, size={"as_int": 6},
)  # fmt: skip
ATTACKS: dict[str, Change] = {
    "a size": size("__import__('os').makedirs('ran') or Symbol('s0', positive=True, integer=True)"),
    "a value": input_name(f"x={CODE}"),
    "a parameter": rename("model.head.bias", f'training"), {CODE}, getattr(self, "training'),
    "a file": FROM_FILE,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_pytorch_would_run_is_refused(
    attack: str, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file runs its code, or touches a file, as soon as it is trusted."""
    monkeypatch.chdir(tmp_path)
    bad = rewrite(good, tmp_path / "bad.pt2", ATTACKS[attack])
    if attack == "a parameter":
        bad.rename(tmp_path / "half.pt2")
        bad = rewrite(tmp_path / "half.pt2", bad, ATTACKS[attack], "model_weights_config.json")
    with pytest.raises(WeightsError, match=r"bad\.pt2: .*--trust \(trust=True") as caught:
        open_artifact(bad)
    assert "\n" not in str(caught.value)
    print(caught.value)
    assert not Path("ran").exists()
    try:
        open_artifact(bad, trust=True)(_clips()[0][None])
    except Exception as error:
        print(f"trusted: {type(error).__name__}")
    assert Path("ran").exists(), "the attack does not work, so the test proves nothing"


def node(**entries: Any) -> Change:
    return lambda program: graph(program)["nodes"][-1].update(entries)


def first_input(argument: dict[str, Any]) -> Change:
    return lambda program: graph(program)["nodes"][-1]["inputs"][0].update(arg=argument)


def at(*path: Any) -> Change:
    """Puts the last of the path where the others lead."""

    def change(program: dict[str, Any]) -> None:
        place: Any = program
        for step in path[:-2]:
            place = place[step]
        place[path[-2]] = path[-1]

    return change


MODULE = "graph_module"
REFUSED: dict[str, tuple[Change, str]] = {
    "function below torch": (call("torch.load"), "not on the list"),
    "shared library": (call("torch.ops.load_library"), "not on the list"),
    "call of the system": (call("torch.os.system"), "not on the list"),
    "custom operator": (call("torch.ops.evil.run.default"), "not on the list"),
    "extension": (call("#evil:run"), "not on the list"),
    "higher order": (call("torch.ops.higher_order.cond"), "not on the list"),
    "other overload": (call("torch.ops.aten.add.out"), "not on the list"),
    "unfilled memory": (call("torch.ops.aten.empty.memory_format"), "not on the list"),
    "attribute of an operator": (call("torch.ops.aten.add.Tensor.__class__"), "not on the list"),
    "call of an attribute": (call("_operator.methodcaller"), "not on the list"),
    "power of sizes": (size("Pow(Integer(9), Integer(99999999))"), "a sum or product"),
    "power sign": (size("Integer(9)**Integer(9)**Integer(9)"), "a sum or product"),
    "attribute in a size": (size("Symbol('s0').func"), "a sum or product"),
    "long size": (size("Add(" * 200 + "1" + ")" * 200), "a sum or product"),
    "node name": (node(name="x = 1; y"), "an identifier"),
    "keyword": (node(name="import"), "the name of a value"),
    "name of the library": (node(name="torch"), "the name of a value"),
    "double underscore": (node(name="__import__"), "an identifier"),
    "graph in a graph": (first_input({"as_graph": {"name": "x", "graph": {}}}), "one of as_none"),
    "operator as argument": (first_input({"as_operator": "torch.load"}), "one of as_none"),
    "object": (first_input({"as_custom_obj": {"name": "x", "class_fqn": "y"}}), "one of as_none"),
    "quote in a text": (first_input({"as_string": "a'b"}), "a word"),
    "other device": (first_input({"as_device": {"type": "cuda", "index": 0}}), "cpu"),
    "number as text": (first_input({"as_int": "1"}), "a whole number"),
    "large number": (first_input({"as_int": 10**30}), "a whole number"),
    "truth as number": (first_input({"as_bool": 1}), "true or false"),
    "kind of argument": (
        at(MODULE, "module_call_graph", 0, "signature", "in_spec",
           '[1, {"type": "collections.defaultdict", "context": "null", "children_spec": []}]'),
        "a tuple, list or table",
    ),
    "deep tree": (
        at(MODULE, "module_call_graph", 0, "signature", "in_spec", "[1, " + "[" * 5000),
        "a tree of arguments",
    ),
    "symbol": (at("range_constraints", {"u999999999": {"min_val": 0, "max_val": None}}), "a size"),
    "verifier": (at("verifiers", ["os.system"]), "a dialect"),
    "list as program": (lambda program: program.clear(), "an object"),
    "huge tensor": (
        at(MODULE, "graph", "tensor_values", "mean", "sizes", [{"as_int": 2**40}]), "numbers",
    ),
    "mutated buffer": (
        at(MODULE, "signature", "output_specs",
           [{"buffer_mutation": {"arg": {"name": "mul_1"}, "buffer_name": "forward"}}]),
        "one of user_output",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_programs_with_anything_else_are_refused(what: str, good: Path, tmp_path: Path) -> None:
    change, word = REFUSED[what]
    bad = rewrite(good, tmp_path / "bad.pt2", change)
    with pytest.raises(WeightsError, match=rf"bad\.pt2: .*{word}.*--trust") as caught:
        open_artifact(bad)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_a_graph_that_does_not_fit_together_is_one_line(
    good: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """PyTorch would print a page of its own source."""
    unknown = rewrite(good, tmp_path / "bad.pt2", first_input({"as_tensor": {"name": "absent"}}))
    with pytest.raises(
        WeightsError, match=r"bad\.pt2: not a complete torch\.export file"
    ) as caught:
        open_artifact(unknown)
    assert "\n" not in str(caught.value) and capfd.readouterr().err == ""


def test_clips_of_another_size_are_named(good: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot compute a clip of 1x3x4x8x9 \("):
        open_artifact(good)(torch.zeros(1, 3, 4, 8, 9))


def stored(change: Callable[[dict[str, Any]], None]) -> Change:
    return lambda table: change(table["config"]["model.head.bias"])


PAYLOADS: dict[str, tuple[Change, str]] = {
    "pickle": (stored(lambda e: e.update(use_pickle=True)), "pickled object"),
    "path": (stored(lambda e: e.update(path_name="../../x")), "a stored tensor"),
    "opaque": (stored(lambda e: e.update(path_name="opaque_obj_0")), "a stored tensor"),
    "absent": (stored(lambda e: e.update(path_name="weight_99")), "plain numbers"),
    "too many": (
        stored(lambda e: e["tensor_meta"].update(sizes=[{"as_int": 10**9}])), "more numbers than"
    ),
    "repeated": (
        stored(
            lambda e: e["tensor_meta"].update(sizes=[{"as_int": 10**9}], strides=[{"as_int": 0}])
        ),
        "too often",
    ),
    "before": (
        stored(lambda e: e["tensor_meta"].update(storage_offset={"as_int": -9})), "damaged shape"
    ),
    "type": (stored(lambda e: e["tensor_meta"].update(dtype=99)), "plain numbers"),
}  # fmt: skip


@pytest.mark.parametrize("what", PAYLOADS)
def test_tensors_that_are_not_there_are_refused(what: str, good: Path, tmp_path: Path) -> None:
    change, word = PAYLOADS[what]
    bad = rewrite(good, tmp_path / "bad.pt2", change, "model_weights_config.json")
    with pytest.raises(WeightsError, match=rf"bad\.pt2: .*{word}"):
        open_artifact(bad)


def test_archives_that_expand_or_have_other_parts_are_refused(good: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pt2"
    root = zipfile.ZipFile(good).namelist()[0].partition("/")[0]
    more = {
        f"{root}/data/constants/opaque_obj_0": pickle.dumps(1),
        f"{root}/code/__init__.py": b"",
        f"{root}/data/aotinductor/model/a.so": b"",
        "other/x": b"",
        f"{root}/../x": b"",
    }
    for name, content in more.items():
        shutil.copy(good, bad)
        with zipfile.ZipFile(bad, "a") as archive:
            archive.writestr(name, content)
        with pytest.raises(WeightsError, match=r"bad\.pt2: it "):
            open_artifact(bad)
    shutil.copy(good, bad)
    with zipfile.ZipFile(bad, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{root}/extra/zeros", bytes(10**8))
    with pytest.raises(WeightsError, match="members that expand"):
        open_artifact(bad)
    shutil.copy(good, bad)
    with zipfile.ZipFile(bad, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(f"{root}/models/model.json", b"{}")
    with pytest.raises(WeightsError, match="two members"):
        open_artifact(bad)


def test_traces_and_guards_are_not_even_read(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a model does not need to run is left out, whatever it says."""
    monkeypatch.chdir(tmp_path)

    def change(program: dict[str, Any]) -> None:
        program["guards_code"] = [f"{CODE} == None"]
        program[MODULE]["metadata"] = {"custom": "[" * 5000}
        for entry in graph(program)["nodes"]:
            entry["metadata"] = {"source_fn_stack": f"a,torch.{CODE}", "from_node": "[1]"}

    changed = rewrite(good, tmp_path / "changed.pt2", change)
    video = _clips()[0][None]
    assert torch.equal(open_artifact(changed)(video), open_artifact(good)(video))
    assert not Path("ran").exists()


def test_the_list_of_operators_is_pure() -> None:
    """Each is an operator of PyTorch; none takes the name of a file, a storage or a function."""
    known = set(dir(torch.ops.aten))
    strange = {"filename", "storage", "callable", "func"}
    for name in OPERATORS:
        packet = getattr(torch.ops.aten, name)
        for overload in packet.overloads():
            if is_harmless(f"torch.ops.aten.{name}.{overload}"):
                schema = getattr(packet, overload)._schema
                assert not strange & {argument.name for argument in schema.arguments}, schema
    print(f"{len(OPERATORS)} operators, {len(known)} looked up so far")
    for name in ("from_file", "set_", "resize_", "as_strided", "empty", "_unsafe_view", "item",
                 "record_stream", "new_empty", "data", "requires_grad_"):  # fmt: skip
        assert not is_harmless(f"torch.ops.aten.{name}.default"), name


class Everyday(torch.nn.Module):
    """Operations of models of other libraries."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.GroupNorm(1, 3)
        self.act = torch.nn.Hardswish(inplace=True)
        self.attend = torch.nn.MultiheadAttention(8, 2, batch_first=True)
        self.embed, self.head = torch.nn.Linear(3, 8), torch.nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.norm(x))
        tokens = self.embed(x.flatten(2).transpose(1, 2))
        tokens = tokens + self.attend(tokens, tokens, tokens, need_weights=False)[0]
        return self.head(tokens.mean(1) * tokens.shape[0] / tokens.shape[0])


@pytest.mark.parametrize("kind", [Small, Everyday])
def test_what_vitascope_writes_needs_no_trust(kind: type, tmp_path: Path) -> None:
    model, path = _write(tmp_path / "m", "torch.export", kind())
    video = torch.randn(3, 3, 4, 16, 16)
    torch.testing.assert_close(open_artifact(path)(video), model.eval()(video).detach())


# Other formats.


@pytest.mark.export
def test_onnx_with_other_files_or_operators_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    _, path = _write(tmp_path / "run", "onnx")
    (tmp_path / "secret").write_bytes(bytes(10**5))

    def changed(name: str, change: Callable[[Any], None]) -> Path:
        model = onnx.load(str(path))
        change(model)
        (path.parent / name).write_bytes(model.SerializeToString())
        return path.parent / name

    def outside(location: str) -> Callable[[Any], None]:
        def change(model: Any) -> None:
            tensor = next(t for t in model.graph.initializer if t.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=location)

        return change

    for number, location in enumerate(("../secret", str(tmp_path / "secret"), "beside.bin", "")):
        bad = changed(f"{number}.onnx", outside(location))
        with pytest.raises(WeightsError, match=r"takes weights from another file.*--trust"):
            open_artifact(bad)

    def inside_a_branch(model: Any) -> None:
        node = model.graph.node.add(op_type="If", name="x")
        branch = node.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g
        tensor = branch.initializer.add(name="w", data_type=1, dims=[1])
        tensor.external_data.add(key="location", value="/etc/passwd")

    with pytest.raises(WeightsError, match="another file, '/etc/passwd'"):
        open_artifact(changed("branch.onnx", inside_a_branch))
    for domain in ("com.microsoft", "evil", "ai.onnx.contrib"):

        def own_domain(model: Any, domain: str = domain) -> None:
            model.graph.node[0].domain = domain

        with pytest.raises(WeightsError, match=f"an operator of '{domain}'.*--trust"):
            open_artifact(changed("domain.onnx", own_domain))
    assert open_artifact(path).target == "onnx"


@pytest.mark.export
def test_openvino_with_entities_or_other_layers_is_refused(tmp_path: Path) -> None:
    _, path = _write(tmp_path / "run", "openvino")
    text = path.read_text(encoding="utf-8")
    (tmp_path / "secret").write_text("secret")
    head = text.index("<net")
    bomb = "".join(f'<!ENTITY a{i + 1} "{f"&a{i};" * 10}">' for i in range(12))
    bad = {
        "outside": f'<!DOCTYPE net [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]>',
        "doubling": f'<!DOCTYPE net [<!ENTITY a0 "aaaaaaaaaa">{bomb}]>',
        "parameter": '<!DOCTYPE net [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x">%x;]>',
        "type": '<!DOCTYPE net SYSTEM "http://127.0.0.1:9/net.dtd">',
    }
    for name, document_type in bad.items():
        path.write_text(text[:head] + document_type + text[head:], encoding="utf-8")
        with pytest.raises(WeightsError, match=r"a document type, .*--trust"):
            open_artifact(path)
        print(name)
    for version in ("extension", "experimental", "../opset1", ""):
        path.write_text(re.sub('version="opset1"', f'version="{version}"', text, count=1))
        with pytest.raises(WeightsError, match=r"which is no operator set.*--trust"):
            open_artifact(path)
    moved = re.sub(r'offset="\d+" size="(\d+)"', rf'offset="{2**40}" size="\1"', text, count=1)
    path.write_text(moved, encoding="utf-8")
    with pytest.raises(WeightsError, match=r"model\.xml"):
        open_artifact(path)
    path.write_text(text, encoding="utf-8")
    assert open_artifact(path).target == "openvino"


def test_the_working_folder_is_not_touched(good: Path, tmp_path: Path) -> None:
    before = sorted(os.listdir(tmp_path))
    open_artifact(good)
    assert sorted(os.listdir(tmp_path)) == before


# Every field of an exported program, and exports that were changed at random.


@pytest.mark.slow
@needs_limits
def test_hostile_values_in_every_field_of_an_export(good: Path, tmp_path: Path) -> None:
    """A model that still opens is run, too: it may compute anything, and nothing else."""
    video = _clips()[0][None]
    members = ("models/model.json", "model_weights_config.json", "vitascope.json")

    def cases() -> Iterator[tuple[str, Callable[[], object]]]:
        rng = random.Random(3)
        for member in members:
            with zipfile.ZipFile(good) as archive:
                name = next(n for n in archive.namelist() if n.endswith(member))
                found = list(places(json.loads(archive.read(name))))
            for path in rng.sample(found, min(len(found), 400)):
                for value in rng.sample(VALUES, 4):
                    bad = rewrite(good, tmp_path / "bad.pt2", at(*path, value), member)
                    yield f"{path} = {value!r:.40}", lambda bad=bad: open_artifact(bad)(video)

    before = sorted(os.listdir(tmp_path))
    counts = sweep(cases(), "fields of an export")
    assert counts["refused"] > 1000
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "bad.pt2"])


@pytest.mark.slow
@needs_limits
@pytest.mark.export
@pytest.mark.parametrize("to", ["torch.export", "onnx", "openvino"])
def test_100_mutated_exports(
    to: str, good: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = good if to == "torch.export" else _write(tmp_path / "good", to)[1]
    content = path.read_bytes()

    def cases() -> Iterator[tuple[str, Callable[[], object]]]:
        rng = random.Random(7)
        for number in range(100):
            bad = tmp_path / f"bad{path.suffix}"
            if to == "openvino":
                shutil.copy(path.with_suffix(".bin"), bad.with_suffix(".bin"))
            bad.write_bytes(mutated(content, rng))
            yield f"{to} {number}", lambda bad=bad: open_artifact(bad)

    sweep(cases(), f"mutated {to} exports")
    printed = [line for line in capfd.readouterr().out.splitlines() if "mutated" not in line]
    assert not printed, "a library prints what is an error already"
