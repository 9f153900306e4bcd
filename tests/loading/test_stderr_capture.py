"""What libraries write to standard error: one log line with the sample it is about, and a dying worker's last words."""

import logging
import os
import re
import signal
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.api.logs import LineFormatter
from service.loading.stderr_capture import StderrFile, capture_stderr
from service.sources.source import File, Pixels
from tests.loading.conftest import DATASET, OpenLoader, order, position_of, take
from tests.loading.readers import PatternReader

FILE_5 = DATASET.splits["train"].file(5).path
STEP = position_of(5)


@dataclass(frozen=True)
class NoisyReader(PatternReader):
    """Writes to standard error about one file, as C libraries and Python's warnings do."""

    noisy: str

    def pixels(self, file: File, max_resolution: int | None = None) -> Pixels:
        if file.path == self.noisy:
            os.write(2, b"libodd: bad code word\n")
            os.write(2, b"libodd: again\n")
        return super().pixels(file, max_resolution)


@dataclass(frozen=True)
class WarningReader(PatternReader):
    """Warns about one file, by Python's `warnings`."""

    noisy: str

    def pixels(self, file: File, max_resolution: int | None = None) -> Pixels:
        if file.path == self.noisy:
            warnings.warn("an odd picture", stacklevel=1)
        return super().pixels(file, max_resolution)


@dataclass(frozen=True)
class AbortingReader(PatternReader):
    """Ends its process at one file, as a C library does that finds its memory corrupted."""

    bad: str

    def pixels(self, file: File, max_resolution: int | None = None) -> Pixels:
        if file.path == self.bad:
            os.write(2, b"free(): invalid pointer\n")
            os.kill(os.getpid(), signal.SIGABRT)
        return super().pixels(file, max_resolution)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [LineFormatter().format(record) for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_library_writes_is_one_line_with_its_sample(
    open_loader: OpenLoader, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], workers: int
) -> None:
    loader = open_loader(NoisyReader(FILE_5), workers=workers, arena_bytes=0)
    for epoch in range(2):
        take(loader, order(position_of(5, epoch=epoch), epoch=epoch))
    (line,) = lines(caplog)
    assert f'dataset=patterns split=train sample=5 file={FILE_5} text="libodd: bad code word\\nlibodd: again"' in line
    assert 'event="a library wrote to standard error"' in line
    assert "libodd" not in capfd.readouterr().err


def test_a_warning_in_a_worker_is_one_line_with_its_sample(open_loader: OpenLoader, caplog: pytest.LogCaptureFixture) -> None:
    take(open_loader(WarningReader(FILE_5), workers=1), order(STEP))
    (line,) = lines(caplog)
    assert f"sample=5 file={FILE_5}" in line
    assert "UserWarning: an odd picture" in line


def test_the_last_words_of_a_worker_reach_the_log(open_loader: OpenLoader, caplog: pytest.LogCaptureFixture) -> None:
    loader = open_loader(AbortingReader(FILE_5), workers=1)
    ticket = loader.submit(order(STEP))
    assert ticket.future.exception(60) is not None
    loader.release(ticket)
    found = lines(caplog)
    assert found
    assert all(re.search(r'event="workers of patterns/train ended with \[-6\]; replacing all" text="free\(\): invalid pointer', line) for line in found)


def test_a_file_is_read_once_and_not_without_end() -> None:
    file, before = StderrFile(), os.dup(2)
    try:
        file.redirect()
        for _ in range(2):
            os.write(2, b"x" * 5000)
            os.write(2, b"y\n")
            text = file.read()
            assert text.startswith("x" * 2000 + " ... (5,002 bytes)")
            assert file.read() == ""
        os.write(2, "\u00e4".encode("latin-1"))
        assert file.read() == "\ufffd"
    finally:
        os.dup2(before, 2)
        os.close(before)


def count_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_capturing_gives_standard_error_back(capfd: pytest.CaptureFixture[str]) -> None:
    found: list[str] = []
    descriptors = count_descriptors()

    def fail() -> None:
        with capture_stderr(found.append):
            os.write(2, b"inside\n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with capture_stderr(found.append):
        pass
    os.write(2, b"outside\n")
    assert found == ["inside"]
    assert capfd.readouterr().err == "outside\n"
    assert count_descriptors() == descriptors


def test_nothing_is_captured_where_standard_error_is_closed() -> None:
    before = os.dup(2)
    os.close(2)
    try:
        with capture_stderr(pytest.fail):
            sys.stdout.flush()
    finally:
        os.dup2(before, 2)
        os.close(before)
    assert Path("/proc/self/fd/2").exists()
