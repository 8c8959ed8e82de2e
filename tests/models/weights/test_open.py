"""From a file of another library to a model with its contract; published weights."""

from __future__ import annotations

import functools
import http.server
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import vitascope
from vitascope.errors import WeightsError
from vitascope.models.registry import create_model, get_card
from vitascope.models.weights import convert_state_dict, export_state_dict
from vitascope.models.weights.identify import find_card, open_foreign
from vitascope.models.weights.read import read_content
from vitascope.spec import Weights


@functools.cache
def network(name: str, classes: int | None = None) -> Any:
    torch.manual_seed(3)
    return create_model(name, num_classes=classes)


def save(path: Path, name: str, dialect: str, classes: int | None = None) -> dict[str, Any]:
    model = network(name, classes)
    state = model.state_dict()
    torch.save({"model_state": export_state_dict(state, model, dialect)}, path)
    return state


@pytest.mark.parametrize(
    ("file", "name", "dialect"),
    [
        ("X3D_S.pyth", "x3d_s.k400_13x6", "pytorchvideo"),
        ("x3d_m.pyth", "x3d_m.k400_16x5_pyslowfast", "pyslowfast"),
        ("efficient_x3d_xs_original_form.pyth", "efficient_x3d_xs.k400_4x12", "pytorchvideo"),
    ],
)
def test_the_card_is_told_from_the_content(
    tmp_path: Path, file: str, name: str, dialect: str
) -> None:
    state = save(tmp_path / file, name, dialect)
    opened = open_foreign(tmp_path / file)
    card = get_card(name)
    assert opened.card.full_name == name and opened.report.dialect == dialect
    assert (opened.contract.clip, opened.contract.pixels) == (card.clip, card.pixels)
    assert not opened.model.training
    assert all(torch.equal(v, state[n]) for n, v in opened.model.state_dict().items())


def test_cards_that_share_a_network_are_named(tmp_path: Path) -> None:
    save(tmp_path / "mine.pyth", "x3d_s.k400_13x6", "pytorchvideo")
    with pytest.raises(WeightsError, match=r"fits several .*x3d_m.*x3d_xs.*--model"):
        open_foreign(tmp_path / "mine.pyth")
    opened = open_foreign(tmp_path / "mine.pyth", "x3d_xs")
    assert opened.contract.clip == get_card("x3d_xs").clip


@pytest.mark.parametrize(
    ("tag", "frames", "rate", "crop", "classes"),
    [
        ("x3d_xs.k400_4x12", 4, 12, 182, 7),
        ("x3d_s.k400_13x6", 13, 6, 182, 400),
        ("x3d_m.k400_16x5", 16, 5, 256, 400),
    ],
)
def test_pyslowfasts_x3d_says_itself_which_it_is(
    tmp_path: Path, tag: str, frames: int, rate: int, crop: int, classes: int
) -> None:
    """XS, S and M have the same entries; the configuration in the checkpoint tells them apart.

    PySlowFast's models have norms on more shortcuts than PyTorchVideo's, which is why they are
    other cards: those are found by the entries.
    """
    name = f"{tag}_pyslowfast"
    model = network(name, classes)
    entries = export_state_dict(model.state_dict(), model, "pyslowfast")
    assert "s2.pathway0_res0.branch1_bn.weight" in entries
    told = {"DATA": {"NUM_FRAMES": frames, "SAMPLING_RATE": rate, "TEST_CROP_SIZE": crop}}
    file = tmp_path / "checkpoint_epoch_00300.pyth"
    torch.save({"epoch": 299, "model_state": entries, "cfg": yaml.safe_dump(told)}, file)
    predictor = vitascope.load(file)
    contract = predictor.source.contract
    assert contract.model == name and predictor.source.module.num_classes == classes
    assert (contract.clip, contract.pixels) == (get_card(name).clip, get_card(name).pixels)
    state = predictor.source.module.state_dict()
    assert all(torch.equal(v, state[n]) for n, v in model.state_dict().items())
    bare = tmp_path / "bare.pyth"
    torch.save(entries, bare)
    with pytest.raises(
        WeightsError, match=r"x3d_m\S+_pyslowfast, x3d_s\S+_pyslowfast, x3d_xs"
    ) as refused:
        open_foreign(bare)
    assert "k400_16x5," not in str(refused.value), "PyTorchVideo's cards do not fit"


def test_other_classes_than_the_card_has(tmp_path: Path) -> None:
    state = save(tmp_path / "mine.pyth", "x3d_s", "pytorchvideo", classes=7)
    opened = open_foreign(tmp_path / "mine.pyth", "x3d_s")
    assert opened.model.num_classes == 7 == len(opened.contract.labels.names)
    assert all(torch.equal(v, state[n]) for n, v in opened.model.state_dict().items())


def test_a_file_that_fits_no_card(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3, 3, 3, 3, 3)}, tmp_path / "mine.pyth")
    with pytest.raises(WeightsError, match="fits no published model"):
        open_foreign(tmp_path / "mine.pyth")
    save(tmp_path / "x.pyth", "x3d_s.k400_13x6_pyslowfast", "pyslowfast")
    with pytest.raises(WeightsError, match="load it into a card that ends in _pyslowfast"):
        open_foreign(tmp_path / "x.pyth", "x3d_s")


def test_either_name_of_a_shared_entry_is_enough() -> None:
    """PyTorchVideo's MViT names its pooling twice; released files have one name or both."""
    with torch.device("meta"):
        model = get_card("mvit_base_16x4").build()
    own = model.state_dict()
    twins = [n for n in own if "_attention_pool_" in n]
    assert twins
    for kept in (
        {n: v for n, v in own.items() if n not in twins},
        {n: v for n, v in own.items() if ".attn.pool_" not in n and ".attn.norm_" not in n},
    ):
        assert len(kept) < len(own)
        state, report = convert_state_dict(kept, model)
        assert report.fits and set(state) == set(own)


def test_published_weights_are_fetched_checked_and_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pretrained=True` against a server on this machine, then without one."""
    import hashlib

    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VITASCOPE_MIRROR", raising=False)
    (tmp_path / "zoo").mkdir()
    file = tmp_path / "zoo" / "net.pyth"
    state = save(file, "x3d_s.k400_13x6", "pytorchvideo")
    sha = hashlib.sha256(file.read_bytes()).hexdigest()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        root = f"http://127.0.0.1:{server.server_port}"
        places = [
            Weights(url=f"{root}/zoo/{name}", dialect="pytorchvideo", sha256=sha)
            for name in ("gone.pyth", "net.pyth")
        ]
        card = replace(get_card("x3d_s"), weights=tuple(places))
        model = card(pretrained=True)
        wrong = replace(places[1], sha256="0" * 64, url=f"{root}/zoo/./net.pyth")
        with pytest.raises(WeightsError, match="has sha256"):
            replace(card, weights=(wrong,))(pretrained=True)
        with pytest.raises(WeightsError, match=r"for 400 classes, here are 5.*new_head"):
            card(pretrained=True, model_num_class=5)
        server.shutdown()
        thread.join()
    assert all(torch.equal(v, state[n]) for n, v in model.state_dict().items())
    again = card(pretrained=True)  # from the cache
    assert torch.equal(again.state_dict()["blocks.5.proj.bias"], state["blocks.5.proj.bias"])


def test_of_networks_with_the_same_entries_the_dialects_own_is_taken(tmp_path: Path) -> None:
    """PyTorchVideo's and PySlowFast's MViT-B differ in details that no entry shows."""
    for dialect, tag in (("pytorchvideo", "k400_16x4"), ("pyslowfast", "psf_k400_16x4")):
        save(tmp_path / "mine.pyth", "mvit_base_16x4", dialect)
        found = find_card(read_content(tmp_path / "mine.pyth"), tmp_path / "mine.pyth")
        assert found.full_name == f"mvit_base_16x4.{tag}"
