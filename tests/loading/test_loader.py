"""What a loader promises besides bytes: sharing, bounds, blame, and leaving nothing behind."""

import asyncio
import errno
import gc
import itertools
import multiprocessing
import os
import signal
import threading
import weakref
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from service.encoding.safetensors import encode_safetensors
from service.encoding.tensors import name_arrays
from service.errors import BatchTooLarge, DeadlineExceeded, NoSlot, QueueFull, RenderCrashed, RenderFailed, ShuttingDown, StepFailed, UnreadableImage
from service.loading.executor import DeviceExecutor
from service.loading.loader import Loader
from service.loading.order import Order
from service.loading.slab import SharedMemory
from service.loading.worker_process import WorkerProcess
from tests.loading.conftest import DATASET, OpenLoader, digest, make_dataset, order, position_of, take
from tests.loading.readers import DeadlyReader, FaultyReader, GatedReader, PatternReader, UnreadableReader
from tests.waiting import wait_until

FILE_5 = DATASET.splits["train"].file(5).path


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def hold(open_loader: OpenLoader, gate: Path, **limits: object) -> Loader:
    """Opens a loader whose one worker is busy until the gate opens."""
    loader = open_loader(GatedReader(gate), **{"workers": 1, **limits})
    wait_until(lambda: loader.is_complete)  # Else a short deadline may pass before the worker is there.
    loader.submit(order(7, epoch=99))
    wait_until(gate.with_name("started").exists)
    return loader


def take_in_the_end(loader: Loader, wanted: Order) -> None:
    """Asks again where a short deadline has passed: this machine may have other things to do."""

    def is_taken() -> bool:
        with suppress(DeadlineExceeded):
            return bool(take(loader, wanted))
        return False

    wait_until(is_taken)


def test_two_requests_for_one_batch_share_one_rendering(open_loader: OpenLoader, gate: Path) -> None:
    loader = hold(open_loader, gate)
    first, second = loader.submit(order(1)), loader.submit(order(1))
    gate.touch()
    assert digest(first.future.result(60)) == digest(second.future.result(60))
    assert (first.is_reused, second.is_reused) == (False, True)
    report = loader.report()
    assert (report["rendered"], report["reused"], report["served"]) == (2, 1, 3)


def test_a_full_queue_refuses_and_what_was_accepted_is_answered(open_loader: OpenLoader, gate: Path) -> None:
    loader = hold(open_loader, gate, queue_length=2)
    accepted = [loader.submit(order(step)) for step in range(3)]  # one at hand for the worker, two in the queue
    with pytest.raises(QueueFull, match="The queue of patterns/train is full: 2 batches waiting"):
        loader.submit(order(3))
    assert loader.report()["refused"] == 1
    gate.touch()
    assert len({digest(ticket.future.result(60)) for ticket in accepted}) == 3


def test_work_that_nobody_waits_for_is_dropped(open_loader: OpenLoader, gate: Path) -> None:
    loader = hold(open_loader, gate)
    tickets = [loader.submit(order(step)) for step in range(5)]
    shared = loader.submit(order(4))
    for ticket in tickets[1:]:
        loader.release(ticket)
    assert loader.report()["queued"] == 1, "only the shared batch still waits"
    gate.touch()
    assert shared.future.result(60).batch.rows
    wait_until(lambda: loader.report()["rendering"] == 0)
    assert loader.report()["rendered"] == 3


def test_a_sample_that_kills_its_worker_fails_alone(open_loader: OpenLoader) -> None:
    loader = open_loader(DeadlyReader(FILE_5), workers=2)
    deadly = position_of(5)
    tickets = [loader.submit(order(step)) for step in range(8)]
    for step, ticket in enumerate(tickets):
        if step == deadly:
            with pytest.raises(RenderCrashed, match=f"sample 5 .{FILE_5}. has ended its worker process again and again") as caught:
                ticket.future.result(60)
            assert caught.value.facts == {"sample": 5, "file": FILE_5}
        else:
            assert len(ticket.future.result(60).batch.rows) in {4, 8}
    assert loader.report()["restarts"] == 2
    with pytest.raises(RenderCrashed):
        loader.submit(order(deadly))
    assert loader.report()["restarts"] == 2, "a known killer ends no third worker"


def test_a_late_worker_is_not_blamed_on_its_sample(open_loader: OpenLoader, gate: Path) -> None:
    """A stalled disk ends workers at the deadline, twice; once it is well again, so is the batch."""
    loader = open_loader(GatedReader(gate), workers=1, deadline_seconds=2.0)
    for _ in range(2):
        before = loader.report()["restarts"]
        ticket = loader.submit(order(0))
        with pytest.raises(DeadlineExceeded):
            ticket.future.result(60)
        wait_until(lambda before=before: loader.report()["restarts"] > before)
        loader.release(ticket)
    gate.touch()
    wait_until(lambda: loader.is_complete)
    take_in_the_end(loader, order(0))


def test_workers_that_die_at_once_still_meet_the_deadline_and_closing_ends_them(open_loader: OpenLoader) -> None:
    loader = open_loader(PatternReader(), workers=1, deadline_seconds=3.0)
    stopped = threading.Event()

    def kill_all() -> None:
        while not stopped.wait(0.01):
            for pid in loader.report()["pids"]:
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_all)
    killer.start()
    try:
        wait_until(lambda: loader.report()["restarts"] >= 4)
        with pytest.raises((DeadlineExceeded, RenderCrashed)):
            loader.submit(order(0)).future.result(30)
        loader.close()
    finally:
        stopped.set()
        killer.join()


def test_closing_a_loader_that_is_just_starting_leaves_nothing(open_loader: OpenLoader) -> None:
    before = {thread.name for thread in threading.enumerate()}
    for _ in range(3):
        open_loader(workers=2).close()
    wait_until(lambda: {thread.name for thread in threading.enumerate()} <= before)


def test_a_hanging_worker_is_replaced_at_the_deadline(open_loader: OpenLoader, gate: Path) -> None:
    loader = hold(open_loader, gate, deadline_seconds=4.0)
    ticket = loader.submit(order(1))
    with pytest.raises(DeadlineExceeded, match="within 4 seconds"):
        ticket.future.result(60)
    loader.release(ticket)
    wait_until(lambda: loader.report()["restarts"] >= 1)
    gate.touch()
    take_in_the_end(loader, order(2))


def test_a_worker_killed_while_rendering_costs_no_request(open_loader: OpenLoader, gate: Path) -> None:
    loader = hold(open_loader, gate)
    ticket = loader.submit(order(1))
    os.kill(loader.report()["pids"][0], signal.SIGKILL)
    gate.touch()
    assert digest(ticket.future.result(60)) == take(open_loader(workers=0), order(1))


def test_an_unreadable_sample_fails_its_batch_and_names_itself(open_loader: OpenLoader) -> None:
    loader = open_loader(UnreadableReader(FILE_5), workers=1)
    with pytest.raises(UnreadableImage, match=rf"Sample 5 \({FILE_5}\): cannot be decoded: on purpose") as caught:
        take(loader, order(position_of(5)))
    assert caught.value.facts == {"sample": 5, "file": FILE_5}
    assert take(loader, order((position_of(5) + 1) % 8))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_fault_of_our_own_fails_its_batch_with_a_traceback_and_nothing_else(open_loader: OpenLoader, workers: int) -> None:
    loader = open_loader(FaultyReader(FILE_5), workers=workers)
    with pytest.raises(RenderFailed, match="ZeroDivisionError: a bug, on purpose"):
        take(loader, order(position_of(5)))
    assert take(loader, order((position_of(5) + 1) % 8))
    assert loader.report()["restarts"] == 0


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("recipe", ["Resize([20, 30]) | ToTensor()", "Resize(20)", "Identity()"])
def test_a_masked_sample_comes_as_zeros_and_is_told(open_loader: OpenLoader, executor, on_device: bool, recipe: str) -> None:
    loader = open_loader(UnreadableReader(FILE_5), workers=1, executor=executor if on_device else None)
    whole = open_loader(workers=0)
    wanted = order(position_of(5), recipe=recipe, on_error="mask")

    def check(delivery) -> None:
        healthy = whole.submit(wanted)
        for row, image, expected in zip(delivery.batch.rows, delivery.batch.images, healthy.future.result(60).batch.images, strict=True):
            if row.index == 5:
                assert (row.problem, row.width, int(image.count_nonzero())) == ("cannot be decoded: on purpose", 0, 0)
            else:
                assert row.problem is None
                assert image.equal(expected)
        whole.release(healthy)

    take(loader, wanted, check)


def test_a_step_that_cannot_be_applied_names_the_sample(open_loader: OpenLoader) -> None:
    with pytest.raises(StepFailed, match=r"Sample \d+ \(train/[ab]/\d+\.png\).*RandomCrop\(500\)"):
        take(open_loader(workers=1), order(recipe="RandomCrop(500)"))


def test_samples_of_unequal_shape_come_one_by_one(open_loader: OpenLoader) -> None:
    def check(delivery) -> None:
        assert delivery.batch.block is None
        for row, image in zip(delivery.batch.rows, delivery.batch.images, strict=True):
            pixels = PatternReader().pixels(DATASET.splits["train"].file(row.index))
            assert image.permute(1, 2, 0).numpy().tolist() == pixels.tolist()
            assert (row.height, row.width) == pixels.shape[:2]

    take(open_loader(workers=1), order(recipe="Identity()"), check)


def test_a_batch_larger_than_the_first_guess_is_rendered_again(open_loader: OpenLoader) -> None:
    loader = open_loader(workers=1, slab_bytes=64 << 20)
    recipe = "Pad(500) | Resize(700)"  # about 1.5 MB a sample, where 1 MiB is guessed
    assert take(loader, order(recipe=recipe)) == take(open_loader(workers=0, slab_bytes=64 << 20), order(recipe=recipe))


def test_a_batch_larger_than_the_slab_is_refused_with_the_figures(open_loader: OpenLoader) -> None:
    with pytest.raises(BatchTooLarge, match="A batch of 8 samples needs 96,336,000 bytes with this recipe; a loader has 8,388,608"):
        take(open_loader(workers=1), order(recipe="Resize([2000, 2007])"))
    with pytest.raises(BatchTooLarge):
        take(open_loader(workers=1, slab_bytes=9 << 20), order(recipe="Pad(1000)"))


def test_a_guess_refuses_nobody(open_loader: OpenLoader) -> None:
    """60 small images of unknown shape are guessed at a megabyte each, more than there is; they fit."""
    loader = open_loader(workers=1, slab_bytes=4 << 20)
    assert take(loader, order(recipe="Identity()", batch_size=60), lambda delivery: len(delivery.batch.rows)) == 60
    with pytest.raises(BatchTooLarge):
        take(loader, order(recipe="Pad(1000)"))
    assert take(loader, order(recipe="Pad(1)", epoch=1))


def test_a_broken_device_fails_its_batches_and_nothing_else(open_loader: OpenLoader) -> None:
    executor = DeviceExecutor(torch.device("cuda:99"))
    loader = open_loader(workers=1, executor=executor)
    for _ in range(3):
        with pytest.raises((RuntimeError, AssertionError)):
            take(loader, order(0))
    report = loader.report()
    assert (report["restarts"], report["rendering"], report["slab"]["used_bytes"]) == (0, 0, 0)
    executor.close()
    with pytest.raises(RuntimeError):
        take(loader, order(1))
    loader.move("cpu", None)
    assert take(loader, order(0))


def test_slow_readers_cannot_hold_all_the_memory(open_loader: OpenLoader) -> None:
    loader = open_loader(workers=0, slab_bytes=1 << 20)

    async def fetch(epoch: int) -> list[bytes | memoryview]:
        async with loader.fetch(order(0, epoch=epoch)) as delivery:
            return delivery.keep(encode_safetensors(name_arrays(delivery.batch), {}))

    stalled = [asyncio.run(fetch(epoch)) for epoch in range(20)]
    slab = loader._store.slab.memory.array
    copies = [pieces for pieces in stalled if not np.shares_memory(np.asarray(pieces[1]), slab)]
    assert 10 <= len(copies) < 20
    assert len({b"".join(pieces) for pieces in stalled}) == 20


def test_copies_for_slow_readers_are_bounded_too(open_loader: OpenLoader) -> None:
    """Beyond both bounds the batch itself is lent: others wait for memory then, and no process grows."""
    loader = open_loader(workers=0, slab_bytes=1 << 20)
    slab = loader._store.slab.memory.array

    async def fetch(epoch: int) -> list[bytes | memoryview]:
        async with loader.fetch(order(0, epoch=epoch)) as delivery:
            return delivery.keep(encode_safetensors(name_arrays(delivery.batch), {}))

    def stall(epochs: range) -> int:
        stalled.extend(asyncio.run(fetch(epoch)) for epoch in epochs)
        return sum(len(pieces[1]) for pieces in stalled if not np.shares_memory(np.asarray(pieces[1]), slab))

    stalled: list[list[bytes | memoryview]] = []
    assert 0 < stall(range(18)) <= 1 << 20
    stalled.clear()
    assert 0 < stall(range(18, 36)) <= 1 << 20, "what was copied is given back"


def test_old_batches_give_way_but_never_one_that_is_being_read(open_loader: OpenLoader) -> None:
    loader = open_loader(workers=2, slab_bytes=1 << 20)
    held = loader.submit(order(0))
    before = digest(held.future.result(60))
    for epoch in range(1, 30):
        take(loader, order(0, epoch=epoch))
    assert digest(held.future.result(60)) == before
    assert loader.report()["slab"]["used_bytes"] <= 1 << 20
    assert take(loader, order(0, epoch=29), lambda delivery: delivery.is_reused)
    assert not take(loader, order(0, epoch=1), lambda delivery: delivery.is_reused)


def test_memory_held_by_readers_is_waited_for_and_then_refused(open_loader: OpenLoader) -> None:
    loader = open_loader(workers=0, slab_bytes=1 << 20, deadline_seconds=3.0)
    held, refusal = [], None
    for epoch in itertools.count():
        ticket = loader.submit(order(0, epoch=epoch))
        refusal = ticket.future.exception(60)
        if refusal is None:
            held.append(ticket)
            assert len(held) <= 10, "96 KiB each: more than there is"
            continue
        loader.release(ticket)
        if isinstance(refusal, NoSlot):
            break
        assert isinstance(refusal, DeadlineExceeded), "only late: this machine has other things to do"
    assert held
    assert str(refusal).startswith("For 3 seconds there was no memory")
    for ticket in held:
        loader.release(ticket)
    take_in_the_end(loader, order(0, epoch=99))


def test_what_is_sent_keeps_its_slot_until_it_is_gone(open_loader: OpenLoader) -> None:
    """A socket may hold views of a slot after the request has ended."""
    loader = open_loader(workers=0, slab_bytes=1 << 20)

    async def fetch(epoch: int) -> list[bytes | memoryview]:
        async with loader.fetch(order(0, epoch=epoch)) as lease:
            pieces = encode_safetensors(name_arrays(lease.batch), {})
            return lease.keep(pieces)

    kept = asyncio.run(fetch(0))
    before = b"".join(kept)
    for epoch in range(1, 30):
        asyncio.run(fetch(epoch))
    assert b"".join(kept) == before
    assert loader.report()["slab"]["used_bytes"] <= 1 << 20
    kept.clear()
    for epoch in range(30, 60):
        asyncio.run(fetch(epoch))
    assert not take(loader, order(0), lambda delivery: delivery.is_reused), "its slot has been used again"


def test_an_empty_batch_is_a_batch(open_loader: OpenLoader) -> None:
    last = order(3, batch_size=8, rank=1, world_size=2)
    assert len(last.plan.indices) == 6
    nobody = order(59, batch_size=1, rank=0, world_size=1)
    assert len(nobody.plan.indices) == 1
    empty = order(1, batch_size=29, rank=0, world_size=2, dtype="uint8")
    assert take(open_loader(workers=1), empty, lambda delivery: len(delivery.batch.rows)) == 1
    none = order(8, batch_size=1, rank=0, world_size=7)
    assert len(none.plan.indices) == 0
    assert take(open_loader(workers=1), none, lambda delivery: tuple(delivery.batch.tensor().shape)) == (0, 3, 32, 32)


def test_a_move_disturbs_nobody(open_loader: OpenLoader, executor) -> None:
    loader = open_loader(workers=2, slab_bytes=64 << 20)
    quiet = open_loader(workers=0)
    calm = [take(quiet, order(step, epoch=epoch)) for epoch in range(4) for step in range(8)]
    tickets = []
    for epoch in range(4):
        tickets += [loader.submit(order(step, epoch=epoch)) for step in range(8)]
        loader.move(*(("cuda:0", executor) if epoch % 2 == 0 else ("cpu", None)))
    deliveries = [ticket.future.result(60) for ticket in tickets]
    assert [digest(each) for each in deliveries] == calm
    assert [each.device_kind for each in deliveries] == ["cpu"] * 8 + ["cuda"] * 8 + ["cpu"] * 8 + ["cuda"] * 8
    for ticket in tickets:
        loader.release(ticket)
    assert loader.report()["slab"]["device_bytes"] == 0, "a device that is no longer used keeps no batch"


def test_closing_finishes_what_runs_refuses_what_waits_and_ends_every_process(open_loader: OpenLoader, gate: Path) -> None:
    loader = open_loader(GatedReader(gate), workers=1)
    running = loader.submit(order(0))
    wait_until(gate.with_name("started").exists)
    queued = [loader.submit(order(step)) for step in range(1, 5)]
    pids = loader.report()["pids"]
    gate.touch()
    loader.close()
    assert running.future.result(0).batch.rows
    assert isinstance(queued[-1].future.exception(0), ShuttingDown)
    with pytest.raises(ShuttingDown):
        loader.submit(order(0))
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_closed_loader_gives_its_memory_back(open_loader: OpenLoader) -> None:
    before = shared_bytes()
    loader = open_loader(workers=1, slab_bytes=64 << 20)
    take(loader, order(recipe="Resize([1000, 1000])"))
    assert shared_bytes() > before + (20 << 20)
    gc.disable()  # It may not run for hours.
    try:
        loader.close()
        del loader
        open_loader.__closure__[0].cell_contents.clear()  # the fixture holds it, too
        wait_until(lambda: shared_bytes() < before + (1 << 20))
    finally:
        gc.enable()


def shared_bytes() -> int:
    """Counts resident shared memory of this process, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssShmem:")[1].split()[0]) * 1024


def test_samples_that_share_a_dataset_share_labels() -> None:
    dataset = make_dataset(PatternReader())
    rows = order(2).plan.indices.tolist()
    assert [int(dataset.splits["train"].labels[index]) for index in rows] == [index % 2 for index in rows]


def test_what_a_guess_took_too_much_is_given_back(open_loader: OpenLoader) -> None:
    """Samples whose size is not known beforehand: one batch must not hold the whole slab, nor have others wait for it."""
    loader = open_loader(slab_bytes=8 << 20)
    tickets = [loader.submit(order(seed=seed, recipe="CenterCrop(30) | ToTensor()", dtype="uint8")) for seed in range(3)]
    tickets += [loader.submit(order(seed=seed, recipe="ToTensor()")) for seed in range(3)]
    batches = [ticket.future.result(60).batch for ticket in tickets]
    used = sum(sum(image.nbytes for image in batch.images) for batch in batches)
    assert used <= loader.report()["slab"]["used_bytes"] < used + 64 * len(batches)
    assert [digest(ticket.future.result()) for ticket in tickets] == [take(loader, ticket.job.order) for ticket in tickets]


def test_an_idle_worker_that_stands_still_is_replaced(open_loader: OpenLoader) -> None:
    """It holds the lock of the queue that all of them wait at, and has begun nothing that could be overdue."""
    loader = open_loader(workers=2, deadline_seconds=1.0)
    take_in_the_end(loader, order(0))
    wait_until(lambda: loader.is_complete)
    pids, before = loader.report()["pids"], loader.report()["restarts"]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    with pytest.raises(DeadlineExceeded):
        take(loader, order(1))
    wait_until(lambda: loader.report()["restarts"] > before and loader.is_complete)
    take_in_the_end(loader, order(1))
    assert not set(pids) & set(loader.report()["pids"])


def test_what_was_rendered_of_an_older_version_is_forgotten_and_its_listing_too(open_loader: OpenLoader) -> None:
    loader = open_loader()
    old = make_dataset(PatternReader())
    labels = weakref.ref(old.splits["train"].labels)
    take(loader, replace(order(0), dataset=old, split=old.splits["train"]))
    del old
    take(loader, order(0, version="1" * 16))
    gc.collect()
    assert loader.report()["slab"]["kept"] == 1
    assert labels() is None


def test_tasks_that_did_not_get_through_leave_no_thread_when_their_workers_die(open_loader: OpenLoader, gate: Path) -> None:
    loader = hold(open_loader, gate)
    feeder = loader._workshop._crews.crew._tasks._thread
    assert feeder.is_alive()
    (pid,) = loader.report()["pids"]
    loader._workshop._crews.crew.submit(b"x" * (1 << 20))  # As large as the tasks of many workers together: more than a pipe holds.
    gate.touch()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: loader.report()["restarts"] == 1 and loader.is_complete)
    take(loader, order(0))
    wait_until(lambda: not feeder.is_alive())


def test_a_worker_that_cannot_be_watched_ends_its_crew(open_loader: OpenLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its colleagues would go on in memory that is somebody else's by then."""
    seen: list[int] = []

    class Failing(WorkerProcess):
        def __init__(self, process: multiprocessing.process.BaseProcess) -> None:
            seen.append(process.pid or 0)
            if len(seen) == 1:
                raise ProcessLookupError("it has died already")
            super().__init__(process)

    monkeypatch.setattr("service.loading.crew.WorkerProcess", Failing)
    loader = open_loader(workers=2)
    take(loader, order(0))
    assert loader.report()["restarts"] == 1
    assert set(seen[2:]) == set(loader.report()["pids"])
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in seen[:2]))


def test_where_the_arena_has_no_memory_behind_it_batches_come_all_the_same(open_loader: OpenLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    expected = take(open_loader(), order(0))
    monkeypatch.setattr(SharedMemory, "write", fail)
    loader = open_loader(workers=0)
    assert take(loader, order(0)) == expected
    assert loader.report()["arena"]["samples"] == 0
