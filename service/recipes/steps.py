"""The allow-list: every step that a recipe may use."""

from typing import Any

from service.recipes.auto import AUTO
from service.recipes.color import COLOR
from service.recipes.container import CONTAINERS
from service.recipes.degradation import DEGRADATION
from service.recipes.framing import FRAMING
from service.recipes.step import StepSpec
from service.recipes.tail import TAIL
from service.recipes.warp import WARPS

STEPS: dict[str, StepSpec] = {spec.name: spec for spec in (*FRAMING, *WARPS, *COLOR, *DEGRADATION, *AUTO, *CONTAINERS, *TAIL)}
"""By name, in the order in which pages list them."""


def describe_steps() -> list[dict[str, Any]]:
    """Describes every allowed step for `/recipes`: name, signature, one sentence, whether it is random, dtypes, parameters with their ranges, an example."""
    return [spec.describe() for spec in STEPS.values()]
