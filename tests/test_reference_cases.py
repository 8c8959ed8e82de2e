"""One table of all recorded cases outside the models: which file, how many, and who walks them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compat.ptv import test_clip_sampling as clips
from compat.pyslowfast import test_reference_transforms as pyslowfast
from data.sets import test_manifests as manifests
from transforms import test_reference_augmentation as augmentation
from transforms import test_reference_pytorchvideo as pytorchvideo

# Files on other subjects than sampling, transforms and lists, and the tests that walk them.
OTHERS = {
    "ava_map": "metrics/test_reference_metrics.py",
    "batch_norm": "layers/test_sync_batch_norm.py",
    "losses": "losses/test_reference_losses.py",
    "lr_schedules": "engine/test_schedule.py",
    "metrics": "metrics/test_reference_metrics.py",
    "multigrid": "",  # multigrid training is not there yet
    "roi_align": "layers/test_roi_align.py",
    "ssl": "ssl/test_reference.py",
}


class Walk:
    """Runs the tests that walk a file, each of which checks that it saw every case."""

    def __init__(self, shared: Path, out: Any, tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
        self.shared, self.out, self.folder, self.patch = shared, out, tmp_path, patch

    def clip_sampling(self) -> int:
        clips.test_every_pytorchvideo_case(self.shared)
        return 1127

    def test_sampling(self) -> int:
        clips.test_every_slowfast_case_in_time(self.shared)
        pyslowfast.test_every_window_and_size_of_a_test(self.shared)
        return 1248 + 47

    def transforms_ptv(self) -> int:
        pytorchvideo.test_every_case(self.shared, self.out)
        return 185

    def augment_ptv(self) -> int:
        augmentation.test_every_case_of_the_augmentations(self.shared, self.out)
        return 88

    def factory_mix_ptv(self) -> int:
        augmentation.test_every_case_of_the_factory_and_of_mixing(self.shared, self.out)
        return 22

    def transforms_slowfast(self) -> int:
        pyslowfast.test_every_case(self.shared, self.out)
        clips.test_every_drawn_slowfast_case_in_time(self.shared)
        return 215 + 2

    def manifests_ptv(self) -> int:
        return self._lists("ptv")

    def manifests_slowfast(self) -> int:
        return self._lists("slowfast")

    def manifests_ego4d(self) -> int:
        return self._lists("ego4d")

    def _lists(self, source: str) -> int:
        manifests.test_all_cases_are_here()
        mine = [case for name, _, case in manifests.ALL if name == source]
        for number, case in enumerate(mine):
            folder = self.folder / f"{source} {number}"
            folder.mkdir()
            manifests.test_case(source, case, folder, self.patch)
        return len(mine)


@pytest.mark.slow
def test_every_recorded_case_of_sampling_transforms_and_lists(
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    walk = Walk(shared, capsys, tmp_path, monkeypatch)
    counts = {
        file.stem: len(json.loads(file.read_text())["cases"])
        for file in sorted((shared / "reference" / "misc").glob("*.json"))
    }
    lines, passed = [], 0
    for topic, count in counts.items():
        if topic in OTHERS:
            lines.append(f"{topic:20} {count:5}        {OTHERS[topic] or 'nobody'}")
            continue
        walker: Callable[[], int] = getattr(walk, topic)  # a file without a walk fails here
        done = walker()
        assert done == count, topic
        passed += done
        lines.append(f"{topic:20} {count:5} {done:5}  passed")
    lines.append(f"{'in all':20} {sum(counts[t] for t in counts if t not in OTHERS):5} {passed:5}")
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
    assert passed == 3058 and set(OTHERS) <= set(counts)
