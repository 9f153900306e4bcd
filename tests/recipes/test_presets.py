"""Named recipes."""

import pytest

from service.errors import InvalidRecipe, InvalidSettings
from service.recipes.presets import PRESETS, named_recipes, resolve_recipe
from service.recipes.recipe import parse_recipe

IMAGENET = "Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])"


def test_the_presets_are_the_tutorials():
    assert dict(PRESETS) == {
        "train": f"RandomResizedCrop(224) | RandomHorizontalFlip() | ToTensor() | {IMAGENET}",
        "val": f"Resize(256) | CenterCrop(224) | ToTensor() | {IMAGENET}",
    }
    assert named_recipes({}) == dict(PRESETS)


def test_configured_recipes_lie_over_the_presets_in_canonical_text():
    named = named_recipes({"train": "Pad( 1 )", "small-1.0": "CenterCrop((8, 8))"})
    assert named == {"train": "Pad(1)", "val": PRESETS["val"], "small-1.0": "CenterCrop(8)"}


@pytest.mark.parametrize(
    ("configured", "quotes"),
    [
        ({"bad": "Resise(5)"}, ["recipes.bad", "Resise(5)", "did you mean Resize"]),
        ({"alias": "train"}, ["recipes.alias", "train"]),
        ({"two words": "Pad(1)"}, ["'two words'"]),
        ({"": "Pad(1)"}, ["''"]),
    ],
)
def test_bad_settings_name_the_recipe(configured: dict[str, str], quotes: list[str]):
    with pytest.raises(InvalidSettings) as caught:
        named_recipes(configured)
    for quote in quotes:
        assert quote in caught.value.detail


def test_a_name_or_a_text_gives_a_recipe():
    named = named_recipes({"small-1.0": "CenterCrop(8)"})
    assert resolve_recipe(" train ", named) == parse_recipe(PRESETS["train"])
    assert resolve_recipe("small-1.0", named) == parse_recipe("CenterCrop(8)")
    assert resolve_recipe("Pad( 1 )", named).text == "Pad(1)"


@pytest.mark.parametrize("name", ["trian", " ToTensor", "x" * 5000])
def test_unknown_names_come_with_the_known_ones(name: str):
    with pytest.raises(InvalidRecipe, match="Known: train, val") as caught:
        resolve_recipe(name, PRESETS)
    assert caught.value.facts["known"] == ["train", "val"]
    assert name[caught.value.facts["position"] :].startswith(caught.value.facts["culprit"])
    assert len(caught.value.detail) < 400


def test_anything_else_is_read_as_text():
    for text in ("", "5", "train | val", "a.b()"):
        with pytest.raises(InvalidRecipe) as caught:
            resolve_recipe(text, PRESETS)
        assert "known" not in caught.value.facts
