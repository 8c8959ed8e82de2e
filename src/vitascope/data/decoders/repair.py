"""Times of frames where a few that are stored are odd: missing, repeated, or out of line.

The file's own times are kept and only the odd ones are moved. A time is odd if it is not after
the one before; whether it or the ones before it are out of line is told by which of them are
fewer and would find room where they are shown. Where neither does, the clock began anew, as in
files that were joined: the frames from there on keep their distances.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

# This many frames in a row can be odd even where there is hardly any room for them.
_FEW = 3
# A clock that stands still for longer than this many frames was begun anew.
_AHEAD = 1000
# Frames, at least, for each time that a clock begins anew; else the times say nothing.
_SELDOM = 8


def descents(times: Sequence[int | None]) -> int:
    """How often a time is missing, or not after the one before."""
    known = [t for t in times if t is not None]
    return len(times) - len(known) + sum(a >= b for a, b in pairwise(known))


def repair(times: Sequence[int | None], step: int) -> tuple[list[int], int] | None:
    """Ascending times for frames in the order in which they are shown.

    Args:
        times: stored times in ticks; None where there is none.
        step: ticks between two frames, where the times themselves do not tell.

    Returns:
        The times, and by how much their ticks are finer than those given: 1 unless there is no
        room otherwise. None if too few of the stored times can be kept.
    """
    known = [t for t in times if t is not None]
    gaps = sorted(b - a for a, b in pairwise(known) if b > a)
    if gaps:
        step = gaps[len(gaps) // 2]
    kept, restarts = _keep(times, max(step, 1))
    if 2 * len(kept) <= len(times) or restarts > max(1, len(times) // _SELDOM):
        return None
    return _fill(times, kept, max(step, 1))


def _keep(times: Sequence[int | None], step: int) -> tuple[dict[int, int], int]:
    """Numbers of the frames whose times are kept, with those times; how often the clock restarts.

    The times after a restart are moved on, so that all ascend.
    """
    kept: list[tuple[int, int]] = []
    shift = index = restarts = 0
    while index < len(times):
        own = times[index]
        if own is None:
            index += 1
            continue
        time = own + shift
        if kept and time == kept[-1][1]:
            index = _repeated(times, index, shift, kept)
            continue
        if kept and time < kept[-1][1]:
            ahead = _ahead(times, index, shift, kept[-1][1], step)
            back = _back(kept, index, time, step, ahead or _AHEAD)
            if ahead and (not back or _is_better(times, index, shift, kept, ahead, back)):
                index += ahead
                continue
            if back == 1 < len(kept) - 1 and index == len(times) - 1:
                # The last frame or the one before: the one that is less like those before them.
                if _is_nearer(kept[-1], (index, time), kept[-2], kept[-3]):
                    break
            if back:
                del kept[-back:]
            else:
                shift += kept[-1][1] + step - time
                time = own + shift
                restarts += 1
        kept.append((index, time))
        index += 1
    return dict(kept), restarts


def _repeated(
    times: Sequence[int | None], index: int, shift: int, kept: list[tuple[int, int]]
) -> int:
    """Keeps one of several frames with the time kept last; the number of the frame after them.

    It is the one that leaves the distances most even. At the start and the end of a video, where
    there is nothing on one side, it is the one whose distance is most like the next.
    """
    first, time = kept[-1]
    stop = index
    while stop < len(times) and times[stop] in (None, time - shift):
        stop += 1
    same = [first, *(n for n in range(index, stop) if times[n] is not None)]
    before = kept[-2:-4:-1]
    following = enumerate(times[stop : stop + 2], stop)
    after = [(n, t + shift) for n, t in following if t is not None]
    if after and after[0][1] <= time:
        return stop  # another odd time
    if before and after:
        ends = before[0], after[0]
        first = min(same, key=lambda n: _unevenness([ends[0], (n, time), ends[1]]))
    elif len(near := before or after) == 2 and _pace(*near) > 0:
        first = min(same, key=lambda n: abs(_pace((n, time), near[0]) - _pace(*near)))
    kept[-1] = (first, time)
    return stop


def _pace(one: tuple[int, int], other: tuple[int, int]) -> float:
    """Ticks a frame between two frames."""
    return (other[1] - one[1]) / (other[0] - one[0])


def _is_nearer(
    one: tuple[int, int], other: tuple[int, int], near: tuple[int, int], far: tuple[int, int]
) -> bool:
    """Whether the pace from `one` on is at least as near as that of `other` to what follows."""
    usual = _pace(near, far)
    return abs(_pace(one, near) - usual) <= abs(_pace(other, near) - usual)


def _fits(count: int, room: int, step: int) -> bool:
    """Whether some frames can have been shown in a stretch of time; one always can."""
    return count == 1 or 2 * room >= (count + 1) * step


def _back(kept: list[tuple[int, int]], index: int, time: int, step: int, most: int) -> int:
    """How many of the times kept last are odd if `time` is not; 0 if not, or more than `most`."""
    count = 0
    while count < len(kept) and kept[-1 - count][1] >= time:
        count += 1
        if count > most:
            return 0
    if count == len(kept):
        return count if count <= _FEW and count < index + 1 else 0
    frames = index - kept[-1 - count][0] - 1
    return count if _fits(frames, time - kept[-1 - count][1], step) else 0


def _ahead(times: Sequence[int | None], index: int, shift: int, last: int, step: int) -> int:
    """How many frames from `index` on are odd if the one before is not; 0 if they cannot be."""
    for place in range(index + 1, min(index + _AHEAD, len(times))):
        own = times[place]
        if own is not None and own + shift > last:
            count = place - index
            if _fits(count, own + shift - last, step):
                return count
            # Times that repeat or go up and down are no clock that began anew.
            return count if count <= _FEW and descents(times[index : place + 1]) else 0
    return 0


def _is_better(
    times: Sequence[int | None],
    index: int,
    shift: int,
    kept: list[tuple[int, int]],
    ahead: int,
    back: int,
) -> bool:
    """Whether the frames ahead are the odd ones, and not those before."""
    if ahead == back == len(kept) == 1 and index + 2 < len(times):
        # The first frame or the second: the one that is less like those behind them.
        (n, near), (m, far) = ((i, times[i]) for i in (index + 1, index + 2))
        own = times[index]
        if own is not None and near is not None and far is not None and far > near:
            one, other = (kept[0], (index, own + shift))
            return _is_nearer(one, other, (n, near + shift), (m, far + shift))
    if ahead != back or back == len(kept):
        return ahead <= back
    # As many: those whose moving leaves the distances more even.
    before, after, here = kept[-1 - back], times[index + ahead], times[index]
    assert after is not None and here is not None
    ends = [(before[0], before[1]), (index + ahead, after + shift)]
    moved_ahead = _unevenness([*ends[:1], *kept[-back:], *ends[1:]])
    moved_back = _unevenness([ends[0], (index, here + shift), ends[1]])
    return moved_ahead <= moved_back


def _unevenness(points: list[tuple[int, int]]) -> float:
    """Sum of the squares of the distances of frames, those in between put evenly."""
    return sum((t - s) ** 2 / (j - i) for (i, s), (j, t) in pairwise(points))


def _fill(times: Sequence[int | None], kept: dict[int, int], step: int) -> tuple[list[int], int]:
    numbers = list(kept)
    finer = 1
    for a, b in pairwise(numbers):
        finer = max(finer, -((a - b) // (kept[b] - kept[a])))
    found = [0] * len(times)
    for number, time in kept.items():
        found[number] = time * finer
    for a, b in pairwise(numbers):
        if b - a > 1:
            found[a + 1 : b] = _between(times[a + 1 : b], found[a], found[b])
    first, last = numbers[0], numbers[-1]
    begin, end = (_usual(kept, numbers[:2], step), _usual(kept, numbers[-2:], step))
    for number in range(first - 1, -1, -1):
        found[number] = found[number + 1] - _own(times, number, begin) * finer
    for number in range(last + 1, len(times)):
        found[number] = found[number - 1] + _own(times, number - 1, end) * finer
    return found, finer


def _usual(kept: dict[int, int], pair: list[int], step: int) -> int:
    """The distance of frames between two that are kept; the usual one where there was a break."""
    near = (kept[pair[-1]] - kept[pair[0]]) // (pair[-1] - pair[0]) if len(pair) > 1 else step
    return near if 0 < near <= 10 * step else step


def _own(times: Sequence[int | None], number: int, step: int) -> int:
    """The distance of a frame and the next as it is stored, if it can be one."""
    a, b = times[number], times[number + 1]
    return b - a if a is not None and b is not None and 0 < b - a <= 10 * step else step


def _between(own: Sequence[int | None], begin: int, end: int) -> list[int]:
    """Times between two others: with the distances that are stored if they are any, else even."""
    count, room = len(own), end - begin
    edge = room // (count + 1)
    known = [t for t in own if t is not None]
    if count > 1 and len(known) == count and descents(known) == 0 and edge:
        span = known[-1] - known[0]
        scaled = [begin + edge + (t - known[0]) * (room - 2 * edge) // span for t in known]
        if descents([begin, *scaled, end]) == 0:
            return scaled
    return [begin + room * (n + 1) // (count + 1) for n in range(count)]
