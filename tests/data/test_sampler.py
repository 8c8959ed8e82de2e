"""Order and keys: exactly once, the same for any number of ranks, resumable, well mixed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitascope.data.sampler import balanced, order, repeated
from vitascope.errors import ConfigError


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**40), st.integers(0, 1000), st.integers(0, 300), st.integers(1, 9))
def test_ranks_share_one_order(seed: int, epoch: int, count: int, world: int) -> None:
    whole = list(order(seed, epoch, count))
    parts = [list(order(seed, epoch, count, rank, world)) for rank in range(world)]
    assert sorted(video for video, _ in whole) == list(range(count))
    assert [parts[i % world][i // world] for i in range(count)] == whole
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert all(key == (seed, epoch, video) for video, key in whole)


def test_order_is_known() -> None:
    # The numbers are part of the promise: a run started today resumes after an upgrade.
    assert [v for v, _ in order(7, 3, 10)] == [8, 0, 9, 6, 2, 1, 7, 4, 3, 5]


def test_without_shuffle() -> None:
    assert list(order(1, 2, 3, shuffle=False)) == [(0, (1, 2, 0)), (1, (1, 2, 1)), (2, (1, 2, 2))]


def test_slices_are_the_rest_of_the_epoch() -> None:
    whole = order(5, 0, 100)
    assert list(whole[40:]) == list(whole)[40:]
    assert whole[40:][3] == whole[43]
    assert whole[0:4] == list(whole)[:4]


def test_epochs_and_seeds_differ_and_positions_are_even() -> None:
    orders = np.array([order(s, e, 20).videos for s in range(20) for e in range(500)])
    assert len(np.unique(orders, axis=0)) == len(orders)
    # Counts of 20 videos over 20 positions: the statistic has mean 20 * 19 and is 20/19 times a
    # chi-square of 19 * 19 degrees of freedom, whose deviation is the root of twice that.
    counts = np.stack([np.bincount(orders[:, i], minlength=20) for i in range(20)])
    deviation = 20 / 19 * (2 * 19 * 19) ** 0.5
    assert abs(((counts - 500) ** 2 / 500).sum() - 380) < 3 * deviation


def test_the_shuffle_is_not_the_stream_of_a_sample() -> None:
    # numpy fills missing words of a seed with zeros, so (seed, epoch) equals (seed, epoch, 0).
    same = np.random.default_rng((3, 4)).integers(2**60)
    assert np.random.default_rng((3, 4, 0)).integers(2**60) == same
    assert not np.array_equal(
        order(3, 4, 50).videos, np.random.default_rng((3, 4, 0)).permutation(50)
    )


@pytest.mark.parametrize(
    "arguments", [(-1, 0, 5), (0, -1, 5), (0, 0, -5), (0, 0, 5, 2, 2), (0, 0, 5, -1, 2)]
)
def test_bad_numbers(arguments: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError):
        order(*arguments)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=60),
    st.integers(0, 100),
    st.integers(0, 200) | st.none(),
    st.integers(1, 4),
)
def test_balanced_classes(labels: list[int], seed: int, count: int | None, world: int) -> None:
    parts = [list(balanced(seed, 2, labels, count, r, world)) for r in range(world)]
    total = len(labels) if count is None else count
    whole = [parts[i % world][i // world] for i in range(total)]
    assert sum(map(len, parts)) == total and len({key for _, key in whole}) == total
    assert whole == list(balanced(seed, 2, labels, count))
    by_class = np.bincount([labels[v] for v, _ in whole], minlength=6)[sorted(set(labels))]
    assert by_class.max() - by_class.min() <= 1
    for label in set(labels):
        times = np.bincount([v for v, _ in whole if labels[v] == label], minlength=len(labels))
        own = times[[i for i, other in enumerate(labels) if other == label]]
        assert own.max() - own.min() <= 1
    for video, key in whole:
        assert key[:3] == (seed, 2, video)


def test_balanced_epochs_show_all_of_a_large_class() -> None:
    labels = [0] * 90 + [1] * 10
    seen: set[int] = set()
    for epoch in range(8):
        seen |= {video for video, _ in balanced(0, epoch, labels)}
    assert seen == set(range(100))


def test_repeats_differ_in_their_keys_only() -> None:
    base = order(3, 1, 5)
    thrice = repeated(base, 3)
    assert [v for v, _ in thrice] == [v for v, _ in base for _ in range(3)]
    assert [key[3] for _, key in thrice] == [0, 1, 2] * 5
    assert len({np.random.default_rng(key).integers(2**62) for _, key in thrice}) == 15
    first = [np.random.default_rng(key).integers(2**62) for _, key in thrice][::3]
    assert first == [np.random.default_rng(key).integers(2**62) for _, key in base]
    assert thrice[-1] == list(thrice)[-1] and list(thrice[4:7]) == list(thrice)[4:7]
    for bad in (lambda: repeated(base, 0), lambda: repeated(thrice, 2), lambda: balanced(0, 0, [])):
        with pytest.raises(ConfigError):
            bad()
    with pytest.raises(IndexError):
        base[5]
