"""Kinds of arguments: what a parameter of a step takes, in which range, and the one way of writing it.

A kind turns a literal into its canonical value (`accept`), says in words what it takes (`allowed`), and describes itself for `/recipes`.
"""

import json
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from service.recipes.grammar import Call, Value

Plain: TypeAlias = "bool | int | float | str | tuple[Plain, ...] | None"


class Kind(Protocol):
    """What a parameter takes."""

    @property
    def allowed(self) -> str:
        """In words, to go after "takes"."""

    @property
    def name(self) -> str:
        """One or two words: "integer", "list of numbers"."""

    def accept(self, value: Value) -> Plain:
        """Gives the canonical value.

        Raises:
            ValueError: the value is none of this kind.
        """

    def describe(self) -> dict[str, Any]:
        """Gives the keys `minimum`, `maximum` and `choices` where they apply; JSON-ready."""


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number in a closed range; only odd ones with `odd`."""

    minimum: int
    maximum: int
    odd: bool = False

    @property
    def allowed(self) -> str:
        """In words."""
        return f"an {'odd ' if self.odd else ''}integer from {self.minimum} to {self.maximum}"

    @property
    def name(self) -> str:
        """In a word."""
        return "odd integer" if self.odd else "integer"

    def accept(self, value: Value) -> Plain:
        """Takes integers only; True and 2.0 are none."""
        if not isinstance(value, int) or isinstance(value, bool) or not self.minimum <= value <= self.maximum or (self.odd and value % 2 == 0):
            raise ValueError
        return value

    def describe(self) -> dict[str, Any]:
        """Gives the range."""
        return {"minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a closed range; always a float in canonical text."""

    minimum: float
    maximum: float

    @property
    def allowed(self) -> str:
        """In words."""
        return f"a number from {self.minimum:g} to {self.maximum:g}"

    @property
    def name(self) -> str:
        """In a word."""
        return "number"

    def accept(self, value: Value) -> Plain:
        """Takes integers too; True is no number."""
        if not isinstance(value, int | float) or isinstance(value, bool) or not self.minimum <= value <= self.maximum:
            raise ValueError
        return float(value) + 0.0  # Makes -0.0 and 0.0 one text.

    def describe(self) -> dict[str, Any]:
        """Gives the range."""
        return {"minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few literals, compared with their type: True is not 1. `Choice(None)` takes None alone."""

    options: tuple[bool | int | str | None, ...]

    def __init__(self, *options: bool | int | str | None) -> None:
        object.__setattr__(self, "options", options)

    @property
    def allowed(self) -> str:
        """In words."""
        written = [render(option) for option in self.options]
        return written[0] if len(written) == 1 else f"{', '.join(written[:-1])} or {written[-1]}"

    @property
    def name(self) -> str:
        """In a word."""
        return {bool: "flag", int: "integer", str: "string"}.get(type(self.options[0]), "None")

    def accept(self, value: Value) -> Plain:
        """Takes an equal literal of the same type."""
        for option in self.options:
            if type(value) is type(option) and value == option:
                return option
        raise ValueError

    def describe(self) -> dict[str, Any]:
        """Gives the choices; a flag or None needs none."""
        return {"choices": list(self.options)} if self.name in {"integer", "string"} else {}


@dataclass(frozen=True, slots=True)
class Several:
    """A list (or tuple) of one kind.

    Attributes:
        item: the kind of each element.
        lengths: allowed numbers of elements; empty for 1 to 32.
        rising: whether the elements are a range [low, high], low at most high.
        of: what the elements are, for the reader: "[height, width]".
    """

    item: Kind
    lengths: tuple[int, ...] = ()
    rising: bool = False
    of: str = ""

    @property
    def allowed(self) -> str:
        """In words."""
        count = " or ".join(str(length) for length in self.lengths)
        what = self.of or ("a range [low, high] with low <= high" if self.rising else f"a list of {count}".removesuffix(" of "))
        return f"{what}, each {self.item.allowed}"

    @property
    def name(self) -> str:
        """In a few words."""
        return "range of two numbers" if self.rising else f"list of {self.item.name}s"

    def accept(self, value: Value) -> Plain:
        """Takes lists and tuples, element by element."""
        if not isinstance(value, tuple) or not (len(value) in self.lengths if self.lengths else 1 <= len(value) <= 32):
            raise ValueError
        items = tuple(self.item.accept(each) for each in value)
        if self.rising and items[0] > items[1]:  # type: ignore[operator]  # a range holds numbers
            raise ValueError
        return items

    def describe(self) -> dict[str, Any]:
        """Gives the elements' range."""
        return self.item.describe()


@dataclass(frozen=True, slots=True)
class Either:
    """One of several kinds: the first that accepts."""

    kinds: tuple[Kind, ...]

    def __init__(self, *kinds: Kind) -> None:
        object.__setattr__(self, "kinds", kinds)

    @property
    def allowed(self) -> str:
        """In words."""
        return ", or ".join(kind.allowed for kind in self.kinds)

    @property
    def name(self) -> str:
        """In a few words."""
        return " or ".join(kind.name for kind in self.kinds)

    def accept(self, value: Value) -> Plain:
        """Takes what the first accepting kind makes of it."""
        for kind in self.kinds:
            try:
                return kind.accept(value)
            except ValueError:
                continue
        raise ValueError

    def describe(self) -> dict[str, Any]:
        """Gives the widest range and the choices of all kinds."""
        parts = [kind.describe() for kind in self.kinds]
        merged: dict[str, Any] = {}
        for key, widest in (("minimum", min), ("maximum", max)):
            bounds = [part[key] for part in parts if key in part]
            merged |= {key: widest(bounds)} if bounds else {}
        choices = [choice for part in parts for choice in part.get("choices", [])]
        return merged | ({"choices": choices} if choices else {})


@dataclass(frozen=True, slots=True)
class Square:
    """A size that is one integer for both sides, or a pair; equal pairs are written as one integer."""

    side: Integer
    of: str = "[height, width]"

    @property
    def allowed(self) -> str:
        """In words."""
        return f"{self.side.allowed}, or {self.of} of such"

    @property
    def name(self) -> str:
        """In a few words."""
        return f"{self.side.name} or list of two"

    def accept(self, value: Value) -> Plain:
        """Takes an integer or a pair of integers."""
        if not isinstance(value, tuple):
            return self.side.accept(value)
        pair = Several(self.side, (2,)).accept(value)
        return pair[0] if isinstance(pair, tuple) and pair[0] == pair[1] else pair

    def describe(self) -> dict[str, Any]:
        """Gives the range of a side."""
        return self.side.describe()


@dataclass(frozen=True, slots=True)
class Steps:
    """A list of steps; they are bound by `service.recipes.binding`, not here."""

    @property
    def allowed(self) -> str:
        """In words."""
        return "a list of 1 to 32 steps like [RandomHorizontalFlip(), GaussianBlur(3)]"

    @property
    def name(self) -> str:
        """In a few words."""
        return "list of steps"

    def accept(self, value: Value) -> Plain:  # noqa: ARG002  the protocol's signature
        """Refuses everything: steps are no plain values."""
        raise ValueError

    def describe(self) -> dict[str, Any]:
        """Gives nothing."""
        return {}


def render(value: object) -> str:
    """Writes a canonical value: lists in brackets, strings in double quotes, floats in their shortest form."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(render(each) for each in value)}]"
    return json.dumps(value) if isinstance(value, str) else repr(value)


def calls_of(value: Value) -> tuple[Call, ...]:
    """Gives the calls of a list of steps.

    Raises:
        ValueError: it is no list of 1 or more calls.
    """
    if not isinstance(value, tuple) or not value:
        raise ValueError
    calls = tuple(each for each in value if isinstance(each, Call))
    if len(calls) != len(value):
        raise ValueError
    return calls


def optional(*kinds: Kind) -> Either:
    """Takes None, too."""
    return Either(*kinds, Choice(None))


PROBABILITY = Number(0, 1)
FLAG = Choice(True, False)
