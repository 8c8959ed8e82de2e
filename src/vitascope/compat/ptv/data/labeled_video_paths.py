"""Lists of (path, label number) with the names and results of PyTorchVideo.

New programs use `tables.read.read_table`, which also knows splits, class names and times.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from vitascope.compat.ptv.errors import EmptyFolderError
from vitascope.data.listing import list_videos, subfolders
from vitascope.data.tables.columns import existing
from vitascope.data.tables.rows import read_rows
from vitascope.errors import DatasetError, DatasetNotFoundError


def check_prefix(paths: Iterable[str], prefix: str) -> None:
    """Refuses a folder that absolute paths would pass over.

    Raises:
        DatasetError: an absolute path that is not below `prefix`.
    """
    for path in paths if prefix else ():
        if os.path.isabs(path) and not path.startswith(prefix.rstrip("/") + "/"):
            raise DatasetError(f"{path}: an absolute path, and not below the prefix {prefix}")


class PrefixedPaths:
    """Labeled paths, of which relative ones start from a folder that can be changed."""

    _paths_and_labels: list[tuple[str, Any]]
    _path_prefix: str

    @property
    def path_prefix(self) -> str:
        """Folder that relative paths start from."""
        return self._path_prefix

    @path_prefix.setter
    def path_prefix(self, prefix: str | os.PathLike[str]) -> None:
        folder = os.fspath(prefix)
        check_prefix((path for path, _ in self._paths_and_labels), folder)
        self._path_prefix = folder

    def __len__(self) -> int:
        return len(self._paths_and_labels)


class LabeledVideoPaths(PrefixedPaths):
    """Paths of videos with a number each.

    Args:
        paths_and_labels: (path, label) pairs; None is written as -1.
        path_prefix: folder that relative paths start from.
    """

    def __init__(
        self,
        paths_and_labels: Sequence[tuple[str, int | None]],
        path_prefix: str | os.PathLike[str] = "",
    ) -> None:
        self._paths_and_labels = list(paths_and_labels)
        self._path_prefix = os.fspath(path_prefix)

    @classmethod
    def from_path(cls, data_path: str | Path) -> Self:
        """A folder of class folders, or a list.

        Raises:
            DatasetNotFoundError: neither is there.
        """
        if os.path.isdir(data_path):
            return cls.from_directory(data_path)
        if os.path.isfile(data_path):
            return cls.from_csv(data_path)
        raise DatasetNotFoundError(f"{data_path}: no such file or folder")

    @classmethod
    def from_csv(cls, file_path: str | Path) -> Self:
        """A list of `path label` lines; files are not looked at.

        All formats of `tables.read_rows` are understood. In a list without labels all are -1. A
        video may stand in the list more than once, also with other labels.

        Raises:
            DatasetNotFoundError: there is no such list.
            DatasetError: an empty list, or a label that is no number.
        """
        file = existing(file_path)
        found: list[tuple[str, int | None]] = []
        for row in read_rows(file).rows:
            try:
                label = -1 if row.label is None else int(row.label)
            except ValueError:
                raise DatasetError(
                    f"{file.name}, row {row.line}: label {row.label!r} is no class number. For "
                    f"names of classes use vitascope.data.tables.read.read_table"
                ) from None
            found.append((row.path, label))
        return cls(found)

    @classmethod
    def from_directory(cls, dir_path: str | Path) -> Self:
        """Class folders; a class's number is its place in the order of names by code point.

        Raises:
            DatasetNotFoundError: there is no such folder.
            EmptyFolderError: no class folder, or one without a video.
        """
        if not os.path.isdir(dir_path):
            raise DatasetNotFoundError(f"{dir_path}: no such folder")
        names = subfolders(dir_path)
        if not names:
            raise EmptyFolderError(f"{dir_path}: no class folder. Expected {dir_path}/CLASS/VIDEO")
        found: list[tuple[str, int | None]] = []
        for number, name in enumerate(names):
            videos = list_videos(os.path.join(dir_path, name))
            if not videos:
                raise EmptyFolderError(f"{dir_path}/{name}: class folder without a video")
            found += [(path, number) for path in videos]
        return cls(found)

    def __getitem__(self, index: int) -> tuple[str, dict[str, Any]]:
        """(path, {"label": number})."""
        path, label = self._paths_and_labels[index]
        return os.path.join(self._path_prefix, path), {"label": -1 if label is None else label}
