"""Random recipes out of the table of steps, in random spellings: one canonical text, and every promise kept."""

import json
from typing import Any

import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from service.errors import InvalidRecipe, StepFailed
from service.recipes.binding import bind_all
from service.recipes.grammar import parse_calls
from service.recipes.kind import Choice, Either, Integer, Kind, Number, Several, Square, render
from service.recipes.recipe import parse_recipe
from service.recipes.step import REQUIRED, StepSpec
from service.recipes.steps import STEPS

LEAVES = [spec for spec in STEPS.values() if spec.make is not None]
CONTAINERS = [spec for spec in STEPS.values() if spec.make is None]


def values(kind: Kind, largest: int) -> st.SearchStrategy[Any]:
    """Values that a kind accepts; integers up to `largest`, lest images grow."""
    match kind:
        case Integer():
            numbers = st.integers(kind.minimum, min(kind.maximum, max(largest, kind.minimum + 1)))
            return numbers.map(lambda value: value - (value % 2 == 0)) if kind.odd else numbers
        case Number():
            return st.floats(kind.minimum, kind.maximum) | st.integers(int(-(-kind.minimum // 1)), int(kind.maximum // 1))
        case Choice():
            return st.sampled_from(kind.options)
        case Several():
            lengths = st.sampled_from(kind.lengths) if kind.lengths else st.integers(1, 4)
            lists = lengths.flatmap(lambda length: st.lists(values(kind.item, largest), min_size=length, max_size=length))
            return (lists.map(sorted) if kind.rising else lists).map(tuple)
        case Either():
            return st.one_of([values(each, largest) for each in kind.kinds])
        case Square():
            return values(kind.side, largest) | st.tuples(values(kind.side, largest), values(kind.side, largest))
    raise TypeError(kind)


def spell(value: Any) -> st.SearchStrategy[str]:
    """Several ways of writing one value."""
    if isinstance(value, tuple):
        items = st.tuples(*[spell(each) for each in value])
        return items.flatmap(
            lambda texts: st.sampled_from([f"[{', '.join(texts)}]", f"({','.join(texts)},)", f"[ {' ,'.join(texts)} ]"]) if texts else st.just("[]")
        )
    if isinstance(value, bool) or value is None:
        return st.just(repr(value))
    if isinstance(value, str):
        return st.sampled_from([f'"{value}"', f"'{value}'"])
    return st.sampled_from([repr(value), f"({value!r})"] + ([f"+{value!r}"] if repr(value)[0] != "-" else []))


@st.composite
def calls(draw: st.DrawFn, largest: int = 64, depth: int = 2) -> tuple[str, str]:
    """Draws one call, twice: with every argument by position, and with a choice of spellings."""
    spec: StepSpec = draw(st.sampled_from(LEAVES + (CONTAINERS if depth else [])))
    positional, spelled = [], []
    may_be_positional = True
    for parameter in spec.parameters:
        if spec.make is None and parameter.name == "transforms":
            nested = draw(st.lists(calls(largest, depth - 1), min_size=1, max_size=3))
            positional.append(f"[{', '.join(first for first, _ in nested)}]")
            spelled.append(f"({', '.join(second for _, second in nested)},)")
            continue
        value = draw(values(parameter.kind, largest))
        positional.append(render(value))
        if parameter.default is not REQUIRED and value == parameter.default and type(value) is type(parameter.default) and draw(st.booleans()):
            may_be_positional = False
            continue
        may_be_positional = may_be_positional and draw(st.booleans())
        spelled.append(f"{'' if may_be_positional else f'{parameter.name} = '}{draw(spell(value))}")
    return f"{spec.name}({', '.join(positional)})", f"{spec.name}( {' , '.join(spelled)} )"


def canonical(text: str) -> str:
    return " | ".join(step.text for step in bind_all(parse_calls(text)))


@given(calls())
@settings(max_examples=200, deadline=None)
def test_every_spelling_has_the_same_canonical_text(spellings: tuple[str, str]):
    plain, spelled = spellings
    assume(max(len(plain), len(spelled)) <= 4096)
    text = canonical(plain)
    assert canonical(spelled) == text
    assume(len(text) <= 4096)
    assert canonical(text) == text


@given(calls())
@settings(max_examples=100, deadline=None)
def test_recipes_are_known_by_their_canonical_text(spellings: tuple[str, str]):
    try:
        first, second = (parse_recipe(each) for each in spellings)
    except InvalidRecipe:
        assume(False)
    assert first == second
    assert hash(first) == hash(second)
    assert parse_recipe(first.text) == first
    assert first != first.text


@given(st.lists(calls(largest=48), min_size=1, max_size=3), st.sampled_from(["", "ToTensor() | "]), st.integers(0, 2**64 - 1))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_recipes_that_parse_keep_their_promises(photo: Tensor, steps: list[tuple[str, str]], start: str, key: int):
    try:
        recipe = parse_recipe(start + " | ".join(first for first, _ in steps))
        result, told = recipe.apply(photo, key)
    except (InvalidRecipe, StepFailed):
        return
    assert str(result.dtype) == f"torch.{recipe.dtype}"
    assert all(claimed in {None, actual} for claimed, actual in zip(recipe.output_shape, result.shape, strict=True))
    assert len(told) == len(recipe._steps)
    json.dumps([each.params for each in told], allow_nan=False)
    again, told_again = recipe.apply(photo, key)
    torch.testing.assert_close(again, result, rtol=0, atol=0, equal_nan=True)
    assert told_again == told
