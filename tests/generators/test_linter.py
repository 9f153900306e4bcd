"""A linter finds nothing to say of the description."""

from pathlib import Path

from tests.generators.conftest import SOURCES, Run


def test_the_linter_is_quiet(description: Path, run: Run) -> None:
    printed = run("redocly", "lint", description, "--config", SOURCES / "redocly.yaml")
    assert "Your API description is valid" in printed
    assert "warning" not in printed.lower()
