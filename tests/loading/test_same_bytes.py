"""The contract: the same address gives the same bytes, whoever renders it, in whatever order, before and after a worker's death."""

import os
import random
import signal
import threading
import time

import pytest
import torch
from torchvision.transforms import v2

from service.loading.executor import DeviceExecutor
from service.loading.job import Delivery
from tests.loading.conftest import DATASET, RECIPE, OpenLoader, digest, order, position_of, take
from tests.loading.readers import LargeReader, PatternReader

RECIPES = [
    RECIPE,
    "Resize([24, 24]) | ToTensor() | Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
    "RandomResizedCrop(32) | RandomHorizontalFlip() | ToTensor() | Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
    "RandomResizedCrop([50, 31], scale=[0.5, 1.0]) | RandomVerticalFlip(0.3) | RandomHorizontalFlip(0.9)",
    "Resize(40) | CenterCrop(36) | RandomHorizontalFlip() | ToTensor()",
    "Resize(60) | CenterCrop([60, 75]) | RandomVerticalFlip()",  # Where the crop is larger than the image, rows go the plain way.
    "RandomCrop(30) | RandAugment() | GaussianNoise(0.0, 0.05)",
    "RandomRotation(30) | RandomPerspective() | CenterCrop(33)",
    "RandomChoice([GaussianBlur(5), RandomErasing(1.0)]) | RandomCrop([30, 34])",
]


def orders() -> list:
    wanted = [order(step, epoch=epoch, recipe=recipe) for recipe in RECIPES for epoch in (0, 1) for step in (0, 3, 7)]
    reduced = [order(step, max_resolution=45) for step in (0, 3)]
    return [*wanted, *reduced, order(0, dtype="uint8"), order(0, dtype="float16"), order(2, batch_size=3, rank=1, world_size=2), order(1, shuffle=False)]


@pytest.fixture(scope="module")
def expected() -> list[list[torch.Tensor]]:
    """Each batch computed here, with torchvision alone."""
    return [[plain_render(wanted, row) for row in range(len(wanted.plan.indices))] for wanted in orders()]


def plain_render(wanted, row: int) -> torch.Tensor:
    index, key = int(wanted.plan.indices[row]), int(wanted.plan.keys[row])
    pixels = PatternReader().pixels(DATASET.splits["train"].file(index), wanted.address.max_resolution)
    recipe = wanted.recipe.head if wanted.address.dtype == "uint8" else wanted.recipe.text
    torch.manual_seed(key)
    image = torch.from_numpy(pixels).permute(2, 0, 1)
    for step in recipe.split(" | "):
        image = image.to(torch.float32).div(255) if step == "ToTensor()" else eval(f"v2.{step}", {"v2": v2} | vars(v2))(image)
    return image.to(getattr(torch, wanted.address.dtype))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_every_number_of_workers_gives_what_torchvision_gives(open_loader: OpenLoader, expected, workers: int) -> None:
    loader = open_loader(workers=workers)
    for wanted, images in zip(orders(), expected, strict=True):
        assert take(loader, wanted, lambda delivery, images=images: all(map(torch.equal, delivery.batch.images, images))), wanted.key


def test_a_device_executor_gives_the_bytes_of_the_workers(open_loader: OpenLoader, executor: DeviceExecutor, expected) -> None:
    loader = open_loader(executor=executor, workers=2)
    for wanted, images in zip(orders(), expected, strict=True):
        assert take(loader, wanted, lambda delivery, images=images: all(map(torch.equal, delivery.batch.images, images))), wanted.key


@pytest.mark.parametrize("workers", [0, 2])
def test_images_too_large_to_be_held_together_give_the_same(open_loader: OpenLoader, workers: int) -> None:
    """They are drawn for and rendered a few at a time; held in the arena, all at once."""
    bad = DATASET.splits["train"].file(5).path
    few, all_at_once = (open_loader(LargeReader(bad), workers=workers, arena_bytes=arena_bytes) for arena_bytes in (0, 1 << 30))
    for recipe in ("RandomResizedCrop(32) | RandomHorizontalFlip() | ToTensor()", "Resize(60) | CenterCrop([60, 75]) | RandomVerticalFlip()"):
        for step in (position_of(5), (position_of(5) + 1) % 8):
            wanted = order(step, recipe=recipe, on_error="mask")
            take(all_at_once, order(step, recipe=recipe, on_error="mask", epoch=0, dtype="uint8"))
            expected = take(all_at_once, wanted, lambda delivery: (digest(delivery), delivery.batch.rows))
            assert take(few, wanted, lambda delivery: (digest(delivery), delivery.batch.rows)) == expected
            assert sum(row.problem is not None for row in expected[1]) == (step == position_of(5))


@pytest.mark.parametrize("workers", [0, 2])
def test_order_and_company_do_not_matter(open_loader: OpenLoader, workers: int) -> None:
    alone = [take(open_loader(workers=0), wanted) for wanted in orders()]
    shuffled = list(enumerate(orders()))
    random.Random(1).shuffle(shuffled)
    loader = open_loader(workers=workers)
    tickets = [(position, loader.submit(wanted)) for position, wanted in shuffled]
    together = {position: digest(ticket.future.result(60)) for position, ticket in tickets}
    for _, ticket in tickets:
        loader.release(ticket)
    assert [together[position] for position in range(len(alone))] == alone


def test_a_loader_that_opens_draws_nothing_from_the_global_generator(open_loader: OpenLoader) -> None:
    """Else it would disturb what another one renders in the same process."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for workers in (0, 1):
        loader = open_loader(workers=workers)
        while not loader.is_complete:
            time.sleep(0.01)
    assert torch.get_rng_state().equal(before)


def test_warm_and_cold_are_equal(open_loader: OpenLoader) -> None:
    loader = open_loader(workers=1)
    cold = take(loader, order(3))
    warm = take(loader, order(3), lambda delivery: (delivery.is_reused, delivery.render_seconds))
    assert warm == (True, 0.0)
    assert take(loader, order(3)) == cold
    assert loader.report()["rendered"] == 1


def test_kills_under_eight_clients_change_nothing(open_loader: OpenLoader) -> None:
    """Workers are killed while they render: every request is answered, with the bytes of a quiet run."""
    wanted = [order(step, epoch=epoch) for epoch in range(6) for step in range(8)]
    quiet = open_loader(workers=0)
    calm = [take(quiet, each) for each in wanted]
    loader = open_loader(workers=2)
    answers: dict[int, object] = {}

    def client(number: int) -> None:
        for position in range(number, len(wanted), 8):
            answers[position] = take(loader, wanted[position])

    clients = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in clients:
        thread.start()
    for _ in range(3):
        _kill_one_that_renders(loader)
    for thread in clients:
        thread.join(60)
    assert [answers[position] for position in range(len(wanted))] == calm
    assert loader.report()["restarts"] >= 1
    assert len(loader.report()["pids"]) == 2


def _kill_one_that_renders(loader) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        report = loader.report()
        if report["rendering"] and report["pids"]:
            os.kill(report["pids"][0], signal.SIGKILL)
            time.sleep(0.15)
            return
        time.sleep(0.001)


def test_delivery_tells_the_device(open_loader: OpenLoader, executor: DeviceExecutor) -> None:
    def kind(delivery: Delivery) -> str:
        return delivery.device_kind

    assert take(open_loader(workers=0), order(), kind) == "cpu"
    assert take(open_loader(workers=0, executor=executor), order(), kind) == "cuda"
