"""Signatures, ranges and the one canonical text."""

import pytest

from service.errors import InvalidRecipe
from service.recipes.binding import bind_all
from service.recipes.grammar import parse_calls
from service.recipes.recipe import parse_recipe


def canonical(text: str) -> str:
    return " | ".join(step.text for step in bind_all(parse_calls(text)))


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (" Resize ( 256 )", "Resize(256)"),
        ("Resize(size=256)", "Resize(256)"),
        ("Resize(interpolation='bicubic', size=(256, 300))", 'Resize([256, 300], interpolation="bicubic")'),
        ('Resize(256, "bilinear", None, True)', "Resize(256)"),
        ("CenterCrop((224, 224))", "CenterCrop(224)"),
        ("CenterCrop([224, 200])", "CenterCrop([224, 200])"),
        ("RandomHorizontalFlip(0.50)", "RandomHorizontalFlip()"),
        ("RandomHorizontalFlip(p=1)", "RandomHorizontalFlip(p=1.0)"),
        ("RandomHorizontalFlip(p=-0.0)", "RandomHorizontalFlip(p=0.0)"),
        ("RandomHorizontalFlip(p=1e-1)", "RandomHorizontalFlip(p=0.1)"),
        ("RandomRotation(15)", "RandomRotation(15.0)"),
        ("RandomCrop(32, (4,), fill=(1, 2, 3))", None),
        ("RandomCrop(32, 4, fill=(1, 2, 3))", "RandomCrop(32, padding=4, fill=[1.0, 2.0, 3.0])"),
        ("RandomResizedCrop(224, (0.08, 1), (3/4, 4/3))", None),
        ("RandomResizedCrop(224, (0.08, 1), (0.75, 1.3333333333333333))", "RandomResizedCrop(224)"),
        ("Normalize(mean=(0.5,), std=[1, 2, 4])", "Normalize([0.5], [1.0, 2.0, 4.0])"),
        ("ToDtype('float16', scale=False)", 'ToDtype("float16")'),
        ("GaussianBlur((3, 3), 2)", "GaussianBlur(3, sigma=2.0)"),
        ("Compose([Pad(1), Compose([Pad(2)])]) | Pad(3)", "Pad(1) | Pad(2) | Pad(3)"),
        ("RandomApply([Compose([Pad(1), Pad(2)])], 0.5)", "RandomApply([Pad(1), Pad(2)])"),
        ("RandomChoice((Compose([Pad(1), Pad(2)]), Identity()))", "RandomChoice([Compose([Pad(1), Pad(2)]), Identity()])"),
        ("RandomApply(p=1, transforms=[Pad(1)])", "RandomApply([Pad(1)], p=1.0)"),
        ("(Pad(1) | Pad(2)) | Pad(3)", "Pad(1) | Pad(2) | Pad(3)"),
        ("ColorJitter(hue=0.1, brightness=(0.5, 1))", "ColorJitter(brightness=[0.5, 1.0], hue=0.1)"),
    ],
)
def test_one_text_for_all_spellings(written: str, text: str | None):
    if text is None:
        with pytest.raises(InvalidRecipe):
            canonical(written)
        return
    assert canonical(written) == text
    assert canonical(text) == text


@pytest.mark.parametrize(
    ("text", "culprit", "position", "advice"),
    [
        ("Pad(1) | Resise(256)", "Resise(256)", 9, "did you mean Resize"),
        ("resize(256)", "resize(256)", 0, "Resize"),
        ("Lambda(5)", "Lambda(5)", 0, "Known are Resize, CenterCrop"),
        ("__import__('os')", "__import__('os')", 0, "There is no step __import__."),
        ("Resize()", "Resize()", 0, "needs size: write Resize(size, "),
        ("Normalize([0.5])", "Normalize([0.5])", 0, "needs std"),
        ("Resize(0)", "0", 7, "an integer from 1 to 2048"),
        ("Resize(2049)", "2049", 7, "from 1 to 2048"),
        ("Resize(True)", "True", 7, "an integer"),
        ("Resize(256.0)", "256.0", 7, "an integer"),
        ('Resize("256")', '"256"', 7, "an integer"),
        ("Resize([1, 2, 3])", "[1, 2, 3]", 7, "[height, width]"),
        ("Resize([])", "[]", 7, "[height, width]"),
        ("Resize([[1, 2]])", "[[1, 2]]", 7, "[height, width]"),
        ("Resize(Resize(1))", "Resize(1)", 7, "an integer"),
        ("Resize(256, size=256)", "size=256", 12, "size twice"),
        ("Resize(size=256, size=256)", "size=256", 17, "size twice"),
        ("Resize(256, 'bilinear', None, True, 5)", "5", 36, "at most 4 argument"),
        ("Resize(256, sise=3)", "sise=3", 12, "no argument sise: write Resize(size"),
        ("Resize(256, interpolation='lanczos')", "interpolation='lanczos'", 12, '"nearest", "nearest-exact", "bilinear" or "bicubic"'),
        ("Resize(256, interpolation=2)", "interpolation=2", 12, '"bilinear"'),
        ("RandomRotation(10, interpolation='bicubic')", "interpolation='bicubic'", 19, '"nearest" or "bilinear"'),
        ("RandomErasing(inplace=True)", "inplace=True", 14, "no argument inplace"),
        ("RandomHorizontalFlip(1.5)", "1.5", 21, "a number from 0 to 1"),
        ("RandomHorizontalFlip(p=-1)", "p=-1", 21, "a number from 0 to 1"),
        ("RandomResizedCrop(224, scale=[1, 0.5])", "scale=[1, 0.5]", 23, "low <= high"),
        ("GaussianBlur(4)", "4", 13, "an odd integer from 1 to 63"),
        ("GaussianBlur(65)", "65", 13, "an odd integer"),
        ("GaussianBlur(3, sigma=0)", "sigma=0", 16, "from 0.01 to 100"),
        ("ElasticTransform(sigma=8)", "sigma=8", 17, "from 0 to 7.75"),
        ("Grayscale(2)", "2", 10, "1 or 3"),
        ("JPEG(0)", "0", 5, "from 1 to 100"),
        ("JPEG(50.5)", "50.5", 5, "an integer"),
        ("AugMix(severity=11)", "severity=11", 7, "from 1 to 10"),
        ("AugMix(mixture_width=9)", "mixture_width=9", 7, "from 1 to 8"),
        ("RandAugment(num_ops=17)", "num_ops=17", 12, "from 0 to 16"),
        ('AutoAugment("imgnet")', '"imgnet"', 12, '"imagenet", "cifar10" or "svhn"'),
        ('ToDtype("float64")', '"float64"', 8, '"float32", "float16" or "bfloat16"'),
        ('ToDtype("uint8")', '"uint8"', 8, '"float32"'),
        ("Pad(-1)", "-1", 4, "from 0 to 2048"),
        ('Pad(1, padding_mode="wrap")', 'padding_mode="wrap"', 7, '"symmetric"'),
        ("RandomApply(Pad(1))", "Pad(1)", 12, "a list of 1 to 32 steps"),
        ("RandomApply([])", "[]", 12, "a list of 1 to 32 steps"),
        ("RandomApply([1])", "[1]", 12, "a list of 1 to 32 steps"),
        ("RandomApply()", "RandomApply()", 0, "a list of 1 to 32 steps"),
        ("Compose([Pad(1), None])", "[Pad(1), None]", 8, "a list of 1 to 32 steps"),
        ("RandomChoice([Pad(1), Nope()])", "Nope()", 22, "There is no step Nope"),
        ("Normalize([0.5], [0])", "[0]", 17, "from 0.0001 to 10000"),
        ("Normalize([0.5, 0.5], [1])", "[0.5, 0.5]", 10, "a list of 1 or 3"),
    ],
)
def test_refusals_quote_the_culprit_and_say_what_is_allowed(text: str, culprit: str, position: int, advice: str):
    with pytest.raises(InvalidRecipe) as caught:
        parse_recipe(text)
    assert caught.value.facts["culprit"] == culprit
    assert caught.value.facts["position"] == position
    assert f"`{culprit}`" in caught.value.detail
    assert advice in caught.value.detail


def test_unknown_steps_come_with_the_known_ones():
    with pytest.raises(InvalidRecipe) as caught:
        parse_recipe("RandomHorizontalflip()")
    assert "RandomHorizontalFlip" in caught.value.facts["close"]
    assert "ToTensor" in caught.value.facts["known"]
