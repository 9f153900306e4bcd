"""From syntax to steps: names looked up, arguments bound to signatures, everything written in its one canonical way."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from service.recipes.grammar import refuse, shorten
from service.recipes.kind import Steps, calls_of, render
from service.recipes.step import BoundStep, Parameter, Required, StepSpec
from service.recipes.steps import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from service.recipes.grammar import Argument, Call
    from service.recipes.kind import Plain

_SEQUENCES = {"Compose", "RandomApply"}  # They run their steps in order, so that a Compose inside them is the same as its steps.


def bind_all(calls: Iterable[Call]) -> tuple[BoundStep, ...]:
    """Binds a sequence of calls; the steps of a `Compose` among them take its place.

    Raises:
        InvalidRecipe: an unknown step, or arguments that it does not take.
    """
    steps: list[BoundStep] = []
    for call in calls:
        step = bind(call)
        steps.extend(step.steps if step.spec.name == "Compose" else [step])
    return tuple(steps)


def bind(call: Call) -> BoundStep:
    """Binds one call to the signature of its step.

    Raises:
        InvalidRecipe: the step is unknown, or does not take these arguments.
    """
    spec = STEPS.get(call.name)
    if spec is None:
        close = get_close_matches(call.name, STEPS, n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else "."
        reason = f"There is no step {shorten(call.name)}{hint} Known are {', '.join(STEPS)}"
        refuse(reason, call.text, call.position, known=list(STEPS), close=close)
    given = _assign(call, spec)
    arguments: dict[str, Plain] = {}
    steps: tuple[BoundStep, ...] = ()
    for parameter in spec.parameters:
        argument = given.get(parameter.name)
        if isinstance(parameter.kind, Steps):
            steps = _nested(spec, argument, call)
        elif argument is not None:
            arguments[parameter.name] = _accept(spec, parameter, argument)
        elif not isinstance(parameter.default, Required):
            arguments[parameter.name] = parameter.default
        else:
            refuse(f"{spec.name} needs {parameter.name}: write {spec.signature}", call.text, call.position)
    return BoundStep(spec, arguments, steps, _write(spec, arguments, steps), call.text, call.position)


def _assign(call: Call, spec: StepSpec) -> dict[str, Argument]:
    """Finds the parameter of each argument."""
    names = [parameter.name for parameter in spec.parameters]
    if len(call.arguments) > len(names):
        extra = call.arguments[len(names)]
        refuse(f"{spec.name} takes at most {len(names)} argument(s): {spec.signature}", extra.text, extra.position)
    given = dict(zip(names, call.arguments, strict=False))
    for name, argument in call.keywords:
        if name not in names:
            refuse(f"{spec.name} has no argument {name}: write {spec.signature}", argument.text, argument.position)
        if name in given:
            refuse(f"{spec.name} got {name} twice: write {spec.signature}", argument.text, argument.position)
        given[name] = argument
    return given


def _accept(spec: StepSpec, parameter: Parameter, argument: Argument) -> Plain:
    try:
        return parameter.kind.accept(argument.value)
    except ValueError:
        refuse(f"{spec.name} takes for {parameter.name} {parameter.kind.allowed}; not this", argument.text, argument.position)


def _nested(spec: StepSpec, argument: Argument | None, call: Call) -> tuple[BoundStep, ...]:
    try:
        calls = calls_of(argument.value if argument else ())
    except ValueError:
        text, position = (argument.text, argument.position) if argument else (call.text, call.position)
        refuse(f"{spec.name} takes {Steps().allowed}; not this", text, position)
    return bind_all(calls) if spec.name in _SEQUENCES else tuple(bind(each) for each in calls)


def _write(spec: StepSpec, arguments: dict[str, Plain], steps: tuple[BoundStep, ...]) -> str:
    """Writes the canonical text: required arguments by position, others by name where they differ from their defaults."""
    parts = []
    for parameter in spec.parameters:
        if isinstance(parameter.kind, Steps):
            parts.append(f"[{', '.join(each.text for each in steps)}]")
        elif isinstance(parameter.default, Required):
            parts.append(render(arguments[parameter.name]))
        elif arguments[parameter.name] != parameter.default:
            parts.append(f"{parameter.name}={render(arguments[parameter.name])}")
    return f"{spec.name}({', '.join(parts)})"
