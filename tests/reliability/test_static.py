"""What the code must not hold: ways in which data becomes code."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "shelve", "yaml", "ctypes", "cffi"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "breakpoint", "input"}
FORBIDDEN_ATTRIBUTES = {
    "torch.load",
    "torch.jit.load",
    "torch.hub.load",
    "yaml.load",
    "os.system",
    "os.popen",
    "importlib.import_module",
    "pickle.loads",
    "pickle.load",
    "builtins.eval",
    "builtins.exec",
}


def dangers(source: str) -> list[str]:
    """Lists the dangerous places of a program: line and what stands there."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                bad = [each.name for each in names if each.name.partition(".")[0] in FORBIDDEN_MODULES]
            case ast.ImportFrom(module=str(module), names=names):
                bad = [module] if module.partition(".")[0] in FORBIDDEN_MODULES else [f"{module}.{each.name}" for each in names]
                bad = [each for each in bad if each in FORBIDDEN_ATTRIBUTES | FORBIDDEN_MODULES or each.partition(".")[0] in FORBIDDEN_MODULES]
            case ast.Call(func=func, keywords=keywords):
                name = ast.unparse(func)
                flags = {each.arg: ast.unparse(each.value) for each in keywords}
                is_unsafe_load = name.endswith((".load", "open_memmap")) and flags.get("allow_pickle", "False") != "False"
                is_forbidden = name in FORBIDDEN_CALLS | FORBIDDEN_ATTRIBUTES and not all(isinstance(each, ast.Constant) for each in node.args or [node])
                bad = [name] if is_forbidden or is_unsafe_load or flags.get("shell", "False") != "False" else []
                bad += ["trust_remote_code"] if "trust_remote_code" in flags else []
            case _:
                bad = []
        found += [f"{node.lineno}: {each}" for each in bad]
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "service").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_data_becomes_code(path: Path) -> None:
    assert dangers(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "import yaml",
        "from dill import load",
        "eval(x)",
        "exec(x)",
        "compile(x, '', 'eval')",
        "import torch\ntorch.load(x)",
        "from torch import load",
        "np.load(x, allow_pickle=True)",
        "numpy.load(x, allow_pickle=flag)",
        "subprocess.run(x, shell=True)",
        "os.system(x)",
        "load_dataset(x, trust_remote_code=True)",
        "__import__(x)",
        "importlib.import_module(x)",
    ],
)
def test_the_check_would_notice(source: str) -> None:
    assert dangers(source)


@pytest.mark.parametrize(
    "source",
    ["np.load(x)", "np.load(x, allow_pickle=False)", "ast.parse(x)", 'importlib.import_module("pynvml")', "re.compile(x)", "json.load(x)", "tomllib.load(x)"],
)
def test_the_check_lets_pass_what_is_safe(source: str) -> None:
    assert not dangers(source)
