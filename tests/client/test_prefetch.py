"""Fetching ahead: order, depth, and nothing left behind."""

import gc
import threading
from collections.abc import Callable

import pytest

from service.client.prefetch import fetch_ahead


class Source:
    """Values that are fetched when a test says so; at once without a gate."""

    def __init__(self, *, is_gated: bool = False) -> None:
        self.started: list[int] = []
        self.changed = threading.Condition()
        self.allowed: set[int] = set()
        self.is_open = not is_gated
        self.aborts = 0

    def fetch(self, key: int) -> int:
        with self.changed:
            self.started.append(key)
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: self.is_open or key in self.allowed, 10)
        return key * 10

    def allow(self, *keys: int) -> None:
        with self.changed:
            self.allowed.update(keys)
            self.changed.notify_all()

    def abort(self) -> None:
        self.aborts += 1
        with self.changed:
            self.is_open = True
            self.changed.notify_all()

    def wait(self, is_true: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(is_true, 10)


def test_results_come_in_order_whichever_is_ready_first() -> None:
    source = Source(is_gated=True)
    values = fetch_ahead(source.fetch, range(4), 4, source.abort)
    reader = threading.Thread(target=lambda: found.extend(values))
    found: list[int] = []
    reader.start()
    source.wait(lambda: len(source.started) == 4)
    source.allow(3, 2, 1)
    source.allow(0)
    reader.join(10)
    assert found == [0, 10, 20, 30]
    assert source.aborts == 0


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_it_is_ahead_by_its_depth_and_no_more(depth: int) -> None:
    source = Source()
    values = fetch_ahead(source.fetch, range(20), depth, source.abort)
    for position in range(10):
        assert next(values) == position * 10
        source.wait(lambda position=position: len(source.started) == position + 1 + depth)
    values.close()
    assert len(source.started) == 10 + depth


def test_nothing_starts_before_it_is_asked() -> None:
    source = Source()
    fetch_ahead(source.fetch, range(3), 2, source.abort).close()
    assert not source.started


def test_an_error_comes_where_its_result_would_stand() -> None:
    source = Source()

    def fetch(key: int) -> int:
        if key == 2:
            raise LookupError(key)
        return source.fetch(key)

    values = fetch_ahead(fetch, range(9), 4, source.abort)
    assert [next(values), next(values)] == [0, 10]
    with pytest.raises(LookupError):
        next(values)
    assert source.aborts == 1


def test_leaving_early_ends_what_is_under_way() -> None:
    source = Source(is_gated=True)
    source.allow(0)
    before = threading.active_count()
    for value in fetch_ahead(source.fetch, range(9), 3, source.abort):
        assert value == 0
        break
    assert source.aborts == 1
    assert threading.active_count() == before


def test_an_interrupted_loop_ends_what_is_under_way() -> None:
    source = Source(is_gated=True)
    source.allow(0)
    before = threading.active_count()

    def loop() -> None:
        for _ in fetch_ahead(source.fetch, range(9), 3, source.abort):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        loop()
    assert caught.value.__traceback__ is not None, "a notebook keeps it, too"
    assert source.aborts == 1
    assert threading.active_count() == before


def test_the_garbage_collector_may_end_it_from_one_of_its_own_threads() -> None:
    """The iterator is part of a cycle, and the collection that finds it runs while a value is fetched."""
    is_dropped = threading.Event()
    ended = threading.Event()

    def fetch(key: int) -> int:
        if key:
            assert is_dropped.wait(10)
            gc.collect()
        return key

    holder: list[object] = []
    values = fetch_ahead(fetch, range(9), 1, ended.set)
    holder += [holder, values]
    assert next(values) == 0
    gc.disable()
    try:
        threads = [each for each in threading.enumerate() if each.name.startswith("batchlens prefetch")]
        del holder, values
        is_dropped.set()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
    finally:
        gc.enable()
    assert ended.is_set()
