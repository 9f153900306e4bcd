"""From the text of a recipe to its syntax: calls joined by `|`, with literals as arguments.

Text pasted from torchvision code is read, too: a module before a transform (`transforms.Resize(256)`), and the members that stand for a literal
(`InterpolationMode.BICUBIC`, `torch.float32`). They are looked up in the tables below; no module is imported for them.

Python's own parser (`ast`) reads the text, and nothing is ever evaluated. A scan with one regular expression comes first: it admits only the characters,
tokens, lengths and nesting that a recipe needs, so that no text, however hostile, makes the parser work hard, warn or run out of stack.
"""

import ast
import keyword
import re
from dataclasses import dataclass
from threading import Lock
from typing import NoReturn, TypeAlias

from service.errors import InvalidRecipe

MAX_CHARACTERS = 4096
MAX_STEPS = 32
MAX_NESTING = 4
MAX_NUMBER = 1e6
_MAX_BRACKETS = 2 * MAX_NESTING + 4  # Each container opens two; the innermost call, its lists and a pair to spare make four.
_MAX_QUOTE = 60

Value: TypeAlias = "bool | int | float | str | tuple[Value, ...] | Call | None"

_SHAPE = "Resize(256) | CenterCrop(224)"
_TOO_MANY = f"A recipe has at most {MAX_STEPS} steps, nested ones included; here begins one more"
_SPACE = str.maketrans("\t\r\n", "   ")
_FOREIGN = re.compile(r"[^\w .,|()\[\]\"'+\-=]", re.ASCII)
_TOKEN = re.compile(
    r"""(?P<space>\ +)
    |   (?P<number>(?:\d(?:_?\d)*(?:\.(?:\d(?:_?\d)*)?)?|\.\d(?:_?\d)*)(?:[eE][+-]?\d+)?)(?![\w.])
    |   (?P<name>[A-Za-z_]\w*+(?:\.[A-Za-z_]\w*+){0,7}+)(?!["'])
    |   (?P<string>"[^"]*"|'[^']*')
    |   (?P<sign>[+-])
    |   (?P<open>[(\[])
    |   (?P<close>[)\]])
    |   (?P<mark>[|,=])
    """,
    re.VERBOSE | re.ASCII,
)

_MODULE = re.compile(r"torchvision|transforms?(?:_?v[12])?|v[12]|T[FV12]?|tvt?|tfms?|tt", re.ASCII)
"""Names under which code imports `torchvision.transforms`, part by part."""

_ENUMERATION_MODULES = frozenset({"functional", "F", "autoaugment", "PIL", "Image"})
_FILTERS = ("NEAREST", "BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS")
_MEMBERS: dict[str, dict[str, str]] = {
    "InterpolationMode": {name: name.lower().replace("_", "-") for name in (*_FILTERS, "NEAREST_EXACT")},
    "AutoAugmentPolicy": {name: name.lower() for name in ("IMAGENET", "CIFAR10", "SVHN")},
    "torch": {name: name for name in ("uint8", "float32", "float16", "bfloat16", "float64")} | {"float": "float32", "half": "float16"},
    "Image": {name: name.lower() for name in _FILTERS},
    "Resampling": {name: name.lower() for name in _FILTERS},
}
"""Owner -> member -> the literal that a recipe has for it. Which of them a parameter allows is for its kind to decide."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a call.

    Attributes:
        value: a literal; lists and tuples come as tuples; a list of steps as a tuple of calls.
        text: as written, with its name if it has one.
        position: offset of its first character in the recipe.
    """

    value: Value
    text: str
    position: int


@dataclass(frozen=True, slots=True)
class Call:
    """One step as written: `Name(arguments)`.

    Attributes:
        name: of the step; not yet looked up.
        arguments: by position.
        keywords: by name, in the order written; names are distinct.
        text: as written.
        position: offset of its first character in the recipe.
    """

    name: str
    arguments: tuple[Argument, ...]
    keywords: tuple[tuple[str, Argument], ...]
    text: str
    position: int


_PARSER = Lock()
"""CPython 3.11 counts the depth of all threads' trees in one place and may raise SystemError when two build trees at once (python/cpython issue 106905)."""


def parse_calls(text: str) -> tuple[Call, ...]:
    """Reads a recipe's text.

    Args:
        text: at most 4096 characters, all of them ASCII.

    Returns:
        the calls between the pipes, at least one.

    Raises:
        InvalidRecipe: quotes the culprit and says what is allowed; facts `culprit` and `position` (offset in `text`, None where unknown).
    """
    if len(text) > MAX_CHARACTERS:
        refuse(f"A recipe has at most {MAX_CHARACTERS} characters; this one has {len(text)}", text, None)
    spaced = text.translate(_SPACE)
    _scan(spaced)
    indent = len(spaced) - len(spaced.lstrip(" "))
    try:
        with _PARSER:
            tree = ast.parse(spaced[indent:], mode="eval")
    except SyntaxError as exc:
        position = min(len(text), indent + max(0, (exc.offset or 1) - 1))
        refuse(f"A recipe reads like {_SHAPE}. This one does not parse ({exc.msg})", spaced[position:] or spaced.strip(), position)
    except (ValueError, OverflowError, RecursionError, MemoryError) as exc:
        refuse(f"A recipe reads like {_SHAPE}. This one does not parse ({type(exc).__name__})", text, None)
    return _Reader(spaced, indent).calls(tree.body)


def refuse(reason: str, culprit: str, position: int | None, **facts: object) -> NoReturn:
    """Raises InvalidRecipe, quoting the culprit.

    Args:
        reason: what is wrong and what is allowed; no full stop.
        culprit: the part of the recipe that is wrong; shortened and made printable here.
        position: its offset in the recipe, None where unknown.
        **facts: more for programs.
    """
    quoted = shorten(culprit)
    raise InvalidRecipe(f"{reason}: `{quoted}`." if quoted else f"{reason}.", culprit=quoted, position=position, **facts)


def shorten(text: str) -> str:
    """Makes a text fit to quote: printable, and at most 60 characters."""
    printable = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text[: _MAX_QUOTE + 1])
    return printable if len(printable) <= _MAX_QUOTE else printable[: _MAX_QUOTE - 3] + "..."


def _scan(text: str) -> None:
    """Refuses everything that is not a short sequence of harmless tokens; tells where."""
    if not text.strip(" "):
        refuse(f"The recipe is empty; write for instance {_SHAPE}", "", 0)
    foreign = _FOREIGN.search(text)
    if foreign:
        refuse("Recipes are written with letters, digits, spaces and _ . , | ( ) [ ] \" ' + - =; not with this character", foreign[0], foreign.start())
    position = depth = pipes = sign = 0
    before = ""
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            _explain(text, position)
        kind, lexeme = str(match.lastgroup), match[0]
        depth += (kind == "open") - (kind == "close")
        pipes += lexeme == "|"
        if pipes >= MAX_STEPS:
            refuse(_TOO_MANY, text[position:], position)
        if depth > _MAX_BRACKETS:
            refuse(f"Brackets nest at most {_MAX_BRACKETS} deep and steps {MAX_NESTING} deep; here begins one more", text[position:], position)
        is_stray = kind == "sign" and before in {"number", "close"}
        if is_stray or (before == "sign" and kind not in {"number", "space"}):
            start = position if is_stray else sign
            refuse("A sign stands before a number, and recipes do no arithmetic", text[start:], start)
        if kind == "name" and lexeme not in {"True", "False", "None"}:
            _check_no_keyword(lexeme, text, position)
        before = before if kind == "space" else kind
        sign = position if kind == "sign" else sign
        position = match.end()


def _check_no_keyword(name: str, text: str, position: int) -> None:
    word = next((part for part in name.split(".") if keyword.iskeyword(part)), None)
    if word is not None:
        refuse(f"A recipe reads like {_SHAPE}; Python's {word!r} has no place in it", text[position:], position)


def _explain(text: str, position: int) -> NoReturn:
    rest = text[position:]
    word = re.match(r"[\w.]+", rest, re.ASCII)
    if rest[0] in "\"'":
        refuse("This string does not end" if rest.count(rest[0]) == 1 else "This is no string", rest, position)
    if rest[0] == ".":
        before = re.search(r"\w*$", text[:position], re.ASCII)
        name = before[0] if before else ""
        refuse("A dot joins the names of a module and a transform, as in transforms.Resize(256)", name + (word[0] if word else "."), position - len(name))
    if word and rest[0].isdigit():
        refuse("Numbers look like 224, 0.5 or 1e-3", word[0], position)
    refuse('Strings are written "like this", without a prefix', rest, position)


class _Reader:
    """Walks the tree that `ast` made of one recipe."""

    def __init__(self, text: str, indent: int) -> None:
        self._text = text
        self._indent = indent
        self._steps = 0

    def calls(self, node: ast.expr) -> tuple[Call, ...]:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return (*self.calls(node.left), *self.calls(node.right))
        return (self._call(node, 1),)

    def _call(self, node: ast.expr, level: int) -> Call:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
            hint = f"Write {shorten(node.id)}()" if isinstance(node, ast.Name) else f"Steps are calls like those in {_SHAPE}"
            self._refuse(f"{hint}; this is not a call", node)
        name = self._name(node.func)
        self._steps += 1
        if self._steps > MAX_STEPS:
            self._refuse(_TOO_MANY, node)
        if level > MAX_NESTING:
            self._refuse(f"Steps nest at most {MAX_NESTING} deep; this one lies deeper", node)
        arguments = tuple(Argument(self._value(each, level), self._slice(each), self._position(each)) for each in node.args)
        keywords = tuple((str(each.arg), Argument(self._value(each.value, level), self._slice(each), self._position(each))) for each in node.keywords)
        return Call(name, arguments, keywords, self._slice(node), self._position(node))

    def _name(self, node: ast.Name | ast.Attribute) -> str:
        """Return a transform's name without the module that stands before it."""
        *modules, name = self._slice(node).split(".")
        if not all(_MODULE.fullmatch(each) for each in modules):
            self._refuse("Steps are called like transforms.Resize(256), v2.Resize(256), T.Resize(256), or by their name alone", node)
        return name

    def _member(self, node: ast.Attribute) -> str:
        """Return the literal that a member of an enumeration, or a dtype of torch, stands for."""
        *modules, owner, member = ["", *self._slice(node).split(".")]
        is_known = all(not each or each in _ENUMERATION_MODULES or _MODULE.fullmatch(each) for each in modules)
        if not is_known or member not in _MEMBERS.get(owner, {}):
            self._refuse("Of names with a dot, arguments may be InterpolationMode.BICUBIC, AutoAugmentPolicy.IMAGENET, torch.float32 and the like", node)
        return _MEMBERS[owner][member]

    def _value(self, node: ast.expr, level: int) -> Value:
        if isinstance(node, ast.List | ast.Tuple):
            return tuple(self._value(each, level) for each in node.elts)
        if isinstance(node, ast.Call):
            return self._call(node, level + 1)
        if isinstance(node, ast.Constant) and isinstance(node.value, bool | str | None):
            return node.value
        if isinstance(node, ast.Attribute):
            return self._member(node)
        if isinstance(node, ast.Name):
            self._refuse('Arguments are numbers, "strings", True, False, None, or lists of those; a bare name is none of them', node)
        return self._number(node)

    def _number(self, node: ast.expr) -> int | float:
        sign = 1
        inner = node
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            sign = -1 if isinstance(node.op, ast.USub) else 1
            inner = node.operand
        if not isinstance(inner, ast.Constant) or isinstance(inner.value, bool) or not isinstance(inner.value, int | float):
            self._refuse('Arguments are numbers, "strings", True, False, None, or lists of those', node)
        if abs(inner.value) > MAX_NUMBER:  # Also catches 1e999, which reads as infinity.
            self._refuse(f"Numbers lie between -{MAX_NUMBER:.0f} and {MAX_NUMBER:.0f}", node)
        return sign * inner.value

    def _slice(self, node: ast.expr | ast.keyword) -> str:
        return self._text[self._position(node) : self._indent + (node.end_col_offset or 0)]

    def _position(self, node: ast.expr | ast.keyword) -> int:
        return self._indent + node.col_offset

    def _refuse(self, reason: str, node: ast.expr) -> NoReturn:
        refuse(reason, self._slice(node), self._position(node))
