"""Programs around PyTorchVideo's data package, from the list to the step of training.

The flows are those of its tutorials (classification, TorchHub inference, detection), of its
training example, of PySlowFast's wrappers and of a Hugging Face fine-tuning notebook, written
anew. Each runs by the old names and by the new ones, and its numbers are compared with what is
computed from the frames by hand.
"""

from __future__ import annotations

import importlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,  # fmt: skip
)

from support.model_reference import old_names
from support.videos import film
from vitascope.data.decoder import open_video
from vitascope.data.render import numbered_frame

pytestmark = pytest.mark.filterwarnings("ignore:pytorchvideo:DeprecationWarning")
Sample = dict[str, Any]
Names = Callable[[str], Any]
MEAN, STD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
FPS, SIZE = 12, (48, 64)


def old(module: str) -> Any:
    old_names()
    return importlib.import_module(f"pytorchvideo.{module}")


def new(module: str) -> Any:
    package, _, rest = module.partition(".")
    home = "compat.ptv.data" if package == "data" else package
    return importlib.import_module(f"vitascope.{home}{'.' if rest else ''}{rest}")


@pytest.fixture(params=[old, new], ids=["old names", "new names"])
def names(request: pytest.FixtureRequest) -> Names:
    found: Names = request.param
    return found


# --- what the programs take from elsewhere -------------------------------------------------------


class Chain:
    """torchvision's Compose."""

    def __init__(self, steps: Sequence[Callable[[Any], Any]]) -> None:
        self.steps = steps

    def __call__(self, x: Any) -> Any:
        for step in self.steps:
            x = step(x)
        return x


class Crop(nn.Module):
    """torchvision's RandomCrop for C T H W."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        top, left = (int(torch.randint(n - self.size + 1, ())) for n in x.shape[-2:])
        return x[..., top : top + self.size, left : left + self.size]


class Flip(nn.Module):
    """torchvision's RandomHorizontalFlip."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flip(-1) if torch.rand(()) < 0.5 else x


def div255(x: Tensor) -> Tensor:
    return x / 255.0


def frames_of(path: str, indices: Sequence[int]) -> Tensor:
    """Frames by number as float C T H W, straight from the decoder."""
    with open_video(path) as video:
        return video.read(indices).data.permute(3, 0, 1, 2).float()


def spread(first: int, count: int, wanted: int) -> list[int]:
    """Numbers of `wanted` frames evenly spread over `count` ones, as the transform picks them."""
    return [first + (count - 1) * i // (wanted - 1) for i in range(wanted)]


@pytest.fixture(scope="module")
def kinetics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight videos of two classes, 36 frames at 12 a second, as a list and as class folders."""
    root = tmp_path_factory.mktemp("kinetics")
    rows = []
    for v in range(8):
        path = root / "videos" / ("archery", "bowling")[v % 2] / f"v {v}.avi"
        path.parent.mkdir(parents=True, exist_ok=True)
        film(path, 36, FPS, size=SIZE, first=100 * v)
        rows.append(f"{path.relative_to(root)} {v % 2}\n")
    (root / "train.csv").write_text("".join(rows))
    return root


def small_resnet(names: Names, classes: int = 2) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = names("models.resnet").create_resnet(
        input_channel=3, model_depth=50, model_num_class=classes, norm=nn.BatchNorm3d,
        activation=nn.ReLU, stem_dim_out=8, dropout_rate=0.0, head_pool_kernel_size=(4, 1, 1),
    )  # fmt: skip
    return model


def one_step(model: nn.Module, video: Tensor, label: Tensor) -> None:
    """A step of training lowers the loss of its own batch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    before = cross_entropy(model(video), label)
    before.backward()
    optimizer.step()
    assert torch.isfinite(before) and cross_entropy(model(video), label) < before


# --- classification ------------------------------------------------------------------------------


def train_transform(names: Names) -> Any:
    t = names("transforms")
    steps = [t.UniformTemporalSubsample(4), div255, t.Normalize(MEAN, STD),
             t.RandomShortSideScale(min_size=36, max_size=44), Crop(32), Flip()]  # fmt: skip
    return Chain([t.ApplyTransformToKey(key="video", transform=Chain(steps))])


@pytest.mark.parametrize("workers", [0, 2])
def test_classification(names: Names, kinetics: Path, workers: int) -> None:
    data = names("data")
    torch.manual_seed(3)
    train = data.Kinetics(
        data_path=str(kinetics / "train.csv"), video_path_prefix=str(kinetics),
        clip_sampler=data.make_clip_sampler("random", 2), decode_audio=False,
        transform=train_transform(names),
    )  # fmt: skip
    loader = DataLoader(train, batch_size=4, num_workers=workers)
    epochs = [list(loader) for _ in range(2)]
    for batches in epochs:
        assert [b["video"].shape for b in batches] == [(4, 3, 4, 32, 32)] * 2
        index = torch.cat([b["video_index"] for b in batches])
        assert sorted(index.tolist()) == list(range(8))
        assert torch.equal(torch.cat([b["label"] for b in batches]), index % 2)
        assert all(b["video_name"][i] == f"v {int(b['video_index'][i])}.avi"
                   for b in batches for i in range(4))  # fmt: skip
    first, second = (torch.cat([b["video_index"] for b in batches]) for batches in epochs)
    assert first.tolist() != second.tolist()
    one_step(small_resnet(names), epochs[0][0]["video"], epochs[0][0]["label"])


def test_validation_gives_the_frames_of_the_clips(names: Names, kinetics: Path) -> None:
    data, t = names("data"), names("transforms")
    steps = [t.UniformTemporalSubsample(4), div255, t.Normalize(MEAN, STD)]
    clips = data.Kinetics(
        str(kinetics / "videos"), data.make_clip_sampler("uniform", 1.5), SequentialSampler,
        t.ApplyTransformToKey("video", Chain(steps)), decode_audio=False,
    )  # fmt: skip
    found = list(clips)
    assert [(s["video_index"], s["clip_index"]) for s in found] == [
        (v, c) for v in range(8) for c in range(2)
    ]
    for sample in found:
        # Class folders come in the order of their names, so videos 0 2 4 6 and then 1 3 5 7.
        v = (0, 2, 4, 6, 1, 3, 5, 7)[sample["video_index"]]
        path = kinetics / "videos" / ("archery", "bowling")[v % 2] / f"v {v}.avi"
        frames = frames_of(str(path), spread(18 * sample["clip_index"], 18, 4))
        assert torch.allclose(sample["video"], (frames / 255 - 0.45) / 0.225, atol=1e-6)
        assert sample["label"] == v % 2


class LimitDataset(torch.utils.data.Dataset[Any]):
    """Two epochs of an iterable data set by number, as PyTorchVideo's training example has it."""

    def __init__(self, dataset: Any) -> None:
        super().__init__()
        self.dataset = dataset
        self.dataset_iter = itertools.chain.from_iterable(itertools.repeat(iter(dataset), 2))

    def __getitem__(self, index: int) -> Any:
        return next(self.dataset_iter)

    def __len__(self) -> int:
        return int(self.dataset.num_videos)


class HalfOfTwo(DistributedSampler[Any]):
    """A distributed sampler of the first of two ranks."""

    def __init__(self, data: Any) -> None:
        super().__init__(data, num_replicas=2, rank=0)


def test_the_training_example(names: Names, kinetics: Path) -> None:
    module = names("data.labeled_video_dataset")
    paths = names("data.labeled_video_paths").LabeledVideoPaths.from_path(kinetics / "train.csv")
    paths.path_prefix = str(kinetics)
    sampler = names("data").make_clip_sampler("random", 1)
    data = LimitDataset(module.LabeledVideoDataset(paths, sampler, decode_audio=False))
    batches = list(DataLoader(data, batch_size=4))
    again = list(DataLoader(data, batch_size=4))
    for epoch in (batches, again):
        index = torch.cat([b["video_index"] for b in epoch])
        assert sorted(index.tolist()) == list(range(8))
    half = module.LabeledVideoDataset(paths, sampler, HalfOfTwo, decode_audio=False)
    orders = []
    for epoch in range(2):
        half.video_sampler.set_epoch(epoch)
        orders.append([s["video_index"] for s in half])
        assert len(set(orders[-1])) == 4
    assert orders[0] != orders[1] and half.num_videos == 4


# --- inference -----------------------------------------------------------------------------------


class PackPathway(nn.Module):
    """The slow and the fast pathway of a clip."""

    def forward(self, frames: Tensor) -> list[Tensor]:
        index = torch.linspace(0, frames.shape[1] - 1, frames.shape[1] // 4).long()
        return [frames.index_select(1, index), frames]


def test_torch_hub_inference(names: Names, kinetics: Path) -> None:
    t = names("transforms")
    transform = t.ApplyTransformToKey(key="video", transform=Chain([
        t.UniformTemporalSubsample(16), div255, t.Normalize(MEAN, STD), t.ShortSideScale(size=32),
        lambda x: x[..., 5:37], PackPathway(),
    ]))  # fmt: skip
    path = kinetics / "videos" / "archery" / "v 2.avi"
    clip_duration = (16 * 2) / FPS
    start_sec = 0
    end_sec = start_sec + clip_duration
    video = names("data.encoded_video").EncodedVideo.from_path(str(path))
    video_data = transform(video.get_clip(start_sec=start_sec, end_sec=end_sec))
    inputs = [i[None, ...] for i in video_data["video"]]
    assert [i.shape for i in inputs] == [(1, 3, 4, 32, 32), (1, 3, 16, 32, 32)]
    scale = names("transforms.functional").short_side_scale
    frames = frames_of(str(path), spread(0, 32, 16))
    whole = scale((frames / 255 - 0.45) / 0.225, 32)[..., 5:37]
    assert torch.allclose(inputs[1][0], whole, atol=1e-6)
    assert torch.allclose(inputs[0][0], whole[:, [0, 5, 10, 15]], atol=1e-6)
    torch.manual_seed(0)
    model = names("models.slowfast").create_slowfast(
        stem_dim_outs=(16, 2), model_num_class=5,
        head_pool_kernel_sizes=((4, 1, 1), (16, 1, 1)),
    ).eval()  # fmt: skip
    with torch.no_grad():
        scores = nn.Softmax(dim=1)(model(inputs))
    assert scores.shape == (1, 5) and torch.allclose(scores.sum(), torch.tensor(1.0))
    assert len(scores.topk(k=5).indices[0]) == 5


def test_detection_inference(names: Names, tmp_path: Path) -> None:
    (tmp_path / "actions.pbtxt").write_text(
        "".join(f'item {{\n  name: "action {n}"\n  id: {n}\n}}\n' for n in (1, 2, 4))
    )
    paths = names("data.ava").AvaLabeledVideoFramePaths
    label_map, allowed = paths.read_label_map(str(tmp_path / "actions.pbtxt"))
    assert label_map == {n: f"action {n}" for n in (1, 2, 4)} and allowed == {1, 2, 4}
    path = film(tmp_path / "theatre.mkv", 72, FPS, size=SIZE)
    functional, t = names("transforms.functional"), names("transforms")
    torch.manual_seed(0)
    model = (
        names("models.resnet")
        .create_resnet_with_roi_head(
            model_num_class=4, stem_dim_out=8, head_spatial_resolution=(2, 2)
        )
        .eval()
    )
    video = names("data.encoded_video").EncodedVideo.from_path(str(path))
    for time_stamp in range(2, 4):
        clip = video.get_clip(time_stamp - 1.0 / 2.0, time_stamp + 1.0 / 2.0)["video"]
        middle = clip[:, clip.shape[1] // 2].permute(1, 2, 0)
        wanted = frames_of(str(path), [FPS * time_stamp])[:, 0].permute(1, 2, 0)
        assert torch.equal(middle, wanted)
        boxes = np.array([[4.0, 4.0, 40.0, 44.0], [-9.0, 2.0, 30.0, 70.0]])
        frames = t.Normalize(MEAN, STD)(functional.uniform_temporal_subsample(clip, 4) / 255.0)
        kept = functional.clip_boxes_to_image(boxes, *frames.shape[2:])
        assert kept[1].tolist() == [0, 2, 30, 47]
        frames, scaled = functional.short_side_scale_with_boxes(frames, size=32, boxes=kept)
        rows = torch.cat([torch.zeros(2, 1), torch.from_numpy(np.asarray(scaled)).float()], dim=1)
        with torch.no_grad():
            scores = model(frames.unsqueeze(0), rows)
        scores = torch.cat([torch.zeros(len(scores), 1), scores.reshape(2, -1)], dim=1)
        assert scores.shape == (2, 5) and ((scores >= 0) & (scores <= 1)).all()


# --- PySlowFast's wrappers -----------------------------------------------------------------------


class Wrapper(IterableDataset[Any]):
    """PySlowFast's view of a data set: it asks for no more than this."""

    def __init__(self, num_videos: int, clips: int, crops: int, dataset: Any) -> None:
        self._clips, self._crops, self._num_videos = clips, crops, num_videos
        self.dataset = dataset

    def __next__(self) -> Any:
        return self.dataset.__next__()

    @property
    def sampler(self) -> Any:
        return self.dataset.video_sampler

    def __len__(self) -> int:
        return len(self.sampler) * self._clips * self._crops

    @property
    def num_videos(self) -> int:
        return self._num_videos * self._clips * self._crops

    def __iter__(self) -> Iterator[Any]:
        return self


class DictToTuple(nn.Module):
    def __init__(self, num_clips: int, num_crops: int) -> None:
        super().__init__()
        self._num_clips, self._num_crops = num_clips, num_crops

    def forward(self, x: Sample) -> tuple[Any, ...]:
        views = self._num_clips * self._num_crops
        index = x["video_index"] * views + x["clip_index"] * self._num_crops + x["aug_index"]
        return x["video"], x["label"], index, {}


def rgb2bgr(x: Tensor) -> Tensor:
    return x[[2, 1, 0], ...]


def views_of(names: Names, clips: int, crops: int, *before: Any, label: Any = None) -> Any:
    """The transform of a test: scaling, the crop of the view, and the tuple."""
    t = names("transforms")
    steps = [*before, div255, t.Normalize(MEAN, STD), t.ShortSideScale(size=24)]
    return Chain([
        t.ApplyTransformToKey("video", Chain(steps)), t.UniformCropVideo(size=24),
        *([] if label is None else [label]), DictToTuple(clips, crops),
    ])  # fmt: skip


def view(names: Names, frames: Tensor, crop: int) -> Tensor:
    """The same view by hand."""
    frames = names("transforms.functional").short_side_scale((frames / 255 - 0.45) / 0.225, 24)
    left = (0, 4, 8)[crop]  # 48 x 64 becomes 24 x 32
    return frames[..., left : left + 24]


@pytest.mark.parametrize("workers", [0, 2])
def test_ptvkinetics(names: Names, kinetics: Path, workers: int) -> None:
    module, make = names("data"), names("data").make_clip_sampler
    paths = names("data.labeled_video_paths").LabeledVideoPaths.from_path(kinetics / "train.csv")
    paths.path_prefix = str(kinetics)
    subsample = names("transforms").UniformTemporalSubsample(4)
    test = Wrapper(len(paths), 2, 3, module.LabeledVideoDataset(
        labeled_video_paths=paths, clip_sampler=make("constant_clips_per_video", 1.0, 2, 3),
        video_sampler=SequentialSampler, transform=views_of(names, 2, 3, subsample),
        decode_audio=False, decoder="pyav",
    ))  # fmt: skip
    assert len(test) == test.num_videos == 48
    loader = DataLoader(test, batch_size=6, num_workers=workers)
    rows: dict[int, tuple[Tensor, int]] = {}
    for videos, labels, index, _ in loader:
        for i in range(len(index)):
            assert int(index[i]) not in rows
            rows[int(index[i])] = videos[i], int(labels[i])
    assert sorted(rows) == list(range(48))
    for index, (video, label) in rows.items():
        v, (clip, crop) = index // 6, divmod(index % 6, 3)
        assert label == v % 2
        frames = frames_of(paths[v][0], spread(24 * clip, 12, 4))
        assert torch.allclose(video, view(names, frames, crop), atol=1e-5)
    # Two epochs of training with the wrapper's own way of going on.
    for sampler in (RandomSampler, HalfOfTwo):
        train = Wrapper(len(paths), 1, 1, module.LabeledVideoDataset(
            paths, make("random", 1.0), sampler, DictToTuple(1, 1), decode_audio=False
        ))  # fmt: skip
        for _ in range(2):
            seen = [int(i) for *_, index, _ in DataLoader(train, 2, num_workers=workers)
                    for i in index]  # fmt: skip
            assert len(set(seen)) == len(seen) == len(train)


@pytest.fixture(scope="module")
def frame_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos kept as 72 images each, with PySlowFast's lists of Charades and SSv2."""
    import cv2

    root = tmp_path_factory.mktemp("frames")
    rows, plain = [], []
    for v in range(4):
        (root / f"v{v}").mkdir()
        for i in range(72):
            name = f"v{v}/{i:06d}.png"
            picture = np.asarray(numbered_frame(100 * v + i, SIZE))
            assert cv2.imwrite(str(root / name), picture[..., ::-1])
            labels = f'"{i // 24},{100 + v}"' if i % 2 else '""'
            rows.append(f"v{v} {v} {i} {name} {labels}\n")
            plain.append(f'v{v} {v} {i} {name} ""\n')
    head = "original_vido_id video_id frame_id path labels\n"
    (root / "charades.csv").write_text(head + "".join(rows))
    (root / "ssv2.csv").write_text(head + "".join(plain))
    (root / "labels.json").write_text(json.dumps({"Holding it": "0", "Pushing it": "1"}))
    words = ("Holding [it]", "Pushing [it]")
    entries = [{"id": f"v{v}", "template": words[v % 2]} for v in range(4)]
    (root / "ssv2.json").write_text(json.dumps(entries))
    return root


class CharadesLabel:
    """The labels of a clip, or of the video, as a vector of zeros and ones."""

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def __call__(self, x: Sample) -> Sample:
        each = x["label"] if self.mode == "train" else [x["video_label"]]
        numbers = sorted({n for labels in each for n in labels})
        x["label"] = torch.zeros(157).index_fill(0, torch.tensor(numbers), 1.0)
        return x


@pytest.mark.parametrize("mode", ["train", "test"])
def test_ptvcharades(names: Names, frame_folders: Path, mode: str) -> None:
    make = names("data").make_clip_sampler
    clips, crops = (1, 1) if mode == "train" else (2, 3)
    length = ((8 - 1) * 4 + 1) / 30
    sampler = make("random", length) if mode == "train" else make(
        "constant_clips_per_video", length, clips, crops
    )  # fmt: skip
    transform = views_of(names, clips, crops, rgb2bgr, label=CharadesLabel(mode))
    data = names("data").Charades(
        data_path=str(frame_folders / "charades.csv"), clip_sampler=sampler,
        video_sampler=RandomSampler if mode == "train" else SequentialSampler,
        transform=transform, video_path_prefix=str(frame_folders), frames_per_clip=8,
    )  # fmt: skip
    wrapped = Wrapper(len(data._path_to_videos), clips, crops, data)
    assert len(wrapped) == 4 * clips * crops
    found = [
        (int(index[i]), videos[i], labels[i])
        for videos, labels, index, _ in DataLoader(wrapped, clips * crops, num_workers=2)
        for i in range(len(index))
    ]
    assert sorted(index for index, *_ in found) == list(range(len(wrapped)))
    for index, video, label in found:
        v, (clip, crop) = index // (clips * crops), divmod(index % (clips * crops), crops)
        hot = set(label.nonzero().flatten().tolist())
        if mode == "train":
            # 29 frames; those that lie between the eight that are shown count, too.
            assert 100 + v in hot and len(hot) in (2, 3) and video.shape == (3, 8, 24, 24)
        else:
            assert hot == {0, 1, 2, 100 + v}
            picked = [(0, 43)[clip] + i for i in spread(0, 29, 8)]
            paths = [data._path_to_videos[v][i] for i in picked]
            frames = torch.cat([frames_of_picture(path) for path in paths], dim=1)
            assert torch.allclose(video, view(names, frames.flip(0), crop), atol=1e-5)


def frames_of_picture(path: str) -> Tensor:
    import cv2

    picture = cv2.imread(path)[..., ::-1].copy()
    return torch.from_numpy(picture).permute(2, 0, 1)[:, None].float()


@pytest.mark.parametrize("mode", ["train", "test"])
def test_ptvssv2(names: Names, frame_folders: Path, mode: str) -> None:
    crops = 1 if mode == "train" else 3
    data = names("data").SSv2(
        label_name_file=str(frame_folders / "labels.json"),
        video_label_file=str(frame_folders / "ssv2.json"),
        video_path_label_file=str(frame_folders / "ssv2.csv"),
        clip_sampler=names("data").make_clip_sampler("constant_clips_per_video", 1, 1, crops),
        video_sampler=SequentialSampler, transform=views_of(names, 1, crops, rgb2bgr),
        video_path_prefix=str(frame_folders), frames_per_clip=8,
        rand_sample_frames=mode == "train",
    )  # fmt: skip
    wrapped = Wrapper(len(data._path_to_videos), 1, crops, data)
    found = [(int(index[i]), videos[i], int(labels[i])) for videos, labels, index, _ in
             DataLoader(wrapped, crops, num_workers=2) for i in range(len(index))]  # fmt: skip
    assert sorted(index for index, *_ in found) == list(range(len(wrapped)))
    for index, video, label in found:
        v, crop = divmod(index, crops)
        assert label == v % 2 and video.shape == (3, 8, 24, 24)
        if mode == "test":
            # The whole video of 72 frames in eight parts of 71 / 8, whatever the sampler's second.
            picked = [(round(71 / 8 * i) + round(71 / 8 * (i + 1))) // 2 for i in range(8)]
            assert picked[-1] > 60
            paths = [data._path_to_videos[v][i] for i in picked]
            frames = torch.cat([frames_of_picture(path) for path in paths], dim=1)
            assert torch.allclose(video, view(names, frames.flip(0), crop), atol=1e-5)


# --- a Hugging Face notebook ---------------------------------------------------------------------


def collate(examples: list[Sample]) -> dict[str, Tensor]:
    """Frames first, as the image models of Transformers take them."""
    videos = [example["video"].permute(1, 0, 2, 3) for example in examples]
    labels = torch.tensor([example["label"] for example in examples])
    return {"pixel_values": torch.stack(videos), "labels": labels}


def test_fine_tuning_notebook(names: Names, kinetics: Path) -> None:
    data, t = names("data"), names("transforms")
    clip_duration = 4 * 4 / 10
    train = data.Ucf101(
        data_path=str(kinetics / "videos"),
        clip_sampler=data.make_clip_sampler("random", clip_duration), decode_audio=False,
        transform=train_transform(names),
    )  # fmt: skip
    steps = Chain([t.UniformTemporalSubsample(4), div255, t.Normalize(MEAN, STD), Crop(32)])
    test = data.Ucf101(
        data_path=str(kinetics / "videos"),
        clip_sampler=data.make_clip_sampler("uniform", clip_duration), decode_audio=False,
        transform=Chain([t.ApplyTransformToKey(key="video", transform=steps)]),
    )  # fmt: skip
    assert (train.num_videos, test.num_videos) == (8, 8)
    sample = next(iter(train))
    assert list(sample) == [
        "video", "video_name", "video_index", "clip_index", "aug_index", "label"
    ]  # fmt: skip
    classes = sorted(p.name for p in (kinetics / "videos").iterdir())
    label_of = {name: number for number, name in enumerate(classes)}
    model = small_resnet(names, len(label_of))
    steps_done, max_steps = 0, train.num_videos // 4 * 2
    while steps_done < max_steps:  # an epoch ends, the next one begins
        for batch in DataLoader(train, batch_size=4, collate_fn=collate):
            assert batch["pixel_values"].shape == (4, 4, 3, 32, 32)
            if steps_done == 0:
                one_step(model, batch["pixel_values"].transpose(1, 2), batch["labels"])
            steps_done += 1
    assert steps_done == max_steps == 4
    seen = [batch["labels"] for batch in DataLoader(test, batch_size=4, collate_fn=collate)]
    assert torch.cat(seen).bincount().tolist() == [4, 4]  # one clip of 1.6 s in 3 s
