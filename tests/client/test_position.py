"""Sharing a pass among the workers of a DataLoader."""

import pytest

from service.client.position import Position


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("begun", [0, 1, 4])
@pytest.mark.parametrize("done", [0, 1, 2, 5, 8])
def test_workers_that_go_on_from_where_each_of_them_was_read_every_step_once(workers: int, begun: int, done: int) -> None:
    """`done` batches were taken from the workers in turn before they were interrupted."""
    steps = 13
    shares = [list(Position(0, begun).share(steps, worker, workers)) for worker in range(workers)]
    taken = [shares[number % workers][number // workers] for number in range(min(done, steps - begun))]
    assert taken == list(range(begun, begun + len(taken)))
    left = []
    for worker in range(workers):
        own = [step for step in taken if step in shares[worker]]
        place = Position(0, own[-1] + 1 if own else begun).in_worker() if not own else Position(0, own[-1] + 1, begun)
        left += place.share(steps, worker, workers)
    assert sorted([*taken, *left]) == list(range(begun, steps))


def test_the_end_of_an_epoch_is_the_beginning_of_the_next_but_for_a_worker() -> None:
    assert Position(2, 7).skip_end(7) == Position(3)
    assert Position(2, 6).skip_end(7) == Position(2, 6)
    assert Position(2, 7, 0).skip_end(7) == Position(2, 7, 0)
