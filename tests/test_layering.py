"""The folders are layers: each imports only from itself and from those further down."""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import sklearn_bigan

ROOT = Path(sklearn_bigan.__file__).parent
# From top to bottom, with the third-party packages that each may use.
LAYERS = {
    "__init__": set(),
    "onnx": {"skl2onnx", "torch"},
    "metrics": {"numpy", "sklearn", "torch"},
    "_outlier": {"numpy", "sklearn"},
    "_transformer": {"numpy", "sklearn", "torch"},
    "_display": {"matplotlib", "numpy", "sklearn"},
    "_files": {"numpy", "safetensors", "torch"},
    "_parameters": {"joblib", "numpy", "sklearn", "torch"},
    "_persistence": {"numpy", "sklearn", "torch"},
    "_anomaly": {"numpy", "sklearn", "torch"},
    "_forest": {"numpy", "sklearn"},
    "_training": {"numpy", "safetensors", "sklearn", "skorch", "torch", "tqdm"},
    "_objectives": {"torch"},
    "_data": {"numpy", "sklearn", "skorch", "torch"},
    "networks": {"numpy", "torch"},
    "_runtime": {"numpy", "sklearn", "threadpoolctl", "torch"},
}
ORDER = tuple(LAYERS)
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")
}


def layer(module: str) -> str:
    return module.split(".")[0]


def imports(module: str) -> set[str]:
    """Return what a module imports, anywhere in it, with full names."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own_imports(module: str) -> set[str]:
    """Return the modules of the package that a module imports."""
    names = {
        name.removeprefix("sklearn_bigan.")
        for name in imports(module)
        if name.startswith("sklearn_bigan.")
    }
    return {name if name in MODULES else name.rpartition(".")[0] for name in names}


def test_every_module_is_in_a_layer():
    assert set(map(layer, MODULES)) == set(ORDER)


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_downwards(module):
    own = own_imports(module)
    assert own <= set(MODULES)
    upwards = {name for name in own if ORDER.index(layer(name)) < ORDER.index(layer(module))}
    assert not upwards


@pytest.mark.parametrize("module", MODULES)
def test_a_layer_uses_only_its_third_party_packages(module):
    used = {name.split(".")[0] for name in imports(module)}
    assert used - sys.stdlib_module_names - {"sklearn_bigan"} <= LAYERS[layer(module)]


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return a cycle of the graph, or an empty list."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_imports_have_no_cycles():
    assert cycle({"a": {"b"}, "b": {"a"}})
    assert cycle({module: own_imports(module) for module in MODULES}) == []
