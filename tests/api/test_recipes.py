"""`/recipes`: what may be done to images, and how a text is read."""

import pytest

from service.recipes.presets import PRESETS
from service.recipes.steps import STEPS
from tests.api.conftest import VAL, Client, OpenClient

IMAGENET = "ToTensor() | Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])"
HOSTILE = [
    "__import__('os').system('id')",
    "().__class__",
    "Resize(__builtins__)",
    "Resize(10**9)",
    "Resize(99999999999999999999999999)",
    "Resize(1e999)",
    "Resize(32) ; Resize(3)",
    "Resize(32)\nimport os",
    "lambda: 0",
    "Resize(*[32])",
    "Resize(size=32, size=33)",
    "RandomApply([" * 40 + "])" * 40,
    "Resize(32)|" * 33,
    "(" * 3000,
    "Resize(\x00)",
    "Resize(\N{FULLWIDTH DIGIT ONE})",
    "Lambda(print)",
    "Resize",
    "nothing",
    "|",
    " ",
    "x" * 5000,
    "Resize(-1)",
    "Normalize([0.5], [0])",
    "GaussianBlur(2)",
    "ToTensor() | ToTensor() | Normalize([0.5, 0.5], [1, 1])",
]


def test_the_list_holds_named_recipes_and_every_step(client: Client) -> None:
    listed = client.json("/recipes")
    assert {name: each["recipe"] for name, each in listed["recipes"].items()} == dict(PRESETS)
    steps = {each["name"]: each for each in listed["steps"]}
    assert set(steps) == set(STEPS)
    assert steps["RandomResizedCrop"]["signature"].startswith("RandomResizedCrop(size")
    assert [each["name"] for each in steps["RandomHorizontalFlip"]["parameters"]] == ["p"]


def test_every_example_can_be_used(client: Client) -> None:
    for step in client.json("/recipes")["steps"]:
        text = step["example"] if "uint8" in step["accepts"] else f"ToTensor() | {step['example']}"
        parsed = client.json("/recipes/parse", params={"recipe": text})
        assert step["name"] in parsed["recipe"]
        assert client.json("/recipes/parse", params={"recipe": parsed["recipe"]}) == parsed, "the canonical text is a fixed point"
        assert client.pixels(f"{VAL}/batches/0/0.png", params={"recipe": f"Resize([40, 40]) | {text}", "batch_size": 1}).size


def test_a_recipe_is_read(client: Client) -> None:
    assert client.json("/recipes/parse", params={"recipe": " Resize( 256 )|CenterCrop(size=(224,200,))|  ToTensor()"}) == {
        "recipe": "Resize(256) | CenterCrop([224, 200]) | ToTensor()",
        "head": "Resize(256) | CenterCrop([224, 200])",
        "tail": "ToTensor()",
        "dtype": "float32",
        "head_dtype": "uint8",
        "output_shape": [3, 224, 200],
        "normalization": None,
        "random": False,
        "steps": ["Resize(256)", "CenterCrop([224, 200])", "ToTensor()"],
        "torchvision": (
            "import torch\nfrom torchvision.transforms import v2\n\n"
            "transform = v2.Compose([\n    v2.ToImage(),\n    v2.Resize(256),\n    v2.CenterCrop([224, 200]),\n    v2.ToDtype(torch.float32, scale=True),\n])\n"
        ),
    }


def test_what_depends_on_the_image_is_null(client: Client) -> None:
    assert client.json("/recipes/parse?recipe=Grayscale()")["output_shape"] == [1, None, None]


def test_named_recipes_have_names(open_client: OpenClient) -> None:
    client = open_client(recipes={"tiny": "Resize(16)|CenterCrop(16)", "val": "Resize(32)"})
    assert client.json("/recipes/parse?recipe=tiny")["recipe"] == "Resize(16) | CenterCrop(16)"
    assert client.json("/recipes")["recipes"]["val"]["recipe"] == "Resize(32)"
    assert client.json("/recipes/parse?recipe=train")["tail"] == IMAGENET
    assert client.json(f"{VAL}/batches/0/0.json?recipe=tiny")["shape"] == [4, 3, 16, 16]
    assert client.json(f"{VAL}/batches/0/0.json")["recipe"] == "Resize(32)", "the split's own, by its name"


def test_an_unknown_name_is_told_with_the_known_ones(client: Client) -> None:
    problem = client.problem("/recipes/parse?recipe=trian", 422, "invalid-recipe")
    assert (problem["culprit"], problem["position"], problem["known"]) == ("trian", 0, ["train", "val"])


@pytest.mark.parametrize(
    ("text", "culprit", "position"),
    [("Resize(32) | Zoom(2)", "Zoom(2)", 13), ("Resize(32, mode=1)", "mode=1", 11), ("Resize(99999)", "99999", 7), ("Resize(32) | Resize(", "(", None)],
)
def test_a_fault_is_told_with_its_place(client: Client, text: str, culprit: str, position: int | None) -> None:
    problem = client.problem("/recipes/parse", 422, "invalid-recipe", params={"recipe": text})
    assert culprit in problem["culprit"]
    assert position is None or problem["position"] == position
    assert text[problem["position"] :].startswith(problem["culprit"])


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_refused_briefly(client: Client, text: str) -> None:
    problem = client.problem("/recipes/parse", 422, "invalid-recipe", params={"recipe": text})
    assert len(problem["detail"]) < 1000
    assert client.problem(f"{VAL}/batches/0/0.png", 422, "invalid-recipe", params={"recipe": text}) == problem


@pytest.mark.parametrize("query", ["", "recipe=", "recipe=train&seed=1"])
def test_a_query_without_a_recipe_is_refused(client: Client, query: str) -> None:
    client.problem(f"/recipes/parse?{query}", 422, "invalid-parameter")


def test_bytes_that_are_no_text_are_refused(client: Client) -> None:
    assert "\N{REPLACEMENT CHARACTER}" in client.problem("/recipes/parse?recipe=Resize(%ff%ed%a0%80)", 422, "invalid-recipe")["detail"]
