"""What the README says is so."""

import re
from pathlib import Path

import pytest

from service.app import create_app
from service.recipes.presets import PRESETS
from service.settings import Settings, read_settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def settings_table() -> str:
    """The table as it should be."""
    lines = []
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=name != "workers")
        shown = "processors - 1" if name == "workers" else _show(default)
        lines.append(f"| `{name}` | `BATCHLENS_{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(lines)


def _show(default: object) -> str:
    if default in (None, ()):
        return "none"
    if isinstance(default, tuple):
        return ", ".join(f"`{each}`" for each in default) or "none"
    return f"`{default}`" if default not in ("", {}) else "none"


def test_the_settings_table_is_the_settings() -> None:
    assert settings_table() in README


def test_the_presets_are_quoted() -> None:
    for text in PRESETS.values():
        assert text in README


def test_every_link_to_a_file_leads_somewhere() -> None:
    links = [each for each in re.findall(r"\]\(([^)]+)\)", README) if not each.startswith("http")]
    assert len(links) >= 4
    assert not [each for each in links if not (ROOT / each).exists()]


@pytest.mark.usefixtures("no_variables")
def test_every_path_in_the_tour_is_a_route() -> None:
    app = create_app(read_settings(paths=(ROOT / "data",), workers=0, device="cpu"))
    known = [re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + r"(\?.*)?$") for path in app.openapi()["paths"]]
    variables = {"$B": "", "$S": "/datasets/shapes/splits/train"}
    paths = re.findall(r"curl [^\n]*?(\$[BS]/[^\s\"']+)", README)
    assert len(paths) >= 15
    for path in paths:
        plain = path.replace(path[:2], variables[path[:2]])
        assert any(each.match(plain) for each in known), path
