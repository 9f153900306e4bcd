"""Telling Hugging Face's accelerate that an epoch ends, so that gradient accumulation does not reach into the next. Looks at it only if it is imported."""

import sys
from types import TracebackType
from typing import Any

from service.client.worker_reads import find_worker


class EpochEnd:
    """A context around a pass, in which accelerate sees a data loader; without accelerate it does nothing.

    `accelerate.data_loader.DataLoaderStateMixin` is its own way for this: "a state ... to keep track of the status inside the dataloader such as at the end".
    """

    def __init__(self) -> None:
        self._state: Any = None

    def __enter__(self) -> "EpochEnd":
        module = sys.modules.get("accelerate.data_loader")
        mixin, gradients = getattr(module, "DataLoaderStateMixin", None), getattr(module, "GradientState", None)
        if mixin is not None and gradients is not None and find_worker() is None:
            self._state = type("EpochState", (mixin,), {})()
            self._state.gradient_state = gradients()
            self._state.begin()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._state is not None:
            self._state.end()
            self._state = None

    def announce(self, *, has_repeats: bool) -> None:
        """Say that the batch that comes next is the epoch's last.

        Args:
            has_repeats: whether samples fill it up; accelerate then logs that it leaves dropping them to the consumer.
        """
        if self._state is not None:
            self._state.end_of_dataloader = True
            self._state.remainder = -1 if has_repeats else 0
