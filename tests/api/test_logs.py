"""Which lines are logged, and how."""

import logging
from collections.abc import Iterator

import pytest

from service.api import logs


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, access = logging.getLogger(), logging.getLogger(logs.ACCESS_LOGGER)
    handlers, levels = root.handlers[:], (root.level, access.level)
    for handler in handlers:
        root.removeHandler(handler)  # `configure` closes those that it finds, and pytest's own are among them.
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    access.setLevel(levels[1])


@pytest.mark.parametrize(
    ("level", "has_access_lines", "shown"), [("info", True, True), ("debug", True, True), ("info", False, False), ("warning", True, False)]
)
def test_each_answer_has_its_line_if_that_is_wanted(level: str, has_access_lines: bool, shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level, has_access_lines=has_access_lines)
    logging.getLogger(logs.ACCESS_LOGGER).info("answered", extra={"fields": {"status": 200}})
    logging.getLogger("service.app").warning("other")
    lines = capsys.readouterr().err.splitlines()
    assert any("event=answered status=200" in each for each in lines) is shown
    assert any("event=other" in each for each in lines)


def test_what_was_left_out_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", has_access_lines=False)
    logs.configure("info")
    logging.getLogger(logs.ACCESS_LOGGER).info("answered")
    assert "event=answered" in capsys.readouterr().err
