"""Readers that misbehave on purpose. They live in a module of their own because worker processes import them."""

import os
import signal
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.errors import UnreadableImage
from service.sources.source import File, Header, Pixels, reduce_size


@dataclass(frozen=True)
class PatternReader:
    """Makes an image out of each file's path: no disk, every image different, sizes vary."""

    def pixels(self, file: File, max_resolution: int | None = None) -> Pixels:
        seed = zlib.crc32(file.path.encode())
        noise = np.random.default_rng(seed)
        width, height = reduce_size(tuple(noise.integers(40, 90, 2).tolist()[::-1]), max_resolution)
        return noise.integers(0, 256, (height, width, 3), dtype=np.uint8)

    def size(self, file: File) -> tuple[int, int]:
        height, width, _ = self.pixels(file).shape
        return width, height

    def header(self, file: File) -> Header:
        return Header(*self.size(file), None)

    def original(self, file: File) -> Path:
        raise UnreadableImage("has no file")


@dataclass(frozen=True)
class UnreadableReader(PatternReader):
    """Cannot read one file."""

    bad: str

    def pixels(self, file: File, max_resolution: int | None = None) -> Pixels:
        if file.path == self.bad:
            raise UnreadableImage("cannot be decoded: on purpose")
        return super().pixels(file, max_resolution)


@dataclass(frozen=True)
class DeadlyReader(PatternReader):
    """Ends its process when it reads one file."""

    bad: str

    def pixels(self, file: File, max_resolution: int | None = None) -> Pixels:
        if file.path == self.bad:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().pixels(file, max_resolution)


@dataclass(frozen=True)
class GatedReader(PatternReader):
    """Reads a file only while the gate, a file on disk, exists; notes each start beside it."""

    gate: Path

    def pixels(self, file: File, max_resolution: int | None = None) -> Pixels:
        self.gate.with_name("started").touch()
        while not self.gate.exists():
            time.sleep(0.005)
        return super().pixels(file, max_resolution)


@dataclass(frozen=True)
class FaultyReader(PatternReader):
    """Has a bug: raises what no reader may raise."""

    bad: str

    def pixels(self, file: File, max_resolution: int | None = None) -> Pixels:
        if file.path == self.bad:
            raise ZeroDivisionError("a bug, on purpose")
        return super().pixels(file, max_resolution)


@dataclass(frozen=True)
class CountingReader(PatternReader):
    """Notes every read in a file, whichever process reads."""

    notes: Path

    def pixels(self, file: File, max_resolution: int | None = None) -> Pixels:
        with self.notes.open("a") as notes:
            notes.write(f"{file.path}\n")
        return super().pixels(file, max_resolution)

    def reads(self) -> list[str]:
        """The paths read so far, in order."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []


@dataclass(frozen=True)
class LastGaspReader(CountingReader):
    """Ends its process once, after so many reads of all processes together."""

    after: int

    def pixels(self, file: File, max_resolution: int | None = None) -> Pixels:
        grave = self.notes.with_name("grave")
        if len(self.reads()) >= self.after and not grave.exists():
            grave.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().pixels(file, max_resolution)


@dataclass(frozen=True)
class LargeReader(UnreadableReader):
    """Makes images of several megabytes; cannot read one file."""

    def pixels(self, file: File, max_resolution: int | None = None) -> Pixels:
        return np.tile(super().pixels(file, max_resolution), (20, 20, 1))


@dataclass(frozen=True)
class OddReader(PatternReader):
    """Gives one file's image another size."""

    odd: str
    height: int
    width: int

    def pixels(self, file: File, max_resolution: int | None = None) -> Pixels:
        if file.path == self.odd:
            return np.random.default_rng(7).integers(0, 256, (self.height, self.width, 3), dtype=np.uint8)
        return super().pixels(file, max_resolution)


@dataclass(frozen=True)
class PoorReader(PatternReader):
    """Finds no memory for one file."""

    bad: str

    def pixels(self, file: File, max_resolution: int | None = None) -> Pixels:
        if file.path == self.bad:
            raise MemoryError
        return super().pixels(file, max_resolution)
