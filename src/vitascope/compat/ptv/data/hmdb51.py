"""PyTorchVideo's HMDB51: the clips of one fold and split."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from torch.utils.data import RandomSampler

from vitascope.compat.ptv.data.clip_sampling import ClipSampler as ClipSampler
from vitascope.compat.ptv.data.labeled_video_dataset import LabeledVideoDataset, OnBad, Transform
from vitascope.compat.ptv.data.labeled_video_paths import PrefixedPaths
from vitascope.compat.ptv.errors import RefusedDataError
from vitascope.data.sets.hmdb51 import _NAME, _SPLITS, HmdbClip, _read_list, read_hmdb51_lists
from vitascope.errors import DatasetError, UnknownNameError


class Hmdb51LabeledVideoPaths(PrefixedPaths):
    """The clips of one fold and split with PyTorchVideo's interface.

    Args:
        paths_and_labels: (path, dictionary) pairs.
        path_prefix: folder that the paths start from.
    """

    _allowed_splits: ClassVar[list[int]] = [1, 2, 3]
    _split_type_dict: ClassVar[dict[str, int]] = {
        name: int(number) for number, name in _SPLITS.items()
    }

    def __init__(
        self,
        paths_and_labels: Sequence[tuple[str, dict[str, Any]]],
        path_prefix: str | os.PathLike[str] = "",
    ) -> None:
        self._paths_and_labels = list(paths_and_labels)
        self._path_prefix = os.fspath(path_prefix)

    @classmethod
    def from_dir(cls, data_path: str | Path, split_id: int = 1, split_type: str = "train") -> Self:
        """The clips of a folder of lists.

        Args:
            data_path: folder of `CLASS_test_split1.txt`, ...
            split_id: fold, 1 to 3.
            split_type: train, test or unused.

        Raises:
            DatasetError: see `read_hmdb51_lists`.
            UnknownNameError: no split of this name.
            RefusedDataError: no clip in this split.
        """
        return cls._of(read_hmdb51_lists(data_path, int(split_id)), split_type)

    @classmethod
    def from_csvs(cls, file_paths: Sequence[str | Path], split_type: str = "train") -> Self:
        """The clips of lists named `CLASS_test_split1.txt`; see `from_dir`."""
        clips: list[HmdbClip] = []
        for path in map(Path, file_paths):
            match = _NAME.fullmatch(path.name)
            if match is None:
                raise DatasetError(f"{path}: expected a name such as run_test_split1.txt")
            clips += _read_list(path, match.group(1))
        return cls._of(clips, split_type)

    @classmethod
    def _of(cls, clips: Iterable[HmdbClip], split_type: str) -> Self:
        if split_type not in _SPLITS.values():
            raise UnknownNameError("split", split_type, _SPLITS.values())
        found = [
            (clip.path, {"label": clip.label, "meta_tags": list(clip.tags)})
            for clip in clips
            if clip.split == split_type
        ]
        if not found:
            raise RefusedDataError(f"the lists have no clip in the split {split_type!r}")
        return cls(found)

    def __getitem__(self, index: int) -> tuple[str, dict[str, Any]]:
        """(path, {"label": name of the class, "meta_tags": five tags of the file name})."""
        path, info = self._paths_and_labels[index]
        return os.path.join(self._path_prefix, path), dict(info)


def Hmdb51(
    data_path: str | Path,
    clip_sampler: Any,
    video_sampler: Any = RandomSampler,
    transform: Transform | None = None,
    video_path_prefix: str | os.PathLike[str] = "",
    split_id: int = 1,
    split_type: str = "train",
    decode_audio: bool = True,
    decoder: str = "pyav",
    *,
    seed: int | None = None,
    on_bad: OnBad = "retry",
) -> LabeledVideoDataset:
    """HMDB51 with PyTorchVideo's interface; the label is the name of the class.

    Args:
        data_path: folder of the lists.
        clip_sampler: where the clips of a video lie.
        video_sampler: class of the sampler of videos.
        transform: called with each sample.
        video_path_prefix: folder of the class folders.
        split_id: fold, 1 to 3.
        split_type: train, test or unused.
        decode_audio: whether samples have sound.
        decoder: backend by name.
        seed: see `LabeledVideoDataset`.
        on_bad: see `LabeledVideoDataset`.

    Raises:
        DatasetError: see `read_hmdb51_lists`.
    """
    paths = Hmdb51LabeledVideoPaths.from_dir(data_path, split_id, split_type)
    paths.path_prefix = video_path_prefix
    return LabeledVideoDataset(
        paths, clip_sampler, video_sampler, transform, decode_audio=decode_audio, decoder=decoder,
        seed=seed, on_bad=on_bad,
    )  # fmt: skip
