"""A recipe as Python code: what to write in a training script that has nothing of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.recipes.grammar import Call, parse_calls
from service.recipes.kind import render
from service.recipes.steps import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.recipes.grammar import Value

_MEMBERS = {"interpolation": "InterpolationMode.{}", "policy": "AutoAugmentPolicy.{}"}
"""Parameters that torchvision wants as members of an enumeration, named like the text in capitals."""


def write_code(text: str) -> str:
    """Writes a recipe as a `torchvision.transforms.v2.Compose`.

    The code takes a Pillow image, or a uint8 tensor as `pil_to_tensor` gives it. Its first step makes a tensor of the image, since torchvision's transforms of
    Pillow images round differently. `ToTensor()` becomes `ToDtype(torch.float32, scale=True)`, which multiplies where the classic one divides: floats may
    differ in the last bit.

    Args:
        text: a recipe's canonical text.

    Returns:
        Python code, imports included, that binds `transform`; ends with a line break.
    """
    steps = [_write(call) for call in parse_calls(text)]
    body = "".join(f"    {step},\n" for step in ("v2.ToImage()", *steps))
    code = f"transform = v2.Compose([\n{body}])\n"
    names = [name for name in ("AutoAugmentPolicy", "InterpolationMode") if f"{name}." in code] + ["v2"]
    needs_torch = "import torch\n" if "torch." in code else ""
    return f"{needs_torch}from torchvision.transforms import {', '.join(names)}\n\n{code}"


def _write(call: Call) -> str:
    if call.name == "ToTensor":
        return "v2.ToDtype(torch.float32, scale=True)"
    return f"v2.{call.name}({', '.join(_arguments(call))})"


def _arguments(call: Call) -> Iterator[str]:
    parameters = STEPS[call.name].parameters
    for parameter, argument in zip(parameters, call.arguments, strict=False):
        yield _value(parameter.name, argument.value)
    for name, argument in call.keywords:
        yield f"{name}={_value(name, argument.value)}"


def _value(name: str, value: Value) -> str:
    if isinstance(value, tuple) and value and all(isinstance(each, Call) for each in value):
        return f"[{', '.join(_write(each) for each in value if isinstance(each, Call))}]"
    if isinstance(value, str) and name in _MEMBERS:
        return _MEMBERS[name].format(value.upper().replace("-", "_"))
    return f"torch.{value}" if isinstance(value, str) and name == "dtype" else render(value)
