"""A report holds every number it was given, refers to nothing outside, and escapes names."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest

from vitascope.accelerator.verify import Verification
from vitascope.engine.charts import Chart, Curve, size
from vitascope.serving.draw import webm
from vitascope.serving.report import (
    Example,
    Figure,
    ReportTable,
    RunReport,
    render_report,
    worst_confusions,
    write_report,
)

CHECK = Verification(
    target="onnx", ok=True, n_clips=16, max_abs_diff=7.25e-6, max_abs_diff_probability=1e-6,
    allowed=1.31e-3, tolerance=1e-4, top1_agreement=0.9375, latency_ms=8.12,
    latency_ms_before=21.4, repeats=20, threads=2, size_bytes=12_100_000,
    size_bytes_before=11_900_000,
)  # fmt: skip


def _frames(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (24, 32, 3), np.uint8) for _ in range(6)]


def _report() -> RunReport:
    right = Example(
        path="go/1 & 2.mp4", truth="go", top=[("go", 0.911), ("stop", 0.0521)], frames=_frames(1)
    )
    wrong = Example(
        path="stop/3.mp4",
        truth="stop",
        top=[("go", 0.678)],
        frames=_frames(2),
        loss=4.321,
        video=webm(_frames(2), Fraction(3)),
    )
    return RunReport(
        title="x3d_s on <signs>",
        lead="Trained on 71 clips.",
        created="21 November 2025",
        command="vitascope train signs --model x3d_s",
        figures=[Figure(name="Top-1", value="87.3 %", note="interval 83.1 to 90.6 %")],
        charts=[Chart(title="Loss", curves=[Curve(name="training", points=[(1, 3), (2, 0.437)])])],
        classes=("go", "stop", "wait"),
        confusion=((27, 3, 0), (5, 24, 1), (0, 0, 0)),
        examples=[right],
        worst=[wrong],
        data=[
            ReportTable(header=("class", "train"), rows=[("go", "713")], numbers=(1,), note="1.7 s")
        ],
        exports=[("model.onnx", CHECK)],
        environment={"PyTorch": "2.13.0", "Threads": "2"},
        recipe='{"lr": 0.0125, "note": "</pre><script>"}',
    )  # fmt: skip


class _Page(HTMLParser):
    """Collects what a page refers to, and checks that every tag is closed."""

    VOID = frozenset({"meta", "wbr", "img", "br", "line", "circle", "polyline"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.references: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "action", "xlink:href", "poster"):
                self.references.append(value or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data


def _page(html: str) -> _Page:
    page = _Page()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


def test_every_number_and_name_is_there() -> None:
    text = _page(render_report(_report())).text
    for wanted in (
        "x3d_s on <signs>", "Trained on 71 clips.", "21 November 2025",
        "vitascope train signs --model x3d_s", "87.3 %", "83.1 to 90.6 %", "last 0.437",
        "27", "24", "90.0 %", "(27 of 30)", "80.0 %", "(24 of 30)", "5 of 30", "3 of 30", "1 of 30",
        "✓ right:", "91.1 %", "stop 5.2 %", "go/1 & 2.mp4", "✗ wrong:", "67.8 %", "loss 4.32",
        "713", "1.7 s", "model.onnx", "✓ within tolerance", "7.25e-6", "0.00131", "93.8 % of 16",
        "11.9 MB → 12.1 MB", "21.4 → 8.12 ms", "2 threads", "2.13.0", '"lr": 0.0125',
    ):  # fmt: skip
        assert wanted in text, wanted


def test_nothing_outside_is_referred_to() -> None:
    html = render_report(_report())
    page = _page(html)
    assert page.references and all(
        r.startswith(("data:image/", "data:video/webm;")) for r in page.references
    )
    assert "script" not in page.tags and "link" not in page.tags and "iframe" not in page.tags
    without_pictures = re.sub(r"data:(image|video)/[^\"]*", "", html)
    assert not re.search(r"https?:|//|url\(|@import", without_pictures.replace("</", ""))
    assert "</pre><script>" not in html


def test_a_clip_can_be_played() -> None:
    """The very frames come back, in their time, and a name of any kind stays a name."""
    smooth = [np.full((24, 32, 3), 20 * i, np.uint8) for i in range(12)]
    video = webm(smooth, Fraction(12, 5))
    example = Example(path='"><b>.mp4', truth=None, top=[("go", 0.5)], frames=smooth, video=video)
    html = render_report(RunReport(title="t", examples=[example]))
    page = _page(html)
    assert page.tags.count("video") == 1 and page.tags.count("b") == 1  # the b of the label
    (source,) = (r for r in page.references if r.startswith("data:video/webm;base64,"))
    with av.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as opened:
        decoded = [(f.time, f.to_ndarray(format="rgb24")) for f in opened.decode(video=0)]
    assert [round(time * 12 / 5, 1) for time, _ in decoded] == list(range(12))
    for frame, (_, image) in zip(smooth, decoded, strict=True):
        assert abs(image.mean() - frame.mean()) < 5  # frames are 20 apart
    assert 'aria-label="&quot;&gt;&lt;b&gt;.mp4"' in html


def test_a_clip_is_bounded_and_the_same_each_time() -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (96, 171, 3), np.uint8) for _ in range(64)]
    plain = webm(noise, Fraction(8), most=10**9)
    small = webm(noise, Fraction(8), most=len(plain) // 2)
    assert 0 < len(small) <= len(plain) // 2
    assert webm(noise, Fraction(8), most=100) == b""
    assert webm(noise[:5], Fraction(8)) == webm(noise[:5], Fraction(8))


def test_figures_of_each_class() -> None:
    """Counted one by one."""
    counts = ((27, 3, 0), (5, 24, 1), (0, 0, 0))
    text = _page(render_report(_report())).text
    for k, name in enumerate(("go", "stop", "wait")):
        right, given, own = counts[k][k], sum(row[k] for row in counts), sum(counts[k])
        precision, recall = (f"{100 * right / n:.1f} %" if n else "none" for n in (given, own))
        f1 = f"{200 * right / (given + own):.1f} %" if given + own else "none"
        assert f"{name}{precision}{recall}{f1}{own}" in text
    many = [f"class {i}" for i in range(60)]
    table = np.eye(60, dtype=int) * 5
    table[7, 8] = 20
    html = render_report(RunReport(title="t", classes=many, confusion=table.tolist()))
    each = html.partition("of each class, lowest F1 first")[2].partition("</table>")[0]
    assert each.count("<tr>") == 51 and each.index("class 7<") < each.index("class 8<")
    assert "20.0 %" in each and "33.3 %" in each  # 5 of 25; 2 x 5 / (5 + 25)


def test_beyond_tolerance_is_said() -> None:
    text = _page(
        render_report(replace(_report(), exports=[("m.xml", replace(CHECK, ok=False))]))
    ).text
    assert "✗ beyond tolerance" in text


def test_sections_without_content_are_left_out() -> None:
    text = _page(render_report(RunReport(title="empty"))).text
    for word in ("Learning", "Confusion", "clips", "Data", "Export", "Environment"):
        assert word not in text


@pytest.mark.parametrize(("count", "shown"), [(12, True), (50, True), (51, False)])
def test_matrix_only_while_it_can_be_read(count: int, shown: bool) -> None:
    names = [f"class {i}" for i in range(count)]
    counts = np.eye(count, dtype=int) * 9
    counts[1, 3] = 4
    html = render_report(RunReport(title="t", classes=names, confusion=counts.tolist()))
    assert ("Confusion matrix" in html) is shown
    assert "4 of 13" in _page(html).text  # the list of confusions is always there


def test_no_mistakes() -> None:
    html = render_report(RunReport(title="t", classes=("a", "b"), confusion=((3, 0), (0, 4))))
    assert "every clip was named correctly" in html


def test_worst_confusions_order() -> None:
    counts = ((50, 2, 3), (2, 1, 0), (0, 3, 90))
    found = worst_confusions(("a", "b", "c"), counts, 3)
    assert found == [("a", "c", 3, 55), ("c", "b", 3, 93), ("b", "a", 2, 3)]


def test_matrix_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="3 classes"):
        RunReport(title="t", classes=("a", "b", "c"), confusion=((1, 0), (0, 1)))


def test_unlabeled_example_makes_no_judgment() -> None:
    example = Example(path="x.mp4", truth=None, top=[("go", 0.5)], frames=[])
    text = _page(render_report(RunReport(title="t", examples=[example]))).text
    assert "says go" in text and "right" not in text and "wrong" not in text


def test_written_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    assert write_report(_report(), path) == path
    assert path.read_text(encoding="utf-8") == render_report(_report())
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (15_300, "15.3 kB"), (2.5e9, "2.5 GB")]
)
def test_size(count: float, text: str) -> None:
    assert size(int(count)) == text
