"""Lists of the evaluation of AVA: what is read, and what each fault is called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vitascope.data.sets.ava import read_boxes, read_exclusions, read_label_map
from vitascope.errors import DatasetError, DatasetNotFoundError


def test_boxes_with_and_without_scores(tmp_path: Path) -> None:
    file = tmp_path / "boxes.csv"
    file.write_text("v,0900,0,0.1,1,0.5,3\n\nw,901,0.5,0,1,1,80\n")
    boxes = read_boxes(file)
    assert boxes.frames == (("v", 900), ("w", 901)) and boxes.scores is None
    assert np.array_equal(boxes.boxes, [[0, 0.1, 1, 0.5], [0.5, 0, 1, 1]])
    assert boxes.labels.tolist() == [3, 80]
    file.write_text("v,900,0,0,1,1,3,0.25\n")
    scores = read_boxes(file).scores
    assert scores is not None and scores.tolist() == [0.25]
    file.write_text("v,900\nw,1798\n")
    assert read_exclusions(file) == {("v", 900), ("w", 1798)}
    file.write_text("")
    assert read_boxes(file).boxes.shape == (0, 4) and read_exclusions(file) == frozenset()


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError):
        read_boxes(tmp_path / "absent.csv")
    file = tmp_path / "boxes.csv"
    for text, message in (
        ("v,900,0,0,1\n", "row 1: 5 columns"),
        ("v,900,0,0,1,1,3\nv,x,0,0,1,1,3\n", "row 2: second 'x'"),
        ("v,900,0,0,1,one,3\n", "row 1: could not convert"),
        ("v,900,0,0,1,1,3,0.5\nv,900,0,0,1,1,3\n", "row 2: either all"),
    ):
        file.write_text(text)
        with pytest.raises(DatasetError, match=message):
            read_boxes(file)
    file.write_text("v,900,1\n")
    with pytest.raises(DatasetError, match="row 1: 3 columns"):
        read_exclusions(file)
    for text in ("", 'item { name: "a" }', 'item { id: 1 name: "a" } item { id: 1 name: "b" }'):
        file.write_text(text)
        with pytest.raises(DatasetError):
            read_label_map(file)
    file.write_text('item {\n  name: "bend/bow (at the waist)"\n  id: 1\n}\n')
    assert read_label_map(file) == {1: "bend/bow (at the waist)"}
