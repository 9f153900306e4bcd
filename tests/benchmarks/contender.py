"""A contender: whoever delivers batches, in a process that reads how long to run and answers when each batch came."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

from tests.benchmarks.ground import ROOT

_GOODBYE_SECONDS = 10.0


class Missing(Exception):
    """A contender's library is not installed."""


@dataclass(frozen=True, slots=True)
class Run:
    """Batches as one consumer got them.

    Attributes:
        begun: when it began to ask, in seconds of the machine's monotonic clock.
        arrivals: (time, images) of each batch.
    """

    begun: float
    arrivals: tuple[tuple[float, int], ...]

    @property
    def rate(self) -> float:
        """Images a second, from the first request to the last batch."""
        return sum(images for _, images in self.arrivals) / (self.arrivals[-1][0] - self.begun)


def total_rate(runs: Sequence[Run]) -> float:
    """Gives the images a second of consumers that ran side by side, counted only while all of them were at it.

    A batch that came while the window was open counts by the part of its making that lies within, so that large batches do not blur the edges.
    """
    opened, closed = max(run.begun for run in runs), min(run.arrivals[-1][0] for run in runs)
    images = 0.0
    for run in runs:
        before = run.begun
        for at, count in run.arrivals:
            if at > before:
                images += count * max(0.0, min(at, closed) - max(before, opened)) / (at - before)
            elif opened <= at <= closed:
                images += count
            before = at
    return images / (closed - opened)


class Contender:
    """A running contender."""

    def __init__(self, process: "subprocess.Popen[str]", errors: IO[str]) -> None:
        self._process, self._errors = process, errors
        greeting = self._read()
        if "missing" in greeting:
            raise Missing(greeting["missing"])
        self.versions: dict[str, str] = greeting["versions"]

    def begin(self, seconds: float) -> None:
        """Lets it run whole epochs until the time is over, one at least."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()

    def finish(self) -> Run:
        """Waits for what `begin` began."""
        answer = self._read()
        return Run(answer["begun"], tuple((at, images) for at, images in answer["arrivals"]))

    def run(self, seconds: float) -> Run:
        """Both in one."""
        self.begin(seconds)
        return self.finish()

    def _read(self) -> dict[str, Any]:
        """Reads an answer; libraries may print lines of their own in between."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with suppress(ValueError):
                answer = json.loads(line)
                if isinstance(answer, dict):
                    return answer
        code = self._process.wait()
        self._errors.seek(0)
        raise RuntimeError(f"{self._process.args} ended with exit code {code}: {self._errors.read()[-2000:]}")


@contextmanager
def running(module: str, *arguments: object, python: str = sys.executable) -> Iterator[Contender]:
    """Runs a module of this folder as a contender.

    Raises:
        Missing: its library is not installed.
    """
    command = [python, "-m", f"tests.benchmarks.{module}", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BATCHLENS_")}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with tempfile.TemporaryFile("w+") as errors, subprocess.Popen(command, stderr=errors, cwd=ROOT, env=environment, **pipes) as process:
        try:
            yield Contender(process, errors)
        finally:
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()
            try:
                process.wait(_GOODBYE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
