"""Prediction: the scores of the evaluation, from every kind of model file, and over time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import vitascope
from support.videos import film
from vitascope.data.dataset import ClipDataset
from vitascope.data.records import VideoRecord
from vitascope.engine.checkpoint import save_checkpoint
from vitascope.engine.evaluate import evaluate
from vitascope.engine.scoring import Scoring, score_videos
from vitascope.errors import ConfigError, DecodeError, VitascopeError, WeightsError
from vitascope.models.registry import create_model
from vitascope.serving import predictor as module
from vitascope.serving.predictor import Predictor, load
from vitascope.spec import ClipSpec, Contract, LabelSpec, PixelSpec, ViewProtocol
from vitascope.transforms.preprocess import evaluation_transform

NAMES = ("jump", "run", "sit & wait", "wave")
CONTRACT = Contract(
    model="x3d_xs",
    args={"input_clip_length": 4, "input_crop_size": 32, "depth_factor": 0.3},
    labels=LabelSpec(names=NAMES),
    clip=ClipSpec(num_frames=4, sampling_rate=2, fps=Fraction(8)),  # windows of 1 s
    pixels=PixelSpec(short_side=36, crop=(32, 32)),
)


def _network() -> nn.Module:
    torch.manual_seed(3)
    model = create_model("x3d_xs", num_classes=4, **CONTRACT.args)
    model.train()
    with torch.no_grad():  # statistics of a batch, and scores that differ from clip to clip
        model(torch.randn(4, 3, 4, 32, 32))
        owner, name = model.head_linear()
        getattr(owner, name).weight.mul_(100)
    return model.eval()


def _save(folder: Path, contract: Contract = CONTRACT, name: str = "best") -> Path:
    tensors = _network().state_dict()
    save_checkpoint(folder, name, tensors=tensors, contract=contract, recipe={}, state={"step": 7})
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 3.75 s whose frames all differ."""
    return film(tmp_path_factory.mktemp("films") / "film.mp4", frames=45, fps=12)


@pytest.mark.parametrize("views", ["1x1", "3x3", "2x5"])
def test_scores_are_those_of_the_evaluation(run: Path, video: Path, views: str) -> None:
    protocol = ViewProtocol.parse(views)
    dataset = ClipDataset(
        [VideoRecord(str(video), 0)],
        CONTRACT.clip,
        transform=evaluation_transform(CONTRACT.pixels, protocol.crops),
        train=False,
        views=protocol,
    )
    expected = score_videos(_network(), dataset, NAMES, Scoring()).scores[0]
    found = load(run).predict(video, top=2, views=views)
    torch.testing.assert_close(found.scores, expected, atol=1e-6, rtol=1e-5)
    order = expected.argsort(descending=True).tolist()
    assert [label for label, _ in found.top] == [NAMES[i] for i in order[:2]]
    assert [score for _, score in found.top] == pytest.approx(
        expected[order[:2]].tolist(), abs=1e-6
    )
    assert found.label == found.top[0][0] and found.path == str(video)
    assert float(found.scores.sum()) == pytest.approx(1)
    assert float(found.scores.max()) < 0.999  # a test on saturated scores would show nothing


def test_scores_are_those_of_vitascope_eval(run: Path, video: Path, tmp_path: Path) -> None:
    for name in NAMES[:2]:
        (tmp_path / "data" / name).mkdir(parents=True)
        shutil.copy(video, tmp_path / "data" / name / "film.mp4")
    result = evaluate(run, tmp_path / "data", split=None, views="2x3", workers=0)
    for path, expected in zip(result.videos, result.scores, strict=True):
        found = load(run).predict(path, views="2x3").scores
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_own_views_are_the_default(tmp_path: Path, video: Path) -> None:
    run = _save(tmp_path / "run", replace(CONTRACT, views=ViewProtocol(clips=2, crops=3)))
    found, other = load(run).predict(video), load(run).predict(video, views="1x1")
    torch.testing.assert_close(found.scores, load(run).predict(video, views="2x3").scores)
    assert not torch.equal(found.scores, other.scores)


def test_every_path_to_a_run_is_understood(run: Path, video: Path, tmp_path: Path) -> None:
    expected = load(run).predict(video).scores
    weights = next(run.glob("best-*.safetensors"))
    alone = Path(shutil.copy(weights, tmp_path / "alone.safetensors"))
    for path in (run / "best.json", weights, alone, str(run)):
        found = vitascope.load(path)
        assert found.source.contract == CONTRACT
        assert torch.equal(found.predict(video).scores, expected)
    assert "x3d_xs" in repr(load(run)) and "4 classes" in repr(load(run))


@pytest.mark.export
@pytest.mark.parametrize(
    "to", ["torch.export", "onnx", pytest.param("openvino", marks=pytest.mark.slow)]
)
def test_artifact_in_place_of_a_run(to: str, run: Path, video: Path, tmp_path: Path) -> None:
    original = load(run)
    path, checked = original.export(to, [video], tmp_path / "out", repeats=1)
    assert checked.ok and checked.n_clips == 1
    expected = original.predict(video, views="2x3")
    for place in (path, path.parent):  # the file, or the folder that holds it
        exported = load(place)
        assert exported.source.kind == to
        assert (exported.classes, exported.clip, exported.pixels) == (
            NAMES, CONTRACT.clip, CONTRACT.pixels,
        )  # fmt: skip
        found = exported.predict(video, views="2x3")
        torch.testing.assert_close(found.scores, expected.scores, atol=1e-5, rtol=1e-4)
        assert [label for label, _ in found.top] == [label for label, _ in expected.top]
    rows = list(exported.timeline(video, "1s"))
    for row, own in zip(rows, original.timeline(video, 1), strict=True):
        torch.testing.assert_close(row.scores, own.scores, atol=1e-5, rtol=1e-4)
    with pytest.raises(WeightsError, match="exported already"):
        exported.export("onnx", [video], tmp_path)


def _compare(model: Predictor, video: Path, every: Fraction, window: Fraction | None) -> int:
    rows = list(model.timeline(video, every, window=window))
    for row in rows:
        one = model.predict(video, start=row.start, end=row.end, views="1x1")
        torch.testing.assert_close(row.scores, one.scores, atol=1e-6, rtol=1e-5)
        assert [label for label, _ in row.top] == [label for label, _ in one.top]
    assert len({round(float(row.scores[0]), 6) for row in rows}) > len(rows) // 2
    return len(rows)


@pytest.mark.parametrize(
    "clip",
    [
        CONTRACT.clip,
        ClipSpec(num_frames=4, sampling_rate=3),  # counted in frames of the file
        ClipSpec(num_frames=4, coverage="video", seconds=Fraction(5, 4)),
    ],
)
@pytest.mark.parametrize("every", [Fraction(1, 2), Fraction(1), Fraction(7, 3)])
def test_time_line_is_prediction_on_each_window(
    clip: ClipSpec, every: Fraction, tmp_path: Path, video: Path
) -> None:
    model = load(_save(tmp_path / "run", replace(CONTRACT, clip=clip)))
    length = clip.duration(Fraction(12))
    starts = [row.start for row in model.timeline(video, every)]
    room = Fraction(45, 12) - length
    assert starts[: int(room // every) + 1] == [i * every for i in range(int(room // every) + 1)]
    assert _compare(model, video, every, None) == len(starts)


def test_a_time_line_without_background(tmp_path: Path, video: Path) -> None:
    """The median is that of the window and not of each frame, of which nothing would be left."""
    pixels = replace(CONTRACT.pixels, background="remove")
    model = load(_save(tmp_path / "run", replace(CONTRACT, pixels=pixels)))
    for row in model.timeline(video, "2/3"):
        one = model.predict(video, start=row.start, end=row.end, views="1x1")
        torch.testing.assert_close(row.scores, one.scores, atol=1e-6, rtol=1e-5)
    for (clip, views), row in zip(model.stream(video, 1), model.timeline(video, 1), strict=True):
        assert views.any() and views.shape == (1, 3, 4, 32, 32) and clip.start == row.start
        assert (views.median(dim=2).values == 0).all()
    path, checked = model.export("torch.export", [video], tmp_path / "out", repeats=1)
    assert checked.ok and load(path).pixels == pixels
    expected = model.predict(video).scores
    torch.testing.assert_close(load(path).predict(video).scores, expected, atol=1e-5, rtol=1e-4)


def test_window_of_another_length_and_variable_rate(run: Path, tmp_path: Path) -> None:
    ticks = [0, 1, 2, 3, 7, 8, 12, 13, 14, 20, 21, 22, 23, 24, 30, 31, 32, 33, 40, 41, 42, 47]
    path = film(tmp_path / "vfr.mp4", frames=len(ticks), fps=12, pts=ticks)
    assert _compare(load(run), path, Fraction(1), Fraction(3, 2)) >= 3
    assert _compare(load(run), path, Fraction(2, 3), None) >= 4


def test_last_window_ends_with_the_film(run: Path, video: Path) -> None:
    rows = list(load(run).timeline(video, "0.5"))
    assert [float(row.start) for row in rows] == [0, 0.5, 1, 1.5, 2, 2.5, 2.75]
    assert rows[-1].end == Fraction(45, 12)
    assert rows[0].to_json()["end"] == 1.0


def test_film_shorter_than_a_window(run: Path, tmp_path: Path) -> None:
    path = film(tmp_path / "short.mp4", frames=5, fps=12)
    model = load(run)
    (row,) = model.timeline(path, 1)
    assert (row.start, row.end) == (0, Fraction(5, 12))
    torch.testing.assert_close(row.scores, model.predict(path).scores)


def test_time_line_decodes_each_frame_once_and_holds_small_frames(
    run: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Fraction, tuple[int, ...]]] = []
    original = module.windows

    def spy(
        stream: Iterator[tuple[Fraction, torch.Tensor]], *args: Any, **kwargs: Any
    ) -> Iterator[Any]:
        def tapped() -> Iterator[tuple[Fraction, torch.Tensor]]:
            for time, frame in stream:
                seen.append((time, tuple(frame.shape)))
                yield time, frame

        return original(tapped(), *args, **kwargs)

    monkeypatch.setattr(module, "windows", spy)
    list(load(run).timeline(video, Fraction(1, 4)))
    assert [time for time, _ in seen] == [Fraction(i, 12) for i in range(45)]
    assert {shape for _, shape in seen} == {(1, 1, 32, 32, 3)}  # not the video's 80 x 128


def test_padded_samples_are_black(tmp_path: Path) -> None:
    clip = replace(CONTRACT.clip, short="pad")
    model = load(_save(tmp_path / "run", replace(CONTRACT, clip=clip)))
    path = film(tmp_path / "short.mp4", frames=5, fps=12)
    (row,) = model.timeline(path, 1)
    torch.testing.assert_close(row.scores, model.predict(path).scores)
    other = load(_save(tmp_path / "other"))
    assert not torch.allclose(row.scores, other.predict(path).scores)


@pytest.mark.parametrize(
    "name",
    [
        "audio_only.mp4",
        "empty.mp4",
        "text.mp4",
        "truncated.mkv",
        "truncated_faststart.mp4",
        "truncated_no_moov.mp4",
    ],
)
def test_foreign_files_are_named(run: Path, shared: Path, name: str) -> None:
    model, path = load(run), shared / "data" / "codecs" / name
    with pytest.raises(DecodeError, match=name):
        model.predict(path)
    with pytest.raises(DecodeError, match=name):
        list(model.timeline(path, 1))


def test_missing_video(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match=r"gone\.mp4"):
        load(run).predict(tmp_path / "gone.mp4")
    with pytest.raises(DecodeError, match=r"gone\.mp4"):
        list(load(run).timeline(tmp_path / "gone.mp4", 1))


def test_many_videos_with_a_bad_one(run: Path, video: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"")
    model = load(run)
    first, second, third = model.predict_many([video, bad, video], 1, on_bad="report")
    assert torch.equal(first.scores, third.scores) and not first.error
    assert second.top == () and "bad.mp4" in second.error
    assert second.to_json() == {"path": str(bad), "top": [], "error": second.error}
    assert first.to_json() == {
        "path": str(video), "top": [{"label": first.label, "score": first.top[0].score}],
    }  # fmt: skip
    with pytest.raises(DecodeError, match=r"bad\.mp4"):
        list(model.predict_many([video, bad]))
    with pytest.raises(ConfigError, match="report"):
        list(model.predict_many([video], on_bad="skip"))  # type: ignore[arg-type]


def test_model_without_class_names(tmp_path: Path, video: Path) -> None:
    contract = replace(CONTRACT, labels=LabelSpec(), args={**CONTRACT.args, "model_num_class": 4})
    found = load(_save(tmp_path / "run", contract)).predict(video, top=9)
    assert sorted(label for label, _ in found.top) == [f"class {i}" for i in range(4)]


def test_what_is_no_model(run: Path, video: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    two = tmp_path / "two"
    two.mkdir()
    (two / "a.onnx").touch()
    (two / "b.xml").touch()
    (two / "b.bin").touch()
    pickle = tmp_path / "model.pth"
    pickle.write_bytes(b"x")
    cases = {
        tmp_path / "gone": "gone",
        empty: "vitascope train",
        two: "a.onnx, b.xml",
        two / "b.bin": "b.xml",
        two / "a.onnx": "empty",
        video: "is no model",
        pickle: "pickle",
        run / "run.txt": "run.txt",
    }
    for path, message in cases.items():
        with pytest.raises(WeightsError, match=message):
            load(path)


def test_weights_of_another_shape(tmp_path: Path) -> None:
    run = _save(tmp_path / "run", replace(CONTRACT, labels=LabelSpec(names=NAMES[:3])))
    with pytest.raises(WeightsError):
        load(run)


@pytest.mark.parametrize("every", [0, -1, "x", "1/0", float("nan"), float("inf")])
def test_illegal_steps(run: Path, video: Path, every: object) -> None:
    with pytest.raises(ConfigError, match="every"):
        load(run).timeline(video, every)  # type: ignore[arg-type]


def test_illegal_arguments(run: Path, video: Path) -> None:
    for call in (
        lambda m: m.predict(video, 0),
        lambda m: m.timeline(video, 1, top=0),
        lambda m: m.timeline(video, 1, window="0s"),
        lambda m: m.predict(video, views="3x2"),
        lambda m: m.predict(video, start=Fraction(99)),
    ):
        with pytest.raises(VitascopeError):
            call(load(run))
