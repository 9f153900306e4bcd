"""How the folders of a dataset are read: as splits, as classes, or as neither."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from service.settings import Layout
from service.sources.source import printable

SPLIT_CLASS: Layout = "split/class/**"
CLASS: Layout = "class/**"
CLASS_GROUP: Layout = "class/group/**"

_SHOWN = 3
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Reading:
    """How one dataset is read.

    Attributes:
        layout: what its folders are. Files belong to a class at any depth below it; without splits, all of them
            make one split.
        left_out: folders directly in it that are neither splits nor classes.
        notes: sentences for the operator on what was decided, and how to say it otherwise.
    """

    layout: Layout = SPLIT_CLASS
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def has_splits(self) -> bool:
        """Whether the folders of the dataset are splits."""
        return self.layout == SPLIT_CLASS

    @property
    def expected(self) -> str:
        """Where images are expected."""
        return self.layout.replace("**", "file")


DEFAULT = Reading()


def setting(dataset: str, layout: Layout) -> str:
    """Return what to write into the settings, so that a dataset is read in a given way."""
    name = printable(dataset)
    # TOML's basic strings are JSON's.
    key = name if _BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)
    return f'layout = "{layout}" in [datasets.{key}]'


def enumerate_names(names: Sequence[str]) -> str:
    """Return the first names in words, and how many there are besides."""
    shown, more = ", ".join(names[:_SHOWN]), len(names) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
