import ast
from pathlib import Path

import pytest

import sklearn_bigan

ROOT = Path(sklearn_bigan.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path
    for path in ROOT.rglob("*.py")
    if path.name != "__init__.py"
}
TORCH_ONLY, ENGINE, ESTIMATORS = range(3)
LAYERS = {
    "_losses": TORCH_ONLY,
    "_priors": TORCH_ONLY,
    "networks": TORCH_ONLY,
    "_batches": ENGINE,
    "_device": ENGINE,
    "_gradients": ENGINE,
    "_inference": ENGINE,
    "_net": ENGINE,
    "_persistence": ENGINE,
    "_randomness": ENGINE,
    "_generation": ESTIMATORS,
    "_parameters": ESTIMATORS,
    "_transformer": ESTIMATORS,
}
ALLOWED = {
    TORCH_ONLY: {"numpy", "torch"},
    ENGINE: {"numpy", "torch", "skorch", "sklearn"},
    ESTIMATORS: {"numpy", "torch", "sklearn"},
}
STANDARD_LIBRARY = {
    "collections", "contextlib", "copy", "dataclasses", "functools", "itertools", "math",
    "numbers", "threading", "typing", "warnings",
}  # fmt: skip


def layer(module: str) -> int:
    return LAYERS[module.split(".")[1]]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return found


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_its_own_layer_and_those_below(module):
    for name in imports(MODULES[module]):
        package = name.split(".")[0]
        if package == "sklearn_bigan":
            assert layer(name) <= layer(module), name
        else:
            assert package in ALLOWED[layer(module)] | STANDARD_LIBRARY, name


def test_no_imports_go_round_in_a_circle():
    graph = {module: imports(path) & set(MODULES) for module, path in MODULES.items()}
    while graph:
        free = {module for module, needs in graph.items() if not needs & set(graph)}
        assert free, f"a circle among {set(graph)}"
        graph = {module: needs for module, needs in graph.items() if module not in free}


@pytest.mark.parametrize("module", [m for m in MODULES if layer(m) == ENGINE])
def test_the_engine_takes_no_validation_from_scikit_learn(module):
    taken = {name for name in imports(MODULES[module]) if name.startswith("sklearn.")}
    assert taken <= {"sklearn.utils"}
    assert "validation" not in MODULES[module].read_text()


@pytest.mark.parametrize("module", MODULES)
def test_a_file_stays_under_400_lines(module):
    assert len(MODULES[module].read_text().splitlines()) <= 400
