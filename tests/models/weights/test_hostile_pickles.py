"""Pickles made to fill the memory, to run for ever, or to change what is read after them."""

from __future__ import annotations

import io
import json
import pickle
import random
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.support.limits import limited, needs_limits, sweep

from vitascope.errors import WeightsError
from vitascope.models.weights.machine import DEPTH, Machine
from vitascope.models.weights.read import read_content
from vitascope.serving.predictor import load as load_predictor

P = b"\x80\x02"
DTYPE = b"cnumpy\ndtype\n"
LEGACY_HEAD = b"".join(
    pickle.dumps(value, 2)
    for value in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True})
)


def doubling(levels: int, pair: bytes = b"h\x00h\x00\x86") -> bytes:
    """A tuple of twice the tuple before, so many times."""
    return P + b"K\x01q\x00" + (pair + b"q\x00") * levels


def long_text(count: int) -> bytes:
    return b"X" + struct.pack("<I", count)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "list in itself": (P + b"]q\x00h\x00a.", "holds itself"),
    "table in itself": (P + b"}q\x00U\x01ah\x00s.", "holds itself"),
    "circle of three": (P + b"]q\x00]q\x01]q\x02h\x00ah\x01h\x02a0h\x00h\x01a.", "holds itself"),
    "circle through a state": (
        P + b"ccollections\nOrderedDict\n)Rq\x00}U\x01ah\x00sb.", "holds itself",
    ),
    "references that double": (doubling(60) + b".", "amount to more"),
    "lists that double": (P + b"]q\x00" + b"](h\x00h\x00eq\x00" * 60 + b".", "amount to more"),
    "tables that double": (
        P + b"}q\x00" + b"}(K\x01h\x00K\x02h\x00uq\x00" * 60 + b".", "amount to more",
    ),
    "key that doubles": (doubling(60) + b"}h\x00K\x01s.", "a key that is a tuple"),
    "set of what doubles": (P + b"\x8f(" + doubling(60)[2:] + b"\x90.", "a key that is a tuple"),
    "deep list": (P + b"]" * 50_000 + b"a" * 49_999 + b".", "nested more than"),
    "deep tuple": (P + b"K\x01" + b"\x85" * 500_000 + b".", "nested more than"),
    "many instructions": (P + b"N0" * 1_500_000 + b"N.", "instructions"),
    "number of gigabytes": (P + b"\x8b" + struct.pack("<i", 2**31 - 1) + b"x.", "a number of"),
    "number of a million bytes": (P + b"\x8b" + struct.pack("<i", 10**6) + b"\x7f" * 10**6 + b".",
                                  "a number of"),
    "number of many digits": (b"(L" + b"9" * 60_000 + b"L\n.", "digits"),
    "text beyond the end": (P + long_text(2**32 - 1) + b"abc.", "ends too early"),
    "bytes beyond the end": (b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.", "ends too early"),
    "frame beyond the end": (b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"}.", "no named"),
    "far place in the memory": (P + b"}r\xff\xff\xff\xff.", "no named"),
    "state of a class": (P + DTYPE + b"}U\x04codeU\x01xsb.", "no object"),
    "state of a function": (P + b"cnumpy.core.multiarray\n_reconstruct\n}b.", "no object"),
    "state of a table": (P + b"}}b.", "no object"),
    "entries of a class": (P + DTYPE + b"U\x01aK\x01s.", "table is expected"),
    "call of a value": (P + b"K\x01)R.", "no function"),
    "call of a result": (P + b"ccollections\nOrderedDict\n)R)R.", "no function"),
    "object by name": (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
    "object of old style": (b"(S'ls'\nios\nsystem\n.", "os.system"),
    "extension": (P + b"\x82\x01.", "unknown instruction"),
    "outside object": (P + b"U\x01aQ.", "no value"),
    "attribute chain": (b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93.", "dtype.__init__"),
    "array of objects": (
        P + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x01\x85" + DTYPE + b"U\x02O8K\x00K\x01\x87R\x89]tb.", "numbers",
    ),
    "array of 10^12": (
        P + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01\x8a\x06\x00\x00\x00\x00\x00\x01\x85" + DTYPE + b"U\x02f4\x85R\x89U\x04abcdtb.",
        "reshape",
    ),
    "no end": (P + b"(" * 1000, "ends too early"),
    "no beginning": (P + b"t.", "no beginning"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@needs_limits
def test_a_hostile_pickle_is_a_line(name: str, tmp_path: Path) -> None:
    content, word = HOSTILE[name]
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    with limited(), pytest.raises(WeightsError, match=word) as caught:
        from vitascope.models.weights.containers import unwrap

        unwrap(read_content(path), str(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    sound = tmp_path / "sound.pkl"  # the next file is read as if nothing had been
    arrays = {"a": np.arange(3, dtype="f4"), "b": np.float32(2)}
    sound.write_bytes(pickle.dumps({"blobs": arrays}, 2))
    blobs = read_content(sound)["blobs"]
    assert blobs["a"].tolist() == [0, 1, 2] and blobs["b"] == 2


def test_one_array_under_many_names_does_not_fill_the_memory(tmp_path: Path) -> None:
    shared = np.zeros(10**6, "f4")
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"blobs": {f"a{i}": shared for i in range(5000)}}, 2))
    with pytest.raises(WeightsError, match=r"has 4.* MB and would become 20000 MB"):
        read_content(path)
    path.write_bytes(pickle.dumps({"blobs": {"a": shared, "b": shared}}, 2))
    assert read_content(path)["blobs"]["b"].shape == (10**6,)


def archive(path: Path, content: bytes, *, numbers: int = 16, **kind: Any) -> Path:
    with zipfile.ZipFile(path, "w", **kind) as file:
        file.writestr("a/data.pkl", content)
        file.writestr("a/byteorder", "little")
        file.writestr("a/data/0", bytes(numbers))
        file.writestr("a/version", "3\n")
    return path


def storage(count: int, kind: str = "FloatStorage", key: str = "0") -> bytes:
    number = pickle.dumps(count, 2)[2:-1]
    return (
        b"(U\x07storagectorch\n" + kind.encode() + b"\nU" + bytes([len(key)]) + key.encode()
        + b"U\x03cpu" + number + b"tQ"
    )  # fmt: skip


def tensor(stored: bytes, offset: int, sizes: tuple[Any, ...], strides: tuple[Any, ...]) -> bytes:
    rest = b"".join(pickle.dumps(value, 2)[2:-1] for value in (offset, sizes, strides))
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + stored + rest
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )  # fmt: skip


def entries(*values: bytes) -> bytes:
    named = b"".join(b"U" + bytes([1, 97 + i]) + value + b"s" for i, value in enumerate(values))
    return P + b"}" + named + b"."


SOUND = tensor(storage(4), 0, (4,), (1,))
TORCH: dict[str, tuple[bytes, str]] = {
    "storage without bytes": (entries(tensor(storage(10**11), 0, (4,), (1,))), "claims"),
    "storage that is absent": (entries(tensor(storage(4, key="9"), 0, (4,), (1,))), "claims"),
    "storage of objects": (entries(tensor(storage(4, "ObjectStorage"), 0, (4,), (1,))), "Object"),
    "tensor beyond": (entries(tensor(storage(4), 0, (8,), (1,))), "reads number 7 of 4"),
    "tensor far beyond": (entries(tensor(storage(4), 0, (10**12,), (1,))), "of which 4"),
    "tensor that repeats": (entries(tensor(storage(4), 0, (10**6, 10**6), (0, 0))), "of which 4"),
    "tensor before": (entries(tensor(storage(4), -1, (4,), (1,))), "damaged shape"),
    "strides backwards": (entries(tensor(storage(4), 3, (4,), (-1,))), "damaged shape"),
    "sides of fractions": (entries(tensor(storage(4), 0, (1.5,), (1,))), "damaged shape"),
    "bytes by number": (P + b"c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.", "a damaged call"),
    "set of what doubles": (
        P + b"c__builtin__\nset\n](" + doubling(60)[2:] + b"e\x85R.", "a damaged call|amount to",
    ),
    "key that doubles": (doubling(60) + b"}h\x00K\x01s.", "a key that is a tuple"),
    "state of a tensor": (entries(SOUND + b"(" + storage(4) + b"K\x00(K\x04t(K\x01ttb"), "a state"),
    "state of a class": (P + b"cargparse\nNamespace\n}U\x01aK\x01sb.", "no object"),
    "state of a type": (
        P + DTYPE + b"U\x02f8\x85R(K\x03U\x01<(U\x01atNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb.",
        "a damaged call",
    ),
    "tensor by size": (P + b"ctorch\nTensor\n\x8a\x05\x00\x00\x00\x00\x01\x85R.", "torch.Tensor"),
    "circle": (P + b"}q\x00U\x01ah\x00s.", "holds itself"),
    "references that double": (doubling(60) + b".", "amount to more"),
    "function": (P + b"cos\nsystem\nU\x02ls\x85R.", "os.system"),
}  # fmt: skip


@pytest.mark.parametrize("name", TORCH)
@needs_limits
def test_a_hostile_archive_of_torch_is_a_line(name: str, tmp_path: Path) -> None:
    content, word = TORCH[name]
    path = archive(tmp_path / "a.pth", content)
    with limited(), pytest.raises(WeightsError, match=word) as caught:
        read_content(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    sound = archive(tmp_path / "sound.pth", entries(SOUND))
    assert read_content(sound)["a"].tolist() == [0, 0, 0, 0]


@needs_limits
def test_archives_that_expand_are_refused(tmp_path: Path) -> None:
    packed = archive(
        tmp_path / "a.pth", entries(tensor(storage(10**8), 0, (10**8,), (1,))),
        numbers=4 * 10**8, compression=zipfile.ZIP_DEFLATED,
    )  # fmt: skip
    with limited(), pytest.raises(WeightsError, match=r"0\.4 MB would expand to 400 MB"):
        read_content(packed)
    long = archive(tmp_path / "b.pth", P + b"N0" * 10**8 + b"N.", compression=zipfile.ZIP_DEFLATED)
    with limited(), pytest.raises(WeightsError, match="would expand"):
        read_content(long)
    sound = archive(tmp_path / "c.pth", entries(SOUND))
    with zipfile.ZipFile(sound, "a") as file:
        file.comment = b"PK\x05\x06" + bytes(18)
    with pytest.raises(WeightsError, match="before or behind"):
        read_content(sound)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twice = archive(tmp_path / "d.pth", entries(SOUND))
        with zipfile.ZipFile(twice, "a") as file:
            file.writestr("a/data.pkl", P + b"}.")
    with pytest.raises(WeightsError, match="two members of one name"):
        read_content(twice)


@needs_limits
def test_old_files_of_torch_are_held_against_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    for count, word in ((10**11, "claims"), (2**62, "claims")):
        stored = storage(count)[:-2] + b"NtQ"
        path.write_bytes(
            LEGACY_HEAD + entries(tensor(stored, 0, (4,), (1,))) + pickle.dumps(["0"], 2)
            + struct.pack("<q", count) + bytes(16)
        )  # fmt: skip
        with limited(), pytest.raises(WeightsError, match=word):
            read_content(path)
    torch.save({"a": torch.arange(6.0)[2:]}, path, _use_new_zipfile_serialization=False)
    assert read_content(path)["a"].tolist() == [2, 3, 4, 5]
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    with pytest.raises(WeightsError):
        read_content(path)


@needs_limits
def test_headers_of_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for header in (
        b"[" * 10**6, b'{"a":' * 10**5, b'{"a": {"dtype": "F32", "shape": [999999999999], '
        b'"data_offsets": [0, 4]}}', b'{"__metadata__": 3}', b'{"a": {"data_offsets": [4, 0]}}',
    ):  # fmt: skip
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
        with limited(), pytest.raises(WeightsError, match=r"a\.safetensors"):
            read_content(path)
    path.write_bytes(struct.pack("<Q", 90_000_000) + b'{"a": ' + b"[" * 1000)
    with pytest.raises(WeightsError, match=r"a\.safetensors"):
        read_content(path)


def test_parts_of_a_checkpoint(tmp_path: Path) -> None:
    """Weights in parts are read with their index; a part, or a bad index, says what it is."""
    names = ("part-1.safetensors", "part-2.safetensors")
    for number, name in enumerate(names):
        save_file({f"a{number}": torch.full((3,), float(number))}, tmp_path / name)
    index = tmp_path / "weights.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a0": names[0], "a1": names[1]}}))
    for path in (tmp_path, index):
        assert {n: v[0].item() for n, v in read_content(path).items()} == {"a0": 0, "a1": 1}
    with pytest.raises(WeightsError, match=r"one of the 2 parts .* weights\.safetensors\.index"):
        read_content(tmp_path / names[1])
    (tmp_path / names[1]).unlink()
    with pytest.raises(WeightsError, match=r"1 of its 2 parts are not beside it.*part-2"):
        read_content(index)
    for name in ("../part-1.safetensors", "/etc/passwd", "..", "", 3, None, "a\x00b", "a\nb"):
        index.write_text(json.dumps({"weight_map": {"a0": name}}))
        with pytest.raises(WeightsError, match="no file in its folder"):
            read_content(index)
    with pytest.raises(WeightsError, match="one of the 2 parts"):  # whatever became of the other
        index.write_text(json.dumps({"weight_map": {"a0": names[0], "a1": names[1]}}))
        read_content(tmp_path / names[0])
    for text in (
        "{}",
        "[]",
        "[" * 10**5,
        '{"weight_map": 3}',
        '{"weight_map": {}}',
        "version https://git-lfs.github.com/spec/v1",
        '{"weight_map": {"a": {}}}',
        "NaN",
    ):
        index.write_text(text)
        with pytest.raises(WeightsError, match=r"index\.json") as caught:
            read_content(index)
        assert "\n" not in str(caught.value)


def parts(folder: Path, form: str, stem: str, index: str = "") -> Path:
    """Weights in three parts as training loops write them, and their index."""
    where = {}
    for number in range(3):
        name, entries = f"{stem}-0000{number + 1}-of-00003.{form}", {f"a{number}": torch.ones(3)}
        if form == "safetensors":
            save_file(entries, folder / name)
        else:
            torch.save(entries, folder / name)
        where[f"a{number}"] = name
    made = folder / (index or f"{stem}.{form}.index.json")
    made.write_text(json.dumps({"metadata": {"total_size": 36}, "weight_map": where}))
    return made


@pytest.mark.parametrize(
    ("form", "stem"),
    [("safetensors", "model"), ("bin", "pytorch_model"), ("pt", "weights"), ("pth", "net.ema"),
     ("safetensors", "model.fp16"), ("safetensors", "diffusion_pytorch_model")],
)  # fmt: skip
def test_parts_of_every_form(tmp_path: Path, form: str, stem: str) -> None:
    index = parts(tmp_path, form, stem)
    for path in (tmp_path, index):
        assert sorted(read_content(path)) == ["a0", "a1", "a2"]
    part = tmp_path / f"{stem}-00002-of-00003.{form}"
    with pytest.raises(WeightsError, match=r"one of the 3 parts .* Give the index"):
        read_content(part)
    index.unlink()  # the name is all that tells
    for path in (tmp_path, part):
        with pytest.raises(WeightsError, match=r"by its name one of several parts.*index"):
            read_content(path)
        with pytest.raises(WeightsError, match=r"by its name one of several parts.*index"):
            load_predictor(path)


def test_parts_that_do_not_belong_together(tmp_path: Path) -> None:
    index = parts(tmp_path, "safetensors", "a")
    last = tmp_path / "a-00003-of-00003.safetensors"
    save_file({"a2": torch.ones(3), "a0": torch.zeros(3)}, last)
    with pytest.raises(WeightsError, match="different values for a0"):
        read_content(index)
    save_file({"a2": torch.ones(3), "a0": torch.ones(3)}, last)
    assert sorted(read_content(index)) == ["a0", "a1", "a2"]  # one entry twice is no harm
    parts(tmp_path, "bin", "b")
    with pytest.raises(WeightsError, match=r"has 2 indexes of parts \(a.*, b.*\)"):
        read_content(tmp_path)
    assert sorted(read_content(tmp_path / "b.bin.index.json")) == ["a0", "a1", "a2"]
    (tmp_path / "b-00001-of-00003.bin").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(WeightsError, match="pointer of Git LFS"):
        read_content(tmp_path / "b.bin.index.json")


def test_a_file_that_is_called_the_only_part_is_whole(tmp_path: Path) -> None:
    for name in ("model-00001-of-00001.safetensors", "one-of-many.safetensors"):
        save_file({"a": torch.ones(3)}, tmp_path / name)
        assert list(read_content(tmp_path / name)) == ["a"]


def test_a_checkpoint_of_several_processes_is_named(tmp_path: Path) -> None:
    for name in (".metadata", "__0_0.distcp", "__1_0.distcp"):  # of torch.distributed.checkpoint
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"several processes.*dcp_to_torch"):
        read_content(tmp_path)


def test_the_machine_agrees_with_pickle() -> None:
    """Whatever plain values Python writes, in every protocol, arrive as they were."""
    values: list[Any] = [
        {"a": [1, -5, 2**70, -(2**70), 1.5, float("inf"), None, True, False]},
        {b"x" * 300: "ä日本" * 100, (1, "a"): ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4))},
        [bytearray(b"abc"), b"", ""], {1, 2}, frozenset({"a"}), ["a\n'\"\\"],
    ]  # fmt: skip
    for value in values[:2] + values[5:]:
        for protocol in (4, 5):
            content = pickle.dumps(value, protocol)
            assert Machine(io.BytesIO(content), len(content), lambda _: False).run() == value
    plain = [values[0], values[1], values[5]]
    for value in plain:
        for protocol in range(6):
            raw = pickle.dumps(value, protocol)
            if b"_codecs" in raw:  # how old protocols write bytes: a call
                continue
            assert Machine(io.BytesIO(raw), len(raw), lambda _: False).run() == value
    deep: Any = 1
    for _ in range(DEPTH - 2):
        deep = [deep]
    raw = pickle.dumps(deep)
    assert Machine(io.BytesIO(raw), len(raw), lambda _: False).run() == deep


# Of checkpoints that were changed at random.


def samples(folder: Path) -> dict[str, Path]:
    state = {f"blocks.{i}.weight": torch.randn(3, 4) for i in range(5)}
    files = {"new": folder / "new.pyth", "old": folder / "old.pth"}
    torch.save({"model_state": state, "epoch": 3, "cfg": "DATA: {}"}, files["new"])
    torch.save({"state_dict": state}, files["old"], _use_new_zipfile_serialization=False)
    files["safetensors"] = folder / "a.safetensors"
    save_file(state, files["safetensors"])
    for protocol in (0, 2, 4):
        files[f"pickle {protocol}"] = path = folder / f"a{protocol}.pkl"
        blobs = {name: value.numpy() for name, value in state.items()}
        path.write_bytes(pickle.dumps({"blobs": blobs}, protocol))
    return files


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content with bytes changed, taken out, doubled or cut off."""
    raw = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(raw))
        kind = rng.randrange(6)
        if kind == 0:
            raw[at] = rng.randrange(256)
        elif kind == 1:
            raw[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del raw[at : at + rng.randrange(1, 9)]
        elif kind == 3:
            raw[at:at] = raw[at : at + rng.randrange(1, 40)]
        elif kind == 4:
            raw[at : at + 4] = struct.pack("<I", rng.choice((2**31, 2**32 - 1, 10**9)))
        elif len(raw) > 40:
            del raw[max(at, 20) :]
        if len(raw) < 8:
            break
    return bytes(raw)


@pytest.mark.slow
@needs_limits
def test_300_mutated_checkpoints(tmp_path: Path) -> None:
    rng = random.Random(11)
    files = samples(tmp_path)
    cases = []
    for name, path in files.items():
        for number in range(50):
            other = tmp_path / f"{name}-{number}{path.suffix}"
            content = mutated(path.read_bytes(), rng)
            if path.suffix == ".pyth" and number % 2:  # past the checksums of the archive
                content = rewritten(path, rng)
            other.write_bytes(content)
            cases.append((other.name, lambda other=other: read_content(other)))
    counts = sweep(cases, "mutated checkpoints")
    assert counts["refused"] > 100


def rewritten(path: Path, rng: random.Random) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, mutated(data, rng) if name.endswith("data.pkl") else data)
    return out.getvalue()
