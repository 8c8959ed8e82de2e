"""PyTorchVideo's helpers of `data`: what they compute, write and refuse."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from support.nodes import own_device
from vitascope.compat.ptv.data import dataset_manifest_utils as manifests
from vitascope.compat.ptv.data import utils
from vitascope.compat.ptv.data.ego4d import utils as ego4d
from vitascope.compat.ptv.data.epic_kitchen import utils as epic
from vitascope.data.decoder import open_video
from vitascope.data.render import numbered_frame, read_number
from vitascope.errors import ConfigError, DatasetError, RunError


def test_ticks_and_seconds() -> None:
    base = Fraction(1, 90000)
    assert utils.secs_to_pts(1.5, base, 100) == 135100
    assert utils.secs_to_pts(Fraction(1, 180000), base, 0) == 0
    assert utils.secs_to_pts(Fraction(1, 180000), base, 0, "ceil") == 1
    assert utils.pts_to_secs(135100, base, 100) == Fraction(3, 2)
    assert utils.secs_to_pts(math.inf, base, 0) == utils.pts_to_secs(math.inf, base, 0) == math.inf
    with pytest.raises(AssertionError, match="floor, ceil"):
        utils.secs_to_pts(1, base, 0, "round")
    assert manifests.get_seconds_from_hms_time("01:02:03.5") == 3723.5
    with pytest.raises(DatasetError, match="noon"):
        manifests.get_seconds_from_hms_time("noon")


def test_errors_of_threads_are_raised() -> None:
    done: list[int] = []
    for threads in (False, True):
        utils.optional_threaded_foreach(done.append, [(1,), (2,)], threads)
        with pytest.raises(ZeroDivisionError):
            utils.optional_threaded_foreach(lambda x: 1 / x, [(1,), (0,)], threads)
    assert sorted(done) == [1, 1, 2, 2]


def test_a_clip_is_written_with_its_colors(tmp_path: Path) -> None:
    frames = np.stack([numbered_frame(i) for i in range(6)])
    clip = torch.from_numpy(frames).permute(3, 0, 1, 2)
    stream = utils.export_video_array(clip.float(), tmp_path / "a.mp4", 30)
    assert (stream.height, stream.width, stream.codec_context.name) == (80, 128, "mpeg4")
    options = {"bit_rate": 800_000, "in_format": "bgr24"}
    stream = utils.export_video_array(clip.flip(0).numpy(), tmp_path / "b.mp4", "30", **options)
    assert stream.codec_context.bit_rate == 800_000
    for name in ("a.mp4", "b.mp4"):
        with open_video(tmp_path / name) as video:
            assert video.fps == 30 and len(video.times) == 6
            shown = video.read(range(6)).data.numpy()
        assert [read_number(f) for f in shown] == list(range(6))
        assert np.abs(shown.astype(int) - frames).mean() < 6

    lossless = {"video_codec": "libx264rgb", "options": {"crf": "0"}}
    stream = utils.export_video_array(clip, tmp_path / "c.mp4", Fraction(30), **lossless)
    assert stream.pix_fmt == "rgb24"
    with open_video(tmp_path / "c.mp4") as video:
        assert np.array_equal(video.read(range(6)).data.numpy(), frames)

    utils.export_video_array(clip, tmp_path / "half.mp4", 30, height=40, width=64, **lossless)
    with open_video(tmp_path / "half.mp4") as video:
        assert (video.height, video.width) == (40, 64)
        half = video.read([0]).data.numpy()[0].astype(int)
    whole = frames[0].reshape(40, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(half - whole).mean() < 6  # numbered frames are made of large squares
    gray = utils.export_video_array(clip, tmp_path / "gray.mp4", 30, out_format="gray")
    assert gray.height == 80
    with open_video(tmp_path / "gray.mp4") as video:
        colors = video.read([0]).data.numpy().astype(int)
    assert np.abs(colors - colors[..., :1]).max() <= 3


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    clip = torch.zeros(3, 2, 16, 16)
    for wrong, message in (
        ({"video_codec": "nothing"}, "nothing"), ({"in_format": "xyz"}, "cannot be encoded"),
        ({"out_format": "xyz"}, "cannot be encoded"), ({"width": 3, "height": 3}, "mpeg4|libx264"),
    ):  # fmt: skip
        options = {"video_codec": "libx264", **wrong}
        with pytest.raises(ConfigError, match=message):
            utils.export_video_array(clip, tmp_path / "a.mp4", 30, **options)
    with pytest.raises(ConfigError, match=r"\(2, 16, 16, 3\); expected 3 T H W"):
        utils.export_video_array(clip.permute(1, 2, 3, 0), tmp_path / "a.mp4", 30)
    assert not list(tmp_path.iterdir())


@dataclass
class Row(utils.DataclassFieldCaster):
    name: str
    count: int
    numbers: list[int] = utils.DataclassFieldCaster.complex_initialized_dataclass_field(  # noqa: RUF009
        lambda text: [int(n) for n in str(text).split("|")]
    )


Row.__annotations__ = {"name": str, "count": int, "numbers": list[int]}


def test_tables_of_dataclasses(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("count,name,numbers\n3,a,1|2\n4,b,5\n")
    found = utils.load_dataclass_dict_from_csv(table, Row, "name")
    assert found["a"].count == 3 and found["a"].numbers == [1, 2] and list(found) == ["a", "b"]
    lists = utils.load_dataclass_dict_from_csv(table, Row, "count", list_per_key=True)
    assert lists["absent"] == []  # as there
    assert [row.name for row in lists[4]] == ["b"]
    infos = {"v": manifests.EncodedVideoInfo("v", "x/v.mp4")}
    path = manifests.save_encoded_video_manifest(infos, str(tmp_path / "m.csv"))
    again = utils.load_dataclass_dict_from_csv(path, manifests.EncodedVideoInfo, "video_id")
    assert again == infos
    frames = {"v": manifests.VideoFrameInfo("v", "d", "f_", 8, 1, 9, "jpg")}
    path = manifests.save_video_frame_info(frames, str(tmp_path / "f.csv"))
    assert utils.load_dataclass_dict_from_csv(path, manifests.VideoFrameInfo, "video_id") == frames
    table.write_text("count,name,numbers\n3,a,1\n4,a,5\n")
    with pytest.raises(AssertionError, match="row 3: a comes twice"):
        utils.load_dataclass_dict_from_csv(table, Row, "name")
    table.write_text("count,name\n3,a\n")
    with pytest.raises(KeyError, match="no value of 'numbers'"):
        utils.load_dataclass_dict_from_csv(table, Row, "name")
    with pytest.raises(IndexError, match="nothing to write"):
        utils.save_dataclass_objs_to_headered_csv([], table)


def test_shares_of_workers_are_the_whole() -> None:
    assert list(utils.MultiProcessSampler(range(5))) == list(range(5))  # type: ignore[arg-type]
    data = torch.arange(24).reshape(2, 3, 2, 2)
    assert torch.equal(utils.thwc_to_cthw(data)[:, 1], data[1].permute(2, 0, 1))


def test_folders_are_found_as_recorded(shared: Path, tmp_path: Path) -> None:
    cases = json.loads((shared / "reference" / "misc" / "manifests_ptv.json").read_text())["cases"]
    done = 0
    for number, case in enumerate(cases):
        if "epic_kitchen.utils" not in case["reader"]:
            continue
        root = tmp_path / str(number)
        for name in case["empty_files"]:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
        build = getattr(epic, case["reader"].rpartition(".")[2])
        args = () if "encoded" in case["reader"] else (True,)
        if "raises" in case:
            with pytest.raises(DatasetError, match="missing"):
                build(root / "data", *args)
        elif "encoded" in case["reader"]:  # PyTorchVideo cut the names after six characters
            assert sorted(build(root / "data")) == ["P01_01", "P01_101"]
        else:
            found = {name: asdict(files) for name, files in build(root / "data", True).items()}
            for files in found.values():
                files["location"] = str(Path(files["location"]).relative_to(root))
            assert found == case["yields"]
        done += 1
    assert done == 4


def test_windows_are_those_recorded(shared: Path) -> None:
    path = shared / "reference" / "misc" / "manifests_ego4d.json"
    [case] = [c for c in json.loads(path.read_text())["cases"] if "rows" in c]
    for *args, result in case["rows"]:
        if isinstance(result, str):
            with pytest.raises(ConfigError, match="does not fit"):
                ego4d.check_window_len(*args)
        else:
            assert list(ego4d.check_window_len(*args)) == result
    assert len(case["rows"]) == 6


@dataclass
class Named:
    name: str


@pytest.mark.parametrize("kind", ["device", "link", "pipe"])
def test_what_is_no_plain_file_is_not_replaced(tmp_path: Path, kind: str) -> None:
    clip = torch.zeros(3, 4, 32, 32)
    for number, write in enumerate(
        (
            lambda place: utils.export_video_array(clip, place, 30),
            lambda place: utils.save_dataclass_objs_to_headered_csv([Named("a")], place),
        )
    ):
        place, real = tmp_path / f"{kind}{number}", tmp_path / f"real{number}"
        if kind == "device":
            own_device(place)
        elif kind == "link":
            real.write_bytes(b"old")
            place.symlink_to(real)
        else:
            os.mkfifo(place)
            reader = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
        before = place.lstat()
        write(place)
        after = place.lstat()
        assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)
        if kind == "link":
            assert real.read_bytes() not in (b"", b"old")
        if kind == "pipe":
            assert os.read(reader, 10**6)
            os.close(reader)
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".part")]


def test_a_clip_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be written"):
        utils.export_video_array(torch.zeros(3, 4, 32, 32), tmp_path / "no" / "a.mp4", 30)
