"""Named recipes: the tutorial's two, and those of the settings."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from service.errors import InvalidRecipe, InvalidSettings
from service.recipes.recipe import Recipe, parse_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

_IMAGENET = "Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])"
_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)

PRESETS: Mapping[str, str] = MappingProxyType(
    {
        "train": f"RandomResizedCrop(224) | RandomHorizontalFlip() | ToTensor() | {_IMAGENET}",
        "val": f"Resize(256) | CenterCrop(224) | ToTensor() | {_IMAGENET}",
    }
)
"""The recipes of PyTorch's transfer-learning tutorial."""


def named_recipes(configured: Mapping[str, str]) -> dict[str, str]:
    """Lays the settings' recipes over the presets and checks them all; for use at start-up.

    Args:
        configured: name -> text.

    Returns:
        name -> canonical text.

    Raises:
        InvalidSettings: a name is no name, or a text does not parse; names it and says why.
    """
    checked = {}
    for name, text in {**PRESETS, **configured}.items():
        if not _NAME.fullmatch(name):
            raise InvalidSettings(f"Bad settings: recipes: {name!r} is no name for a recipe; names are letters, digits and _ . - after a first letter.")
        try:
            checked[name] = parse_recipe(text).text
        except InvalidRecipe as exc:
            raise InvalidSettings(f"Bad settings: recipes.{name}: {exc.detail}", **exc.facts) from exc
    return checked


def choose_recipe(asked: str | None, configured: str | None, split: str, named: Mapping[str, str]) -> Recipe:
    """Gives the recipe asked for, else the one set for the split, else the one that is called like the split, else `val`.

    Args:
        asked: a name or text, or None.
        configured: likewise, from the settings.
        split: its name.
        named: name -> text.

    Raises:
        InvalidRecipe: see `resolve_recipe`.
    """
    return resolve_recipe(asked or configured or (split if split in named else "val"), named)


def resolve_recipe(name_or_text: str, named: Mapping[str, str]) -> Recipe:
    """Gives the recipe of a name or a text.

    Args:
        name_or_text: a name, or text with at least one call.
        named: name -> text.

    Raises:
        InvalidRecipe: no recipe has this name, listing those that are; or the text does not parse.
    """
    word = name_or_text.strip()
    if word in named:
        return parse_recipe(named[word])
    if _NAME.fullmatch(word):
        raise InvalidRecipe(
            f"There is no recipe named {word[:60]!r}. Known: {', '.join(named) or 'none'}. A recipe's text has calls, for instance {PRESETS['val']}.",
            culprit=word[:60],
            position=name_or_text.index(word),
            known=list(named),
        )
    return parse_recipe(name_or_text)
