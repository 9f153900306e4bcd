"""The description of the table for `/recipes`."""

import contextlib
import json
from typing import Any

import pytest

from service.recipes.kind import Kind
from service.recipes.steps import STEPS, describe_steps

DESCRIBED = [pytest.param(each, id=each["name"]) for each in describe_steps()]


def test_every_step_is_described_once_and_in_json():
    described = describe_steps()
    assert [each["name"] for each in described] == list(STEPS)
    assert json.loads(json.dumps(described)) == described


def test_a_signature_shows_defaults():
    signatures = {each["name"]: each["signature"] for each in describe_steps()}
    assert signatures["RandomHorizontalFlip"] == "RandomHorizontalFlip(p=0.5)"
    assert signatures["Pad"] == 'Pad(padding, fill=0.0, padding_mode="constant")'
    assert signatures["RandomApply"] == "RandomApply(transforms, p=0.5)"


@pytest.mark.parametrize("described", DESCRIBED)
def test_descriptions_are_complete(described: dict[str, Any]):
    assert described["doc"].endswith(".")
    assert described["accepts"]
    for parameter in described["parameters"]:
        assert {"name", "kind", "required", "default", "minimum", "maximum", "choices", "allowed"} == set(parameter)
        assert parameter["kind"]
        assert parameter["allowed"]
        assert (parameter["minimum"] is None) == (parameter["maximum"] is None)


@pytest.mark.parametrize(
    ("name", "parameter", "facts"),
    [
        ("Resize", "size", {"kind": "integer or list of integers or None", "minimum": 1, "maximum": 2048, "required": True}),
        ("Resize", "interpolation", {"kind": "string", "choices": ["nearest", "nearest-exact", "bilinear", "bicubic"], "default": "bilinear"}),
        ("Resize", "antialias", {"kind": "flag", "choices": None, "default": True}),
        ("CenterCrop", "size", {"kind": "integer or list of two", "minimum": 1}),
        ("GaussianBlur", "kernel_size", {"kind": "odd integer or list of two", "maximum": 63}),
        ("GaussianBlur", "sigma", {"kind": "number or range of two numbers", "default": [0.1, 2.0]}),
        ("Grayscale", "num_output_channels", {"kind": "integer", "choices": [1, 3], "default": 1}),
        ("RandomErasing", "value", {"kind": "number or list of numbers or string", "choices": ["random"], "minimum": -255}),
        ("RandomApply", "transforms", {"kind": "list of steps", "required": True, "minimum": None}),
        ("ColorJitter", "hue", {"minimum": -0.5, "maximum": 0.5, "default": None, "required": False}),
    ],
)
def test_parameters_tell_their_ranges(name: str, parameter: str, facts: dict[str, Any]):
    (described,) = (each for step in describe_steps() if step["name"] == name for each in step["parameters"] if each["name"] == parameter)
    assert facts.items() <= described.items()


@pytest.mark.parametrize("name", list(STEPS))
def test_ranges_end_where_they_say(name: str):
    def accepts(kind: Kind, value: float) -> bool:
        for each in (value, (value,), (value, value)):
            with contextlib.suppress(ValueError):
                kind.accept(each)
                return True
        return False

    for parameter in STEPS[name].parameters:
        described = parameter.describe()
        if described["maximum"] is not None:
            assert all(accepts(parameter.kind, described[bound]) for bound in ("minimum", "maximum"))
            assert not accepts(parameter.kind, described["minimum"] - 1)
            assert not accepts(parameter.kind, described["maximum"] + 1)
