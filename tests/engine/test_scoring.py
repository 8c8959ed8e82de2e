from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from torch import nn

from vitascope.data.dataset import ClipDataset
from vitascope.data.tables.read import read_table
from vitascope.engine import overrides
from vitascope.engine.build import build_data, load_model, read_data
from vitascope.engine.evaluate import evaluate
from vitascope.engine.log import read_log
from vitascope.engine.scoring import EvalResult, Scoring, score_videos
from vitascope.engine.train import fit
from vitascope.errors import ConfigError, DatasetError, DecodeError, UnknownNameError
from vitascope.spec import ViewProtocol
from vitascope.transforms.preprocess import evaluation_transform


@pytest.fixture(scope="module")
def run(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run with weights that tell clips apart."""
    out = tmp_path_factory.mktemp("runs") / "run"
    fit(overrides.apply_overrides(toy.toy_recipe(films), ["optim.lr=0.01", "run.ema=0"]), out)
    return out


def dataset(films: Path, split: str, views: str, **options) -> ClipDataset:
    protocol = ViewProtocol.parse(views)
    return ClipDataset(
        read_table(films).of(split),
        toy.CLIP,
        transform=evaluation_transform(toy.PIXELS, protocol.crops),
        train=False,
        views=protocol,
        **options,
    )


def naive(model: nn.Module, videos: ClipDataset) -> torch.Tensor:
    """One view after the other, in double precision sums."""
    rows = []
    with torch.no_grad():
        for number in range(videos.num_videos):
            views = videos[number]["video"]
            scores = [model(view[None]).softmax(-1).double() for view in views]
            rows.append(torch.cat(scores).mean(0))
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("views", "batch"), [("1x1", 16), ("1x1", 4), ("3x3", 16), ("3x3", 5), ("2x5", 40)]
)
def test_scores_are_means_over_views_however_they_are_batched(
    films: Path, run: Path, views: str, batch: int
) -> None:
    model, _ = load_model(run)
    videos = dataset(films, "test", views)
    model.train()
    result = score_videos(model, videos, toy.CLASSES, Scoring(batch_views=batch))
    assert model.training  # as it was before
    expected = naive(model.eval(), videos)
    torch.testing.assert_close(result.scores.double(), expected, rtol=1e-5, atol=1e-6)
    assert expected.std(0).max() > 1e-3  # the videos do differ
    assert result.labels.tolist() == [r.label for r in read_table(films).of("test")]
    assert (result.n_evaluated, result.n_expected, result.views) == (9, 9, views)


def test_parts_of_two_processes_make_the_whole(films: Path, run: Path) -> None:
    model, _ = load_model(run)
    whole = score_videos(model, dataset(films, "test", "1x1"), toy.CLASSES, Scoring())
    import vitascope.engine.scoring as module

    parts = {}

    def collect(index, label, scores, faults):
        parts[len(parts)] = (index, label, scores)
        return index, label, scores, faults

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_gathered", collect)
        for rank in range(2):
            how = Scoring(rank=rank, world=2)
            score_videos(model, dataset(films, "test", "1x1"), toy.CLASSES, how)
    index = parts[0][0] + parts[1][0]
    assert sorted(index) == list(range(9))
    scores = torch.cat([parts[0][2], parts[1][2]])
    torch.testing.assert_close(scores[np.argsort(index)], whole.scores)


def test_figures_by_hand() -> None:
    scores = torch.tensor(
        [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.4, 0.3], [0.2, 0.1, 0.7], [0.6, 0.3, 0.1]]
    )
    result = EvalResult(
        classes=("a", "b", "c"),
        videos=tuple("vwxyz"),
        labels=torch.tensor([0, 1, 0, 2, 1]),
        scores=scores,
        n_expected=6,
        faults=(("u.mp4", "cut"),),
    )
    plain = json.loads(json.dumps(result.to_json()))
    assert plain["top1"] == result.score == 3 / 5
    assert plain["top5"] == 1.0
    assert plain["mean_class_accuracy"] == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    assert plain["confusion"] == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    half = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "videos": 2}
    assert [{n: v for n, v in row.items() if n != "label"} for row in plain["per_class"]] == [
        half, half, {"precision": 1.0, "recall": 1.0, "f1": 1.0, "videos": 1}
    ]  # fmt: skip
    assert plain["loss"] == pytest.approx(-sum(map(math.log, (0.7, 0.6, 0.3, 0.7, 0.3))) / 5)
    assert (plain["n_evaluated"], plain["n_expected"]) == (5, 6)
    assert plain["faults"] == [{"path": "u.mp4", "error": "cut"}]
    low, high = plain["interval"]
    assert low == pytest.approx(0.2307, abs=1e-4)  # Wilson, 3 of 5
    assert high == pytest.approx(0.8824, abs=1e-4)


def test_csv_has_a_row_for_each_video(films: Path, run: Path, tmp_path: Path) -> None:
    result = evaluate(run, films)
    result.write_csv(tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 9
    for row, scores in zip(rows, result.scores.tolist(), strict=True):
        given = [float(row[name]) for name in result.classes]
        assert given == pytest.approx(scores, abs=1e-6)
        assert row["predicted"] == result.classes[int(np.argmax(given))]
        assert row["correct"] == str(int(row["predicted"] == row["label"]))
        assert row["label"] == Path(row["path"]).parent.name


def test_shuffled_frames_are_the_same_every_time_and_keep_still_pictures(
    films: Path, run: Path
) -> None:
    first = evaluate(run, films, shuffle_frames=True)
    again = evaluate(run, films, shuffle_frames=True, workers=2)
    straight = evaluate(run, films)
    assert first.shuffled and not straight.shuffled
    assert torch.equal(first.scores, again.scores)
    assert not torch.allclose(first.scores, straight.scores)

    class Order(nn.Module):
        """Scores that depend on the frames, and not on their order, or only on their order."""

        def __init__(self, still: bool) -> None:
            super().__init__()
            self.still = still
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            frames = x.mean((1, 3, 4))
            if self.still:
                return torch.stack([frames.mean(1), frames.std(1), frames.amax(1)], 1)
            return frames[:, :3]

    for still in (True, False):
        pair = [
            score_videos(
                Order(still),
                dataset(films, "test", "1x1"),
                toy.CLASSES,
                Scoring(shuffle_frames=shuffle),
            ).scores
            for shuffle in (False, True)
        ]
        assert torch.allclose(*pair, atol=1e-6) == still


def test_bf16_forward_agrees(films: Path, run: Path) -> None:
    full, half = evaluate(run, films), evaluate(run, films, precision="bf16")
    assert not torch.equal(full.scores, half.scores)
    torch.testing.assert_close(full.scores, half.scores, rtol=0, atol=0.02)


def test_the_split_of_training_is_used_again(tmp_path: Path) -> None:
    """A folder without splits, and one without val: what was trained on is never tested."""
    data = tmp_path / "films"
    toy.render(tmp_path / "all", train=10, val=0, test=0)
    (tmp_path / "all" / "train").rename(data)
    recipe = overrides.apply_overrides(
        toy.toy_recipe(data),
        ["optim.epochs=1", "optim.batch_size=4", "data.fractions=0.6,0.2,0.2"],
    )
    fit(recipe, tmp_path / "run")
    parts = {split: evaluate(tmp_path / "run", split=split) for split in ("train", "val", "test")}
    videos = [video for part in parts.values() for video in part.videos]
    assert len(videos) == len(set(videos)) == 30
    assert parts["test"].split == "test" and parts["test"].n_evaluated == 6
    assert evaluate(tmp_path / "run", split=None).n_evaluated == 30
    other = toy.render(tmp_path / "other", train=0, val=0, test=2)
    assert evaluate(tmp_path / "run", other / "test").n_evaluated == 6  # no splits: all of it
    next((data / "grow").iterdir()).unlink()
    with pytest.raises(DatasetError, match="has changed"):
        evaluate(tmp_path / "run")


def test_validation_is_taken_from_the_training_videos_only(tmp_path: Path) -> None:
    data = toy.render(tmp_path / "films", train=10, val=0, test=3)
    recipe = toy.toy_recipe(data)
    table = read_data(recipe)
    assert table.splits == ("train", "val", "test")
    assert len(table.of("train")) + len(table.of("val")) == 30
    assert 1 <= len(table.of("val")) <= 6
    assert {Path(r.path).parts[-3] for r in table.of("val")} == {"train"}
    assert {Path(r.path).parts[-3] for r in table.of("test")} == {"test"}
    assert build_data(recipe, table).fingerprint() == build_data(recipe, table).fingerprint()
    none = overrides.apply_overrides(recipe, ["data.val_share=0"])
    assert build_data(none, read_data(none)).val is None


@pytest.mark.parametrize("settings", [
    ("data.cache=true", "run.views=2x3"),
    *(pytest.param(more, marks=pytest.mark.slow) for more in (
        ("data.cache=true",), ("data.cache=false", "run.ema=0"),
        ("data.cache=true", "run.views=1x3", "pixels.fit=squash"),
    )),
])  # fmt: skip
def test_validation_figures_are_those_of_evaluate(
    films: Path, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    """The last validation of a training and an evaluation of its last checkpoint agree."""
    place = f"data.cache_dir={tmp_path / 'cache'}"
    recipe = overrides.apply_overrides(
        toy.toy_recipe(films), ["optim.epochs=2", "optim.lr=0.05", place, *settings]
    )
    out = tmp_path / "run"
    fit(recipe, out)
    last = [row for row in read_log(out / "log.jsonl") if row["kind"] == "eval"][-1]
    again = evaluate(out / "last.json", split="val", views=recipe.run.views)
    assert last["loss"] == pytest.approx(again.loss, abs=1e-6)
    for name in ("top1", "top5", "mean_class_accuracy", "n_evaluated", "n_expected"):
        assert last[name] == again.summary()[name]


def test_bad_videos_are_an_error_or_counted(run: Path, tmp_path: Path) -> None:
    data = toy.render(tmp_path / "films", train=0, val=0, test=3)
    bad = sorted((data / "test" / "grow").iterdir())[1]
    bad.write_bytes(bad.read_bytes()[:300])
    with pytest.raises(DecodeError, match=bad.name):
        evaluate(run, data)
    result = evaluate(run, data, on_bad="skip")
    assert (result.n_evaluated, result.n_expected) == (8, 9)
    assert str(bad) not in result.videos
    [(path, reason)] = result.faults
    assert path == str(bad) and reason
    black = evaluate(run, data, on_bad="substitute-black")  # black frames are no video
    assert (black.n_evaluated, black.n_expected) == (8, 9) and black.faults == result.faults
    assert torch.equal(black.scores, result.scores) and black.loss == result.loss
    assert evaluate(run, data, on_bad="skip", bad_budget=0.2).n_evaluated == 8
    with pytest.raises(DatasetError, match=r"1 of 9 videos .* budget of 10 %"):
        evaluate(run, data, on_bad="skip", bad_budget=0.1)
    for file in data.rglob("*.mp4"):
        file.write_bytes(b"no video")
    with pytest.raises(DatasetError, match="not one of 9 videos"):
        evaluate(run, data, on_bad="skip")


def test_bad_requests(films: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="split 'tset'"):
        evaluate(run, films, split="tset")
    with pytest.raises(ConfigError, match="CLIPSxCROPS"):
        evaluate(run, films, views="many")
    foreign = tmp_path / "foreign"
    toy.render_motion_dataset(foreign, ("shrink", "grow"), {"test": 1}, size=(32, 32), frames=4)
    with pytest.raises(DatasetError, match="shrink"):
        evaluate(run, foreign)
