"""The text of recipes: what is read, and what is refused with its culprit and position."""

import json
import string
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.errors import InvalidRecipe
from service.recipes.grammar import MAX_CHARACTERS, MAX_NESTING, MAX_STEPS, Argument, Call, parse_calls, shorten
from service.recipes.recipe import parse_recipe
from service.recipes.steps import STEPS
from service.recipes.torchvision_code import write_code

TRAIN = "RandomResizedCrop(224) | RandomHorizontalFlip() | ToTensor() | Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])"


def refusal(text: str) -> InvalidRecipe:
    with pytest.raises(InvalidRecipe) as caught:
        parse_recipe(text)
    error = caught.value
    assert set(error.facts) >= {"culprit", "position"}
    assert error.facts["culprit"] in error.detail
    assert len(error.facts["culprit"]) <= 60
    json.dumps([error.detail, error.facts], ensure_ascii=False).encode()
    return error


def test_calls_keep_text_and_position():
    text = "  Resize( 256 ) |\n CenterCrop(size = (224, 224))"
    assert parse_calls(text) == (
        Call("Resize", (Argument(256, "256", 10),), (), "Resize( 256 )", 2),
        Call("CenterCrop", (), (("size", Argument((224, 224), "size = (224, 224)", 30)),), "CenterCrop(size = (224, 224))", 19),
    )
    for call in parse_calls(text):
        assert text[call.position :].startswith(call.text)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1", 1),
        ("-1", -1),
        ("+ 1", 1),
        ("0.5", 0.5),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("1e-3", 0.001),
        ("1_000", 1000),
        ("True", True),
        ("False", False),
        ("None", None),
        ('"bilinear"', "bilinear"),
        ("'bilinear'", "bilinear"),
        ("[1, [2, 3.0], (4,)]", (1, (2, 3.0), (4,))),
        ("[]", ()),
        ("((5))", 5),
        ("1000000", 1_000_000),
    ],
)
def test_literals(written: str, value: Any):
    ((argument,),) = (call.arguments for call in parse_calls(f"Pad({written})"))
    assert argument.value == value
    assert type(argument.value) is type(value)


def test_nested_calls_are_read():
    (call,) = parse_calls("RandomApply([Pad(1), RandomChoice([Pad(2)])], p=0.5)")
    inner = call.arguments[0].value
    assert [each.text for each in inner] == ["Pad(1)", "RandomChoice([Pad(2)])"]
    assert inner[1].position == call.text.index("RandomChoice")


PASTED = [
    ("transforms.Resize(256)", "Resize(256)"),
    ("T.RandomResizedCrop(224)", "RandomResizedCrop(224)"),
    ("v2.Resize(size=(224, 224), interpolation=InterpolationMode.BILINEAR)", "Resize([224, 224])"),
    ("torchvision.transforms.v2.CenterCrop(7)", "CenterCrop(7)"),
    ("transforms.v2.CenterCrop(7)|transforms_v2.Pad(1)|tv.Pad(2)|TF.Pad(3)", "CenterCrop(7)|Pad(1)|Pad(2)|Pad(3)"),
    ("Resize(256, interpolation=InterpolationMode.BICUBIC)", 'Resize(256, interpolation="bicubic")'),
    ("Resize(256, transforms.InterpolationMode.NEAREST_EXACT)", 'Resize(256, "nearest-exact")'),
    ("Resize(256, interpolation=torchvision.transforms.functional.InterpolationMode.NEAREST)", 'Resize(256, interpolation="nearest")'),
    ("Resize(256, interpolation=F.InterpolationMode.BICUBIC)", 'Resize(256, interpolation="bicubic")'),
    ("Resize(256, interpolation=Image.BICUBIC)", 'Resize(256, interpolation="bicubic")'),
    ("Resize(256, interpolation=PIL.Image.Resampling.BICUBIC)", 'Resize(256, interpolation="bicubic")'),
    ("AutoAugment(T.AutoAugmentPolicy.CIFAR10)", 'AutoAugment("cifar10")'),
    ("v2.ToDtype(torch.float32, scale=True)", 'ToDtype("float32", scale=True)'),
    ("ToDtype(torch.half)|ToDtype(torch.float)|ToDtype(torch.bfloat16)", 'ToDtype("float16")|ToDtype("float32")|ToDtype("bfloat16")'),
    (
        """transforms.Compose([
            transforms.RandomResizedCrop(224),
            transforms.RandomApply([transforms.ColorJitter(0.4)], p=0.3),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ])""",
        "RandomResizedCrop(224)|RandomApply([ColorJitter(0.4)], 0.3)|ToTensor()|Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
    ),
]


@pytest.mark.parametrize(("pasted", "written"), PASTED)
def test_text_pasted_from_torchvision_code_is_the_same_recipe(pasted: str, written: str):
    assert parse_recipe(pasted).text == parse_recipe(written).text


@pytest.mark.parametrize("written", [written for _, written in PASTED])
def test_code_that_is_written_out_reads_as_the_same_recipe(written: str):
    """What the service offers as torchvision code can be pasted back; `ToTensor` alone becomes the `ToDtype` of that code."""
    code = write_code(parse_recipe(written).text).partition("transform = ")[2]
    expected = parse_recipe("ToImage() | " + written.replace("ToTensor()", 'ToDtype("float32", scale=True)'))
    assert parse_recipe(code).text == expected.text


def test_brackets_around_steps_change_nothing():
    assert [call.name for call in parse_calls("(Pad(1) | Pad(2)) | (Pad(3) | (Pad(4)))")] == ["Pad"] * 4


HOSTILE = [
    ("", ""),
    (" \n\t ", ""),
    ("__import__('os').system('id')", ".system"),
    ("__import__('os')", "__import__('os')"),
    ("().__class__.__bases__[0].__subclasses__()", ".__class__.__bases__"),
    ("Resize.__init__(256)", "Resize.__init__"),
    ("torch.load('x')", "torch.load"),
    ("os.Resize(256)", "os.Resize"),
    ("transforms.functional.Resize(256)", "transforms.functional.Resize"),
    ("transforms.__class__.Resize(256)", "transforms.__class__.Resize"),
    ("transforms.lambda(256)", "transforms.lambda(256)"),
    ("transforms .Resize(256)", ".Resize"),
    ("transforms.(256)", "transforms."),
    (".Resize(256)", ".Resize"),
    (".".join(["transforms"] * 8) + ".Resize(256)", "transforms.Resize"),
    ("transforms.Resize", "transforms.Resize"),
    ("Resize(256, interpolation=InterpolationMode.BICUBIC.value)", "InterpolationMode.BICUBIC.value"),
    ("Resize(256, interpolation=InterpolationMode.__doc__)", "InterpolationMode.__doc__"),
    ("Resize(256, interpolation=InterpolationMode.CUBIC)", "InterpolationMode.CUBIC"),
    ("Resize(256, interpolation=InterpolationMode.LANCZOS)", "interpolation=InterpolationMode.LANCZOS"),
    ("Resize(256, interpolation=torch.float32)", "interpolation=torch.float32"),
    ("Resize(256, interpolation=os.InterpolationMode.BICUBIC)", "os.InterpolationMode.BICUBIC"),
    ("Resize(256, interpolation=BICUBIC)", "BICUBIC"),
    ("Resize(256, interpolation=-InterpolationMode.BICUBIC)", "-InterpolationMode"),
    ("Resize(torch.randint(1, 2))", "torch.randint"),
    ("ToDtype(torch.uint8)", "torch.uint8"),
    ("ToDtype(torch.load)", "torch.load"),
    ("ToTensor() | RandomErasing(value=torch.random)", "torch.random"),
    ("Resize(256).forward", ".forward"),
    ("Resize(__file__)", "__file__"),
    ("eval('1')", "eval('1')"),
    ("exec", "exec"),
    ("lambda: 0", ":"),
    ("lambda", "lambda"),
    ("Resize(lambda)", "lambda)"),
    ("[Pad(x) for x in (1, 2)]", "for x in (1, 2)]"),
    ("Pad(1) if True else Pad(2)", "if True else Pad(2)"),
    ("Pad(1) and Pad(2)", "and Pad(2)"),
    ("not Pad(1)", "not Pad(1)"),
    ("await Pad(1)", "await Pad(1)"),
    ("yield", "yield"),
    ("import os", "import os"),
    ("Pad(x := 1)", ":"),
    ("Pad(**{})", "*"),
    ("Pad(*[1])", "*"),
    ("f'{1}'", "{"),
    ('f"1"', 'f"1"'),
    ('Pad(1, padding_mode=b"edge")', 'b"edge")'),
    ('Pad(1, padding_mode=r"edge")', 'r"edge")'),
    ('Pad(1, padding_mode="edge)', '"edge)'),
    ("Pad(1, padding_mode='''edge)", "'edge)"),
    ("Pad('\\x41')", "\\"),
    ("Pad(1) # comment", "#"),
    ("Pad(1); Pad(2)", ";"),
    ("Pad(1) & Pad(2)", "&"),
    ("Pad(1) + Pad(2)", "+ Pad(2)"),
    ("Pad(1) || Pad(2)", "| Pad(2)"),
    ("| Pad(1)", "| Pad(1)"),
    ("Pad(1) |", "Pad(1) |"),
    ("Pad(1", "(1"),
    ("Pad(1))", ")"),
    ("Pad[1]", "Pad[1]"),
    ("Pad(1)(2)", "Pad(1)(2)"),
    ("Pad", "Pad"),
    ("Pad(1) | ToTensor", "ToTensor"),
    ("5", "5"),
    ("'Pad(1)'", "'Pad(1)'"),
    ("[Pad(1)]", "[Pad(1)]"),
    ("Pad(1), Pad(2)", "Pad(1), Pad(2)"),
    ("Pad(1 2)", "1 2)"),
    ("Pad(1 == 1)", "1 == 1"),
    ("Pad(a == 1)", "a == 1"),
    ("Pad(nan)", "nan"),
    ("Pad(inf)", "inf"),
    ("Pad(float)", "float"),
    ("Pad(1e999)", "1e999"),
    ("Pad(-1e999)", "-1e999"),
    ("Pad(1e7)", "1e7"),
    ("Pad(99999999999999999999999)", "99999999999999999999999"),
    (f"Pad({'9' * 4000})", "9" * 57 + "..."),
    ("Pad(0x10)", "0x10"),
    ("Pad(0b1)", "0b1"),
    ("Pad(007)", "007)"),
    ("Pad(1j)", "1j"),
    ("Pad(1if 1else 2)", "1if"),
    ("Pad(1.2.3)", "1.2.3"),
    ("Pad(1-2)", "-2)"),
    ("Pad(--1)", "--1)"),
    ("Pad(" + "-" * 3000 + "1)", "-" * 57 + "..."),
    ("Pad(-True)", "-True)"),
    ("Pad(- (1))", "- (1))"),
    ("(" * 2000 + ")" * 2000, "(" * 57 + "..."),
    ("Pad(" + "[" * 50 + "]" * 50 + ")", "[" * 39 + "]" * 18 + "..."),
    ("not " * 900 + "1", "not " * 14 + "n..."),
    ("|".join(["Pad(1)"] * 33), "|Pad(1)"),
    ("RandomApply([" + ", ".join(["Pad(1)"] * 32) + "])", "Pad(1)"),
    ("RandomApply([" * 4 + "Pad(1)" + "])" * 4, "Pad(1)"),
    ("x" * 5000, "x" * 57 + "..."),
    ("Pad(1)\0", "\\x00"),
    ("Pad(1)\x07", "\\x07"),
    ("P\u0430d(1)", "\u0430"),  # Cyrillic
    ("Pad(\uff11)", "\uff11"),  # full-width digit
    ("Pad(1)\u00a0| Pad(2)", "\\xa0"),
    ("Pad(1) \uff5c Pad(2)", "\uff5c"),
    ("Pad\u200b(1)", "\\u200b"),
    ("\ud800", "\\ud800"),
    ("\U0001f600", "\U0001f600"),
    ("Pad(a=1, a=2)", "a=1"),
    ("Pad(padding=1, 2)", ")"),
    ("Pad(1, =2)", "=2)"),
]


@pytest.mark.parametrize(("text", "culprit"), HOSTILE, ids=[shorten(text) or "empty" for text, _ in HOSTILE])
def test_hostile_texts_are_refused_quoting_the_culprit(text: str, culprit: str):
    error = refusal(text)
    assert error.facts["culprit"].startswith(culprit)
    position = error.facts["position"]
    if position is None:
        assert len(text) > MAX_CHARACTERS
    else:
        assert shorten(text[position:]).startswith(culprit[:1])


def test_limits_are_reached_before_they_are_passed():
    assert len(parse_calls("|".join(["Pad(1)"] * MAX_STEPS))) == MAX_STEPS
    assert parse_recipe("RandomApply([" * (MAX_NESTING - 1) + "Pad(1)" + "])" * (MAX_NESTING - 1)).text.count("Random") == MAX_NESTING - 1
    padded = "Pad(1)".ljust(MAX_CHARACTERS)
    assert parse_recipe(padded).text == "Pad(1)"
    assert refusal(padded + " ").facts["position"] is None


def test_a_text_whose_canonical_form_is_too_long_is_refused():
    steps = ", ".join(["ColorJitter(.1,.1,.1,.1)"] * 30)
    few = f"RandomChoice([{steps}])"
    assert parse_recipe(few).text.count("brightness") == 30
    fills = ",".join(["RandomAffine(1,[0,0],[1,1],[1,1,1,1],'bilinear',[1,1,1],[1,1])"] * 31)
    text = f"RandomOrder([{fills}])"
    assert len(text) < MAX_CHARACTERS
    assert "Written out" in refusal(text).detail


@given(st.text(max_size=80))
@settings(deadline=None)
@example("Pad(1)\n")
@example("\x00" * 80)
def test_any_text_parses_or_is_refused(text: str):
    try:
        parse_recipe(text)
    except InvalidRecipe:
        refusal(text)


WORDS = [
    *STEPS,
    "transforms.Resize",
    "v2.",
    "torch.float32",
    "InterpolationMode.BICUBIC",
    "p",
    "size",
    "scale",
    "True",
    "None",
    "nan",
    "lambda",
    "for",
    "__class__",
    "224",
    "0.5",
    "1e999",
    "-",
    "+",
    '"bilinear"',
    "'",
]
PIECES = st.sampled_from([*WORDS, *"|,()[]=. \"'+-\n", "()", "([", "])", " | "])


@given(st.lists(PIECES, max_size=40).map("".join))
@settings(max_examples=300, deadline=None)
def test_any_sequence_of_tokens_parses_or_is_refused(text: str):
    try:
        parse_recipe(text)
    except InvalidRecipe:
        refusal(text)


@given(st.integers(0, len(TRAIN) - 1), st.sampled_from(string.printable + "\0\u0430"), st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_recipe_with_one_character_changed_parses_or_is_refused(position: int, character: str, is_replaced: bool):
    text = TRAIN[:position] + character + TRAIN[position + is_replaced :]
    try:
        assert parse_recipe(parse_recipe(text).text).text == parse_recipe(text).text
    except InvalidRecipe:
        refusal(text)
