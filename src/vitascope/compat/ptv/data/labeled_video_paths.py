"""Lists of (path, label number) with the names and results of PyTorchVideo.

New programs use `tables.read.read_table`, which also knows splits, class names and times.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

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
    """Labelled paths, of which relative ones start from a folder that can be changed."""

    _paths_and_labels: tuple[tuple[str, Any], ...]
    _path_prefix: str

    @property
    def path_prefix(self) -> str:
        """Folder that relative paths start from."""
        return self._path_prefix

    @path_prefix.setter
    def path_prefix(self, prefix: str) -> None:
        check_prefix((path for path, _ in self._paths_and_labels), prefix)
        self._path_prefix = prefix

    def __len__(self) -> int:
        return len(self._paths_and_labels)


class LabeledVideoPaths(PrefixedPaths):
    """Paths of videos with a number each.

    Args:
        paths_and_labels: (path, label) pairs; None is written as -1.
        path_prefix: folder that relative paths start from.
    """

    def __init__(
        self, paths_and_labels: Sequence[tuple[str, int | None]], path_prefix: str = ""
    ) -> None:
        self._paths_and_labels, self._path_prefix = tuple(paths_and_labels), path_prefix

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

        All formats of `tables.read_rows` are understood. Without any label all are -1, as in
        PyTorchVideo.

        Raises:
            DatasetNotFoundError: there is no such list.
            DatasetError: an empty list, a label that is no number, labels in some rows only, or
                one video with two labels.
        """
        file = existing(file_path)
        rows = read_rows(file).rows
        first: dict[str, tuple[int, int]] = {}
        found: list[tuple[str, int | None]] = []
        for row in rows:
            where = f"{file.name}, row {row.line}"
            if (row.label is None) != (rows[0].label is None):
                raise DatasetError(f"{where}: some rows have a label and others do not")
            if row.label is None:
                found.append((row.path, -1))
                continue
            if not row.label.isdigit():
                raise DatasetError(
                    f"{where}: label {row.label!r} is no class number. For names of classes use "
                    f"vitascope.data.tables.read.read_table"
                )
            label = int(row.label)
            line, other = first.setdefault(row.path, (row.line, label))
            if other != label:
                raise DatasetError(
                    f"{where}: {row.path} has label {label}, and {other} in row {line}"
                )
            found.append((row.path, label))
        return cls(found)

    @classmethod
    def from_directory(cls, dir_path: str | Path) -> Self:
        """Class folders; a class's number is its place in the order of names by code point.

        Raises:
            DatasetNotFoundError: there is no such folder.
            DatasetError: no class folder, or one without a video.
        """
        if not os.path.isdir(dir_path):
            raise DatasetNotFoundError(f"{dir_path}: no such folder")
        names = subfolders(dir_path)
        if not names:
            raise DatasetError(f"{dir_path}: no class folder. Expected {dir_path}/CLASS/VIDEO")
        found: list[tuple[str, int | None]] = []
        for number, name in enumerate(names):
            videos = list_videos(os.path.join(dir_path, name))
            if not videos:
                raise DatasetError(f"{dir_path}/{name}: class folder without a video")
            found += [(path, number) for path in videos]
        return cls(found)

    def __getitem__(self, index: int) -> tuple[str, dict[str, Any]]:
        """(path, {"label": number})."""
        path, label = self._paths_and_labels[index]
        return os.path.join(self._path_prefix, path), {"label": -1 if label is None else label}
