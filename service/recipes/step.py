"""What a step is: its entry in the table of allowed steps, and one use of it in a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeAlias

from service.recipes.grammar import refuse
from service.recipes.image_type import ALL_DTYPES, ImageType
from service.recipes.kind import Kind, Plain, render

if TYPE_CHECKING:
    from torch import Tensor

    from service.encoding.batch import Applied

Arguments: TypeAlias = Mapping[str, Any]
Params: TypeAlias = Mapping[str, Any]


class Transform(Protocol):
    """What is used of `torchvision.transforms.v2.Transform`."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draws the parameters for a list of one image."""

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:
        """Applies the step with drawn parameters."""


class Operation(Protocol):
    """A step ready to run on one image at a time. It draws from torch's global generator."""

    def __call__(self, image: Tensor) -> tuple[Tensor, Applied]:
        """Applies the step.

        Args:
            image: [C, H, W]; never written to, but the result may share its memory.

        Returns:
            the new image, and what was done.

        Raises:
            StepFailed: the step cannot be applied to this image.
        """


class Required:
    """Stands for the default of a parameter that has none."""

    def __repr__(self) -> str:
        return "required"


REQUIRED = Required()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a step.

    Attributes:
        name: as in torchvision.
        kind: what it takes.
        default: in canonical form (lists as tuples); REQUIRED where there is none.
    """

    name: str
    kind: Kind
    default: Plain | Required = REQUIRED

    def describe(self) -> dict[str, Any]:
        """Gives the JSON description for `/recipes`."""
        is_required = isinstance(self.default, Required)
        ranges = {"minimum": None, "maximum": None, "choices": None} | self.kind.describe()
        default = None if is_required else _listed(self.default)
        return {"name": self.name, "kind": self.kind.name, "required": is_required, "default": default, **ranges, "allowed": self.kind.allowed}


def keep_type(step: BoundStep, before: ImageType) -> ImageType:  # noqa: ARG001  one of the rules of `StepSpec.yields`
    """Says that a step changes neither dtype nor channels nor size."""
    return before


def fits_all(step: BoundStep, before: ImageType) -> str | None:  # noqa: ARG001  one of the rules of `StepSpec.misfit`
    """Says that nothing more has to hold than dtype and range."""
    return None


def tell_nothing(params: Params) -> dict[str, Any] | None:  # noqa: ARG001  one of the rules of `StepSpec.tell`
    """Says that a step draws nothing worth telling."""
    return {}


@dataclass(frozen=True, slots=True)
class StepSpec:
    """The entry of one step in the table of allowed steps.

    Attributes:
        name: of the class in `torchvision.transforms.v2`.
        make: builds the transform from keyword arguments; None for containers.
        compile: builds the operation of one use.
        summary: one sentence for the reader.
        example: a call that parses.
        parameters: in torchvision's order; required ones first.
        accepts: dtypes that it works on.
        is_random: whether two keys may give two results.
        is_chance: whether it first draws if it does anything at all, with probability `p`.
        needs_unit_range: whether floats have to lie in [0, 1].
        misfit: says why a use does not fit the type of its input, or None.
        yields: the type of its output.
        area: pixels of the largest image it makes from h x w with the drawn parameters; None if that is bounded anyway.
        tell: makes the drawn parameters JSON-ready; None if the drawn parameters mean that nothing is done.
    """

    name: str
    make: Callable[..., Transform] | None
    compile: Callable[[BoundStep], Operation]
    summary: str
    example: str
    parameters: tuple[Parameter, ...] = ()
    accepts: tuple[str, ...] = ALL_DTYPES
    is_random: bool = False
    is_chance: bool = False
    needs_unit_range: bool = False
    misfit: Callable[[BoundStep, ImageType], str | None] = fits_all
    yields: Callable[[BoundStep, ImageType], ImageType] = keep_type
    area: Callable[[Arguments, Params, int, int], int] | None = None
    tell: Callable[[Params], dict[str, Any] | None] = tell_nothing

    @property
    def signature(self) -> str:
        """The call with all defaults: `Name(required, optional=default)`."""
        parts = [each.name if isinstance(each.default, Required) else f"{each.name}={render(each.default)}" for each in self.parameters]
        return f"{self.name}({', '.join(parts)})"

    def describe(self) -> dict[str, Any]:
        """Gives the JSON description for `/recipes`."""
        return {
            "name": self.name,
            "signature": self.signature,
            "doc": self.summary,
            "random": self.is_random,
            "accepts": list(self.accepts),
            "parameters": [each.describe() for each in self.parameters],
            "example": self.example,
        }


@dataclass(frozen=True, slots=True)
class BoundStep:
    """One use of a step in a recipe.

    Attributes:
        spec: the step.
        arguments: every parameter's canonical value, defaults included; without nested steps.
        steps: the nested steps of a container, in order.
        text: canonical text.
        written: the text as written, to quote in errors.
        position: its offset in the recipe as written.
        is_cut: whether what it makes is cut down by a crop before anything else is computed.
    """

    spec: StepSpec
    arguments: Arguments
    steps: tuple[BoundStep, ...]
    text: str
    written: str
    position: int
    is_cut: bool = False

    def infer(self, before: ImageType) -> ImageType:
        """Checks that the step fits where it stands.

        Args:
            before: the type of its input.

        Returns:
            the type of its output.

        Raises:
            InvalidRecipe: it does not fit; says what to do.
        """
        spec = self.spec
        if before.dtype not in spec.accepts:
            advice = f"put {spec.name} before ToTensor()" if before.is_float else f"put ToTensor() before {spec.name}"
            self.refuse(f"{spec.name} works on {' or '.join(spec.accepts)} pixels and gets {before.dtype} here: {advice}")
        if spec.needs_unit_range and before.is_rescaled:
            self.refuse(f"{spec.name} works on uint8 or on floats in [0, 1] and gets rescaled ones here: put it before Normalize, and give ToDtype scale=True")
        reason = spec.misfit(self, before)
        if reason:
            self.refuse(reason)
        return spec.yields(self, before)

    def compile(self) -> Operation:
        """Builds the operation.

        Raises:
            InvalidRecipe: torchvision refuses the arguments.
        """
        return self.spec.compile(self)

    def transform(self) -> Transform:
        """Builds the torchvision transform.

        Raises:
            InvalidRecipe: torchvision refuses the arguments.
        """
        if self.spec.make is None:
            raise TypeError(f"{self.spec.name} is a container")
        try:
            return self.spec.make(**self.arguments)
        except (TypeError, ValueError, Warning) as exc:  # Warnings are exceptions where the process says so.
            self.refuse(f"torchvision refuses this ({exc})")

    def refuse(self, reason: str) -> NoReturn:
        """Raises InvalidRecipe about this use."""
        refuse(reason, self.written, self.position)


def _listed(value: object) -> object:
    return [_listed(each) for each in value] if isinstance(value, tuple) else value
