"""Features of videos: the right numbers, their places, and jobs that go on where they stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from serving.test_predictor import CONTRACT, _save
from support.videos import film
from vitascope.errors import ConfigError, DecodeError, RunError, UnknownNameError, WeightsError
from vitascope.serving.features import FeatureExtractor, write_features
from vitascope.serving.predictor import Predictor, load


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return load(_save(tmp_path_factory.mktemp("runs") / "run"))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "film.mp4", frames=45, fps=12)


def test_embedding_gives_the_scores_back(model: Predictor, video: Path) -> None:
    """The classifying layer on the embedding gives what the model says."""
    owner, name = model.source.module.head_linear()  # type: ignore[union-attr]
    rows = list(FeatureExtractor(model).rows(video, "0.5s"))
    spoken = list(model.timeline(video, "0.5s"))
    assert [(r.clip.start, r.clip.end) for r in rows] == [(r.start, r.end) for r in spoken]
    for row, said in zip(rows, spoken, strict=True):
        assert row.features.shape == (2048,)
        scores = getattr(owner, name)(row.features[None]).softmax(1)[0]
        torch.testing.assert_close(scores, said.scores, atol=1e-5, rtol=1e-4)


def test_stages_and_pools(model: Predictor, video: Path) -> None:
    whole = next(FeatureExtractor(model, "blocks.2", "none").rows(video, 1)).features
    stage = model.source.module.feature_info[2]  # type: ignore[union-attr]
    assert whole.shape[0] == stage.channels[0] and whole.ndim == 4
    time = next(FeatureExtractor(model, "blocks.2", "time").rows(video, 1)).features
    mean = next(FeatureExtractor(model, "blocks.2").rows(video, 1)).features
    torch.testing.assert_close(time, whole.mean((2, 3)))
    torch.testing.assert_close(mean, whole.mean((1, 2, 3)))
    clip = model.clips(video, start=Fraction(0), end=Fraction(1))
    module = model.source.module
    assert module is not None
    x = clip
    for block in module.blocks[:3]:  # type: ignore[union-attr,index]
        x = block(x)
    torch.testing.assert_close(whole, x[0], atol=1e-5, rtol=1e-4)


def test_files_hold_features_times_and_facts(model: Predictor, video: Path, tmp_path: Path) -> None:
    other = film(tmp_path / "short.mp4", frames=5, fps=12)
    extractor = FeatureExtractor(model)
    done = list(write_features(extractor, [video, other], tmp_path / "out", "0.5s", window=1))
    assert done == [(tmp_path / "out" / "film.npz", True), (tmp_path / "out" / "short.npz", True)]
    rows = list(extractor.rows(video, "0.5s", window=1))
    with np.load(done[0][0], allow_pickle=False) as file:
        assert sorted(file.files) == ["end_s", "facts", "features", "start_s"]
        np.testing.assert_allclose(
            file["features"], torch.stack([r.features for r in rows]), rtol=1e-4, atol=1e-5
        )
        assert file["start_s"].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 2.75]
        assert file["end_s"].tolist() == [1, 1.5, 2, 2.5, 3, 3.5, 3.75]
        facts = json.loads(str(file["facts"]))
    assert facts["every"] == "1/2" and facts["window"] == "1" and facts["video"] == "film.mp4"
    assert facts["clip"]["fps"] == str(CONTRACT.clip.fps)
    with np.load(done[1][0], allow_pickle=False) as file:
        assert file["features"].shape == (1, 2048) and file["end_s"][0] == pytest.approx(5 / 12)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["film.npz", "short.npz"]


def test_finished_files_are_kept_and_others_made_again(
    model: Predictor, video: Path, tmp_path: Path
) -> None:
    first = FeatureExtractor(model)
    (path, written), = write_features(first, [video], tmp_path, 1)  # fmt: skip
    stamp = path.stat().st_mtime_ns
    assert written and list(write_features(first, [video], tmp_path, "1s")) == [(path, False)]
    assert path.stat().st_mtime_ns == stamp
    assert list(write_features(first, [video], tmp_path, 2)) == [(path, True)]
    other = FeatureExtractor(model, "blocks.1")
    assert list(write_features(other, [video], tmp_path, 2)) == [(path, True)]
    path.write_bytes(path.read_bytes()[:200])
    assert list(write_features(other, [video], tmp_path, 2)) == [(path, True)]


def test_a_fault_leaves_nothing_half_written(model: Predictor, video: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"")
    job = write_features(FeatureExtractor(model), [video, bad], tmp_path / "out", 1)
    assert next(job)[1]
    with pytest.raises(DecodeError, match=r"bad\.mp4"):
        next(job)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["film.npz"]
    job = write_features(FeatureExtractor(model), [tmp_path / "no.mp4"], tmp_path / "out", 1)
    with pytest.raises(DecodeError, match=r"no\.mp4: no such file"):
        next(job)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="cannot be written"):
        list(write_features(FeatureExtractor(model), [video], tmp_path / "file" / "x", 1))


def test_bad_arguments(model: Predictor, video: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"blocks\.3"):
        FeatureExtractor(model, "blocks.33")
    with pytest.raises(ConfigError, match="pool"):
        FeatureExtractor(model, "blocks.1", "space")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="stage"):
        FeatureExtractor(model, pool="none")
    with pytest.raises(ConfigError, match="video"):
        list(write_features(FeatureExtractor(model), [video, video], tmp_path, 1))


def test_exported_models_have_no_layers(model: Predictor) -> None:
    exported = Predictor(replace(model.source, kind="onnx", module=None))
    with pytest.raises(WeightsError, match="onnx"):
        FeatureExtractor(exported)
