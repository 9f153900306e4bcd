"""A batch as a picture."""

import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG; notebooks show it.

    Attributes:
        title: the address of what it shows.
        data: the file's bytes.
    """

    title: str
    data: bytes = field(repr=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the file."""
        Path(path).write_bytes(self.data)

    def _repr_png_(self) -> bytes:
        """What IPython's rich display asks for."""
        return self.data
