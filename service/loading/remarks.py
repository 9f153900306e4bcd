"""What libraries say on standard error while a task is rendered, sample by sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from service.loading.stderr_capture import StderrFile, capture_stderr

if TYPE_CHECKING:
    from service.sources.source import File, Header, Pixels, Reader

Remark = tuple[int | None, str]
"""Position of the row in its task, None for no row; and what was said."""


class Remarks:
    """Collects remarks of one task.

    Args:
        stderr: where this worker's standard error goes; None where tasks are rendered in the server itself.
    """

    def __init__(self, stderr: StderrFile | None) -> None:
        self._stderr = stderr
        self._position: int | None = None
        self._found: list[Remark] = []
        self._collect()  # What was said before is about no sample of this task.

    def move(self, position: int) -> None:
        """Go on to another row; what was said until now is about the one before."""
        self._collect()
        self._position = position

    def add(self, text: str) -> None:
        """Take note of what was said about the row at hand."""
        self._found.append((self._position, text))

    def close(self) -> tuple[Remark, ...]:
        """Return all of them."""
        self._collect()
        return tuple(self._found)

    def _collect(self) -> None:
        text = self._stderr.read() if self._stderr is not None else ""
        if text:
            self.add(text)


@dataclass(frozen=True, slots=True)
class CapturingReader:
    """A reader in a process that is no worker: standard error is redirected only while a file is decoded.

    Attributes:
        reader: that reads.
        remarks: are told what was said.
    """

    reader: Reader
    remarks: Remarks

    def pixels(self, file: File, max_resolution: int | None = None) -> Pixels:
        """Decode a sample; see `Reader`."""
        with capture_stderr(self.remarks.add):
            return self.reader.pixels(file, max_resolution)

    def size(self, file: File) -> tuple[int, int]:
        """Return (width, height); see `Reader`."""
        return self.reader.size(file)

    def header(self, file: File) -> Header:
        """Return what the header tells; see `Reader`."""
        return self.reader.header(file)

    def original(self, file: File) -> Path:
        """Return the path of the original; see `Reader`."""
        return self.reader.original(file)
