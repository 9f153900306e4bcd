import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from service.devices.inventory import Inventory
from service.devices.selection import Selection
from service.errors import UnknownDevice


def test_auto_is_the_first_gpu(pair: Any) -> None:
    assert Selection(pair.inventory).id == "cuda:0"
    assert Selection(pair.inventory, "auto").current == pair.inventory.find("cuda:0")


def test_auto_is_the_cpu_without_a_gpu(machine: Callable[..., Any]) -> None:
    assert Selection(machine().inventory).current.id == "cpu"


def test_auto_here_follows_the_tutorials_rule() -> None:
    inventory = Inventory()
    assert Selection(inventory).id == str(torch.device("cuda:0" if torch.cuda.is_available() else "cpu"))
    inventory.close()


@pytest.mark.parametrize(("wanted", "own"), [("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1")])
def test_a_wanted_device_is_taken(pair: Any, wanted: str, own: str) -> None:
    assert Selection(pair.inventory, wanted).id == own


def test_a_missing_wanted_device_stops_the_start(machine: Callable[..., Any]) -> None:
    with pytest.raises(UnknownDevice, match=r"There is no device 'cuda:0'\. Known: cpu\."):
        Selection(machine().inventory, "cuda:0")


def test_choosing_describes_and_keeps_the_device(pair: Any) -> None:
    selection = Selection(pair.inventory, "cpu")
    assert selection.choose("cuda:1") == pair.inventory.find("cuda:1")
    assert (selection.id, selection.current.index) == ("cuda:1", 1)
    assert selection.choose("cuda").id == selection.id == "cuda:0"
    assert selection.choose("cpu").id == selection.id == "cpu"


def test_choosing_the_current_device_moves_nothing(pair: Any) -> None:
    selection, moves = Selection(pair.inventory, "cuda:0"), []
    for device in ("cuda:0", "cuda", "cuda:1", "cuda:1", "cuda:0"):
        selection.choose(device, moves.append)
    assert moves == ["cuda:1", "cuda:0"]


@pytest.mark.parametrize("name", ["cuda:2", "auto", "gpu", ""])
def test_an_unknown_choice_leaves_the_current_one(pair: Any, name: str) -> None:
    selection = Selection(pair.inventory, "cuda:1")
    with pytest.raises(UnknownDevice, match="Known: cpu, cuda:0, cuda:1"):
        selection.choose(name)
    assert selection.id == "cuda:1"


def test_choosing_makes_no_context(pair: Any) -> None:
    selection = Selection(pair.inventory)
    selection.choose("cuda:1")
    assert pair.cuda.contexts == []  # and set_device, which the stand-in lacks, was not called


def test_the_current_device_is_described_as_it_is_now(pair: Any) -> None:
    selection = Selection(pair.inventory, "cuda:1")
    pair.cuda.gpus[1].temperature = 88
    assert selection.current.temperature_celsius == 88


def test_every_thread_sees_one_of_the_chosen_devices(pair: Any) -> None:
    selection, seen = Selection(pair.inventory, "cpu"), set()

    def choose(name: str) -> None:
        for _ in range(50):
            selection.choose(name)
            seen.add(selection.current.id)

    threads = [threading.Thread(target=choose, args=(name,)) for name in ("cpu", "cuda:0", "cuda:1")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen <= {"cpu", "cuda:0", "cuda:1"}
    assert selection.id in seen


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_choosing_leaves_the_threads_own_cuda_device_alone() -> None:
    inventory = Inventory()
    before = torch.cuda.current_device()
    Selection(inventory, "cpu").choose(f"cuda:{torch.cuda.device_count() - 1}")
    assert torch.cuda.current_device() == before
    inventory.close()
