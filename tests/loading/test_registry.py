"""The registry: when it says that batches can be rendered."""

import os
import signal
from contextlib import suppress
from dataclasses import replace

import pytest
import torch

from service.errors import NotReady
from service.loading.registry import Registry
from tests.loading.conftest import LIMITS, make_dataset
from tests.loading.readers import PatternReader
from tests.waiting import wait_until


class FragileReader(PatternReader):
    """A reader that no worker can get while it is broken."""

    is_broken = False

    def __getstate__(self) -> object:
        if self.is_broken:
            raise RuntimeError("broken")
        return self.__dict__


def is_ready(registry: Registry) -> bool:
    with suppress(NotReady):
        registry.check_ready()
        return True
    return False


def test_a_registry_whose_workers_cannot_be_replaced_is_not_ready_after_a_while() -> None:
    seconds, reader = 0.0, FragileReader()
    registry = Registry(replace(LIMITS, workers=1), "cpu", torch.device, now=lambda: seconds)
    registry.start(make_dataset(reader))
    try:
        wait_until(lambda: is_ready(registry))
        reader.is_broken = True
        os.kill(registry.reports()[0]["pids"][0], signal.SIGKILL)
        wait_until(lambda: not registry.reports()[0]["pids"])
        seconds = 4.0
        registry.check_ready()  # A restart takes less, and requests wait for it.
        seconds = 6.0
        with pytest.raises(NotReady, match="keep dying"):
            registry.check_ready()
        reader.is_broken = False
        wait_until(lambda: is_ready(registry))
    finally:
        registry.close()


def test_a_registry_that_renders_in_the_process_itself_is_ready_soon() -> None:
    registry = Registry(replace(LIMITS, workers=0), "cpu", torch.device)
    registry.start(make_dataset(PatternReader()))
    try:
        wait_until(lambda: is_ready(registry))
    finally:
        registry.close()
