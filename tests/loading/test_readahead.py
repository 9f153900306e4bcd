"""Read-ahead: who walks finds the next batches begun; it costs others nothing, and comes to an end by itself."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import RenderCrashed, ShuttingDown, UnreadableImage
from service.loading.loader import Loader
from service.loading.order import Order
from service.loading.readahead import ReadAhead
from tests.loading.conftest import DATASET, OpenLoader, order, position_of, take
from tests.loading.readers import CountingReader, DeadlyReader, GatedReader, UnreadableReader
from tests.loading.test_arena import free_bytes
from tests.waiting import wait_until

DEPTH = 4
FILE_5 = DATASET.splits["train"].file(5).path
BATCH_BYTES = 8 * 3 * 32 * 32 * 4


def note(ahead: ReadAhead, *orders: Order) -> None:
    for each in orders:
        ahead.note(each)


def coming(ahead: ReadAhead, there: Iterable[Order] = ()) -> list[tuple[int, int]]:
    """Begins all that it wants to have rendered; gives (epoch, step) of each."""
    keys, found = {each.key for each in there}, []
    while (wanted := ahead.next(keys.__contains__)) is not None:
        assert wanted.plan.indices.tolist() == order(wanted.address.step, epoch=wanted.address.epoch).plan.indices.tolist()
        found.append((wanted.address.epoch, wanted.address.step))
        keys.add(wanted.key)
    return found


def test_one_request_is_no_walk_and_two_in_a_row_are() -> None:
    ahead = ReadAhead()
    note(ahead, order(1))
    assert coming(ahead) == []
    note(ahead, order(1))
    assert coming(ahead) == [], "asking again is no step"
    note(ahead, order(2))
    assert coming(ahead) == [(0, 3), (0, 4), (0, 5), (0, 6)]


def test_the_depth_is_counted_from_the_last_request() -> None:
    ahead = ReadAhead()
    note(ahead, order(0), order(1))
    there = [order(step) for step in range(6)]
    assert coming(ahead) == [(0, 2), (0, 3), (0, 4), (0, 5)]
    assert coming(ahead, there) == []
    note(ahead, order(2))
    assert coming(ahead, there) == [(0, 6)]
    note(ahead, order(4))
    assert coming(ahead, there) == [(0, 6), (0, 7), (1, 0)]


def test_the_end_of_an_epoch_leads_to_the_next() -> None:
    ahead = ReadAhead()
    note(ahead, order(5, epoch=2), order(6, epoch=2))
    assert coming(ahead) == [(2, 7), (3, 0), (3, 1), (3, 2)]
    note(ahead, order(7, epoch=2), order(0, epoch=3))
    assert coming(ahead) == [(3, 1), (3, 2), (3, 3), (3, 4)]


def test_what_is_there_is_not_begun() -> None:
    ahead = ReadAhead()
    note(ahead, order(0), order(1))
    assert coming(ahead, [order(2), order(4)]) == [(0, 3), (0, 5)]


@pytest.mark.parametrize("steps", [[0, 1, 2, 3, 4, 5], [1, 0, 3, 2, 5, 4], [3, 0, 2, 1, 5, 4], [0, 2, 1, 3, 5, 4], [5, 4, 3, 2, 0, 1, 6, 5]])
def test_several_requests_at_once_may_come_in_any_order(steps: list[int]) -> None:
    ahead = ReadAhead()
    note(ahead, *(order(step, batch_size=2) for step in steps))
    last = max(steps)
    wanted = ahead.next(lambda key: False)
    assert wanted is not None
    assert wanted.address.step == last + 1


def test_random_access_is_no_walk() -> None:
    ahead = ReadAhead()
    for step in (40, 3, 25, 59, 12, 31, 0, 47):
        note(ahead, order(step, batch_size=1))
        assert ahead.next(lambda key: False) is None
    for epoch in (9, 2, 5, 0, 7):
        note(ahead, order(0, epoch=epoch))
        assert ahead.next(lambda key: False) is None


def test_going_back_is_no_walk_until_it_goes_on() -> None:
    ahead = ReadAhead()
    for step in reversed(range(50)):
        note(ahead, order(step, batch_size=1))
        assert ahead.next(lambda key: False) is None


def test_a_walk_that_begins_anew_is_followed_there() -> None:
    ahead = ReadAhead()
    note(ahead, order(40, batch_size=1), order(41, batch_size=1), order(3, batch_size=1))
    assert ahead.next(lambda key: False) is None
    note(ahead, order(4, batch_size=1))
    wanted = ahead.next(lambda key: False)
    assert wanted is not None
    assert wanted.address.step == 5


def test_walks_take_turns() -> None:
    ahead = ReadAhead()
    note(ahead, order(0), order(1), order(0, seed=1), order(1, seed=1), order(0, rank=1, world_size=2), order(1, rank=1, world_size=2))
    seen: list[Order] = []
    while (wanted := ahead.next(lambda key: key in {each.key for each in seen})) is not None:
        seen.append(wanted)
    walks = [(each.address.seed, each.address.rank) for each in seen]
    assert walks == [(0, 0), (1, 0), (0, 1)] * (len(walks) // 3)
    assert len(set(walks)) == 3
    assert len(walks) >= 3 * 2


def test_a_walk_that_is_left_is_forgotten() -> None:
    ahead = ReadAhead()
    note(ahead, order(0), order(1), order(0, seed=1), order(1, seed=1))
    ahead.leave(order(5))
    assert {ahead.next(lambda key: False).address.seed for _ in range(3)} == {1}
    ahead.leave(order(0, seed=1))
    assert ahead.next(lambda key: False) is None
    ahead.leave(order(0, seed=1))
    note(ahead, order(2))
    assert ahead.next(lambda key: False) is None, "it has to be seen walking again"


def test_views_of_one_sample_are_no_walk() -> None:
    ahead = ReadAhead()
    note(ahead, *(replace(order(step), key=f"views {step}") for step in range(5)))
    assert ahead.next(lambda key: False) is None


def test_the_number_of_walks_is_bounded() -> None:
    ahead = ReadAhead()
    for seed in range(200):
        note(ahead, order(0, seed=seed), order(1, seed=seed))
    assert len({ahead.next(lambda key: False).address.seed for _ in range(300)}) == 64


def is_idle(loader: Loader) -> bool:
    report = loader.report()
    return not report["rendering"] and not report["queued"]


def settle(loader: Loader) -> dict[str, object]:
    """Waits until nothing is under way; gives the report."""
    wait_until(lambda: is_idle(loader))
    return loader.report()


def how(delivery) -> tuple[bool, float]:
    return delivery.is_reused, delivery.render_seconds


def test_in_the_server_itself_nothing_is_rendered_unasked(open_loader: OpenLoader) -> None:
    loader = open_loader(workers=0)
    for step in range(6):
        take(loader, order(step))
    assert settle(loader)["ahead"] == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_who_walks_finds_the_next_batches_rendered(open_loader: OpenLoader, workers: int) -> None:
    loader, plain = open_loader(workers=workers), open_loader(workers=0)
    expected = {step: take(plain, order(step)) for step in reversed(range(8))}
    assert plain.report()["ahead"] == 0
    walked = [take(loader, order(step)) for step in (0, 1)]
    assert settle(loader)["ahead"] == DEPTH
    assert [take(loader, order(step), how) for step in range(2, 6)] == [(False, 0.0)] * DEPTH
    walked += [take(loader, order(step)) for step in range(2, 8)]
    assert walked == list(expected.values())[::-1]
    report = settle(loader)
    assert report["reused"] == 4, "those that were asked for twice"
    assert report["served"] == 2 + 4 + 6
    assert report["rendered"] == 8 + DEPTH
    assert take(loader, order(0, epoch=1), how) == (False, 0.0), "over the end of the epoch"


def test_a_batch_that_is_begun_ahead_is_rendered_once(open_loader: OpenLoader, tmp_path: Path) -> None:
    reader = CountingReader(tmp_path / "reads")
    loader = open_loader(reader, workers=1, arena_bytes=0)
    for step in range(8):
        take(loader, order(step))
    report = settle(loader)
    assert report["reused"] == 0
    assert report["rendered"] == 8 + DEPTH
    assert sorted(reader.reads()[:60]) == sorted(DATASET.splits["train"].file(index).path for index in range(60))


def test_random_access_costs_nothing_more(open_loader: OpenLoader) -> None:
    loader = open_loader(workers=1)
    for epoch in (9, 2, 5, 0, 7):
        take(loader, order(3, epoch=epoch))
    assert (settle(loader)["ahead"], loader.report()["rendered"]) == (0, 5)


def test_read_ahead_takes_a_quarter_of_the_memory_at_most(open_loader: OpenLoader) -> None:
    loader = open_loader(workers=1, slab_bytes=1 << 20)
    for seed in range(3):
        for step in (0, 1):
            take(loader, order(step, seed=seed))
            assert settle(loader)["ahead"] * BATCH_BYTES <= (1 << 20) // 4
    assert loader.report()["ahead"] == 2
    assert take(loader, order(2), how) == (False, 0.0)
    assert settle(loader)["ahead"] == 3, "what is read makes room"


def test_who_waits_comes_first(open_loader: OpenLoader, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    loader = open_loader(GatedReader(gate), workers=1)
    tickets = [loader.submit(order(step)) for step in (0, 1)]
    tickets += [loader.submit(order(0, seed=seed)) for seed in (9, 4, 7)]
    wait_until(gate.with_name("started").exists)
    assert (loader.report()["ahead"], loader.report()["queued"]) == (0, 3)
    gate.touch()
    reports = []
    wait_until(lambda: reports.append(loader.report()) or reports[-1]["ahead"] > 0)
    assert reports[-1]["rendered"] >= len(tickets)
    assert all(ticket.future.done() for ticket in tickets)
    assert settle(loader)["ahead"] == DEPTH


def walk_into_gate(open_loader: OpenLoader, gate: Path, **limits: object) -> tuple[Loader, object]:
    """Opens a loader that has been asked for steps 0 and 1 of a walk and has begun step 2 beside step 1; neither goes on until the gate opens."""
    loader = open_loader(GatedReader(gate), workers=2, **limits)
    gate.touch()
    take(loader, order(0, batch_size=4))
    gate.unlink()
    ticket = loader.submit(order(1, batch_size=4))
    assert (loader.report()["ahead"], loader.report()["rendering"]) == (1, 2)
    return loader, ticket


def test_who_asks_for_what_is_under_way_shares_it(open_loader: OpenLoader, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    loader, ticket = walk_into_gate(open_loader, gate)
    second = loader.submit(order(2, batch_size=4))
    gate.touch()
    assert (ticket.future.result(60).is_reused, second.future.result(60).is_reused) == (False, False)
    report = settle(loader)
    assert (report["served"], report["reused"]) == (3, 0)
    assert report["rendered"] == 2 + report["ahead"]


def test_a_client_that_goes_ends_its_read_ahead(open_loader: OpenLoader, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    loader, ticket = walk_into_gate(open_loader, gate)
    ticket.future.cancel()
    loader.release(ticket)
    gate.touch()
    assert settle(loader)["ahead"] == 1, "only what was begun already"


def test_a_client_that_stays_away_costs_no_more_than_what_was_begun(open_loader: OpenLoader) -> None:
    """Its batches give way to others, and are not rendered again."""
    loader = open_loader(workers=1, slab_bytes=1 << 20)
    for step in (0, 1):
        take(loader, order(step, seed=1))
    begun = settle(loader)["ahead"]
    assert begun == 2
    for epoch in range(30, 0, -1):
        take(loader, order(0, epoch=epoch))
        settle(loader)
    assert loader.report()["ahead"] == begun
    assert not take(loader, order(2, seed=1), lambda delivery: delivery.is_reused)


def test_walks_of_the_past_do_not_keep_a_new_one_from_its_read_ahead(open_loader: OpenLoader) -> None:
    loader = open_loader(workers=1, slab_bytes=1 << 20)
    for seed in range(1, 5):
        for step in (0, 1):
            take(loader, order(step, seed=seed))
    found = []
    for step in range(40):
        settle(loader)
        found.append(take(loader, order(step % 8, epoch=step // 8), how)[1] == 0.0)
    assert all(found[30:])


def test_batches_too_large_to_be_read_ahead_are_not_tried_again_and_again(open_loader: OpenLoader) -> None:
    """Their size is not known beforehand, and more than a quarter of the memory."""
    loader, plain = open_loader(workers=1, slab_bytes=1 << 20), open_loader(workers=0)
    wanted = [order(step, recipe="Resize(100)") for step in range(8)]
    for each in wanted:
        assert take(loader, each) == take(plain, each)
    report = settle(loader)
    assert report["ahead"] <= 3
    assert report["rendered"] == 8


def test_a_batch_that_cannot_be_read_is_no_obstacle(open_loader: OpenLoader) -> None:
    loader, plain, bad = open_loader(UnreadableReader(FILE_5), workers=1), open_loader(workers=0), position_of(5)
    for epoch in range(2):
        for step in range(8):
            if step == position_of(5, epoch=epoch):
                with pytest.raises(UnreadableImage, match="Sample 5"):
                    take(loader, order(step, epoch=epoch))
            else:
                assert take(loader, order(step, epoch=epoch)) == take(plain, order(step, epoch=epoch))
    report = settle(loader)
    assert report["ahead"] <= 2 * 16
    assert report["restarts"] == 0
    with pytest.raises(UnreadableImage):
        take(loader, order(bad))


def test_a_batch_that_kills_workers_is_not_begun_for_ever(open_loader: OpenLoader) -> None:
    loader, plain, deadly = open_loader(DeadlyReader(FILE_5), workers=2), open_loader(workers=0), position_of(5)
    assert deadly >= 2, "it lies ahead of a walk"

    def walk(steps: int) -> int:
        for step in range(steps):
            if step == deadly:
                with pytest.raises(RenderCrashed, match="sample 5"):
                    take(loader, order(step))
            else:
                assert take(loader, order(step)) == take(plain, order(step))
        return settle(loader)["restarts"]

    restarts = walk(8)
    assert 2 <= restarts <= 2 + 2 * DEPTH
    assert walk(8 - DEPTH) == restarts, "a known killer is not begun ahead"


def test_a_move_with_read_ahead_under_way_disturbs_nobody(open_loader: OpenLoader, executor, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    loader, ticket = walk_into_gate(open_loader, gate)
    loader.move("cuda:0", executor)
    gate.touch()
    assert ticket.future.result(60).device_kind == "cpu"
    loader.release(ticket)
    plain = open_loader(workers=0)
    for step in (2, 3, 4):
        assert take(loader, order(step, batch_size=4)) == take(plain, order(step, batch_size=4))
    settle(loader)
    assert take(loader, order(5, batch_size=4), lambda delivery: (delivery.device_kind, *how(delivery))) == ("cuda", False, 0.0)
    loader.move("cpu", None)
    assert settle(loader)["slab"]["device_bytes"] == 0


def test_closing_with_read_ahead_under_way_leaves_nothing(open_loader: OpenLoader, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    loader, ticket = walk_into_gate(open_loader, gate)
    pids = loader.report()["pids"]
    loader.close()
    assert isinstance(ticket.future.exception(0), ShuttingDown)
    wait_until(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()])  # The fork server takes a moment to reap them.
    assert free_bytes(loader._arena._budget) == loader._arena.size_bytes
    assert (loader.report()["rendering"], loader.report()["ahead"]) == (0, 1)
