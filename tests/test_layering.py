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
TORCH_ONLY, ENGINE, ESTIMATORS, FACES = range(4)
LAYERS = {
    "_losses": TORCH_ONLY,
    "_noise": TORCH_ONLY,
    "_priors": TORCH_ONLY,
    "networks": TORCH_ONLY,
    "_averaging": ENGINE,
    "_batches": ENGINE,
    "_blocks": ENGINE,
    "_compiling": ENGINE,
    "_device": ENGINE,
    "_distributed": ENGINE,
    "_gradients": ENGINE,
    "_health": ENGINE,
    "_inference": ENGINE,
    "_neighbors": ENGINE,
    "_net": ENGINE,
    "_persistence": ENGINE,
    "_randomness": ENGINE,
    "_replay": ENGINE,
    "_stopping": ENGINE,
    "_terms": ENGINE,
    "_training": ENGINE,
    "_views": TORCH_ONLY,
    "_encoding": ESTIMATORS,
    "_generation": ESTIMATORS,
    "_learning": ESTIMATORS,
    "_parameters": ESTIMATORS,
    "_transformer": ESTIMATORS,
    "_display": FACES,
}
ALLOWED = {
    TORCH_ONLY: {"numpy", "torch"},
    ENGINE: {"numpy", "torch", "skorch", "sklearn", "threadpoolctl"},
    ESTIMATORS: {"numpy", "torch", "sklearn"},
    FACES: {"numpy", "sklearn", "matplotlib"},
}
STANDARD_LIBRARY = {
    "atexit", "collections", "concurrent", "contextlib", "copy", "dataclasses", "functools",
    "itertools", "math", "mmap", "numbers", "os", "threading", "typing", "warnings",
}  # fmt: skip


def layer(module: str) -> int:
    name = module.split(".")[1]
    assert name in LAYERS, f"place {name} in a layer"
    return LAYERS[name]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def module_of(name: str) -> str:
    """What is imported from a module of ours, or the module itself."""
    return name if name in MODULES else name.rpartition(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_place_in_a_layer(module):
    assert layer(module) in ALLOWED


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_its_own_layer_and_those_below(module):
    for name in imports(MODULES[module]):
        package = name.split(".")[0]
        if package == "sklearn_bigan":
            assert module_of(name) in MODULES, name
            assert layer(name) <= layer(module), name
        else:
            assert package in ALLOWED[layer(module)] | STANDARD_LIBRARY, name


def test_no_imports_go_round_in_a_circle():
    graph = {module: set(map(module_of, imports(path))) for module, path in MODULES.items()}
    while graph:
        free = {module for module, needs in graph.items() if not needs & set(graph)}
        assert free, f"a circle among {set(graph)}"
        graph = {module: needs for module, needs in graph.items() if module not in free}


def test_the_engine_takes_only_splits_and_neighbours_from_scikit_learn():
    engine = [path for module, path in MODULES.items() if layer(module) == ENGINE]
    taken = {name for path in engine for name in imports(path) if name.startswith("sklearn.")}
    assert taken == {
        "sklearn.decomposition.PCA",
        "sklearn.model_selection.train_test_split",
        "sklearn.neighbors.NearestNeighbors",
        "sklearn.utils.gen_batches",
    }


@pytest.mark.parametrize("module", MODULES)
def test_a_file_stays_under_400_lines(module):
    assert len(MODULES[module].read_text().splitlines()) <= 400
