"""`python -m tests.reliability.planted serve ...`: the service as it is, with steps among those allowed that misbehave when they see a black image.

Worker processes import the main module of the process that starts them, this one, so they know the steps, too.
"""

import os
import signal
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from torch import Tensor
from torchvision.transforms import v2

from service.cli import main
from service.encoding.batch import Applied
from service.recipes.kind import Number
from service.recipes.step import BoundStep, Operation, Parameter, StepSpec
from service.recipes.steps import STEPS

_CHUNK_BYTES = 1 << 28


def _die(step: BoundStep, image: Tensor) -> None:
    if not image.any():
        os.kill(os.getpid(), signal.SIGKILL)


def _devour(step: BoundStep, image: Tensor) -> None:
    hoard = []
    while not image.any():
        hoard.append(np.empty(_CHUNK_BYTES, dtype=np.uint8))  # Asked for, never touched: the process meets its own limit, not the machine's.


def _stall(step: BoundStep, image: Tensor) -> None:
    while not image.any():
        time.sleep(60)


def _dawdle(step: BoundStep, image: Tensor) -> None:
    time.sleep(step.arguments["seconds"])


def _compile(act: Callable[[BoundStep, Tensor], None], step: BoundStep) -> Operation:
    def run(image: Tensor) -> tuple[Tensor, Applied]:
        act(step, image)
        return image, Applied(step.spec.name)

    return run


def _plant(name: str, act: Callable[[BoundStep, Tensor], None], *parameters: Parameter) -> None:
    STEPS[name] = StepSpec(name, v2.Identity, compile=partial(_compile, act), summary="Misbehaves.", example=f"{name}()", parameters=parameters)


_plant("Die", _die)
_plant("Devour", _devour)
_plant("Stall", _stall)
_plant("Dawdle", _dawdle, Parameter("seconds", Number(0, 1000), 1.0))

if __name__ == "__main__":
    main()
