"""Work that gives the same in one process and in several, and columns that survive a file."""

import os

import numpy as np
import pytest
from costplan.engine import (
    Ragged,
    concat,
    count_batches,
    executor,
    read_batch,
    split_by,
    take,
    usable_cores,
    write_batches,
)
from hypothesis import given, settings
from hypothesis import strategies as st

LISTS = st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=12)


def ragged(lists: list[list[int]]) -> Ragged:
    offsets = np.cumsum([0, *(len(each) for each in lists)]).astype(np.int32)
    return Ragged(offsets, np.array([value for each in lists for value in each], dtype=np.int64))


def unragged(column: Ragged) -> list[list[int]]:
    edges = column.offsets.tolist()
    return [column.values[a:b].tolist() for a, b in zip(edges[:-1], edges[1:], strict=True)]


def square(number: int) -> int:
    return number * number


def fail(number: int) -> int:
    raise ValueError(f"item {number}")


def whose(_: int) -> int:
    return os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_map_keeps_the_order_of_its_items(workers: int):
    seen: list[int] = []
    with executor(workers) as pool:
        assert pool.map(square, list(range(20)), seen.append) == [n * n for n in range(20)]
        assert pool.map(square, []) == []
        pool.close()
        assert pool.map(square, [3, 4]) == [9, 16]
    assert sorted(seen) == list(range(20))


def test_one_worker_is_this_process_and_two_are_others():
    with executor(1) as one, executor(2) as two:
        assert set(one.map(whose, [1, 2])) == {os.getpid()}
        assert os.getpid() not in two.map(whose, [1, 2])


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_an_item_reaches_the_caller(workers: int):
    with executor(workers) as pool, pytest.raises(ValueError, match="item"):
        pool.map(fail, [1, 2, 3])
    assert usable_cores() >= 1


@given(LISTS, st.data())
@settings(deadline=None)
def test_rows_of_list_columns_are_taken_like_any_others(lists: list[list[int]], data: st.DataObject):
    column = ragged(lists)
    index = data.draw(st.lists(st.integers(0, max(0, len(lists) - 1)), max_size=8)) if lists else []
    assert unragged(column.take(np.array(index, dtype=np.int64))) == [lists[i] for i in index]
    mask = np.array([data.draw(st.booleans()) for _ in lists], dtype=np.bool_)
    kept = take({"list": column, "n": np.arange(len(lists))}, mask)
    assert unragged(kept["list"]) == [each for each, keep in zip(lists, mask, strict=True) if keep]
    assert kept["n"].tolist() == np.flatnonzero(mask).tolist()


@given(LISTS, LISTS)
@settings(deadline=None)
def test_columns_are_put_one_below_the_other(above: list[list[int]], below: list[list[int]]):
    parts = [{"list": ragged(lists), "n": np.arange(len(lists))} for lists in (above, below)]
    whole = concat(parts)
    assert unragged(whole["list"]) == above + below
    assert whole["n"].tolist() == [*range(len(above)), *range(len(below))]


@given(LISTS, st.integers(1, 4))
@settings(deadline=None, max_examples=30)
def test_a_file_gives_back_what_each_bucket_was_given(
    tmp_path_factory: pytest.TempPathFactory, lists: list[list[int]], buckets: int
):
    n = len(lists)
    bucket = np.arange(n) * 7 % 5 % buckets
    columns = {
        "list": ragged(lists), "flag": np.arange(n) % 3 == 0, "key": np.arange(n).astype(np.uint64) << np.uint64(60),
        "share": np.arange(n) / 7, "small": np.arange(n).astype(np.int8),
    }  # fmt: skip
    path = tmp_path_factory.mktemp("batches") / "rows.arrow"
    write_batches(path, split_by(bucket.astype(np.int64), buckets, columns))
    assert count_batches(path) == buckets and [p.name for p in path.parent.iterdir()] == ["rows.arrow"]
    for number in range(buckets):
        mine = np.flatnonzero(bucket == number)
        found = read_batch(path, number)
        assert unragged(found["list"]) == [lists[i] for i in mine]
        for name in ("flag", "key", "share", "small"):
            assert found[name].tolist() == columns[name][mine].tolist()
            assert found[name].dtype == columns[name].dtype
    assert list(read_batch(path, 0, ["share"])) == ["share"]
