"""The documentation's code runs, and its links lead somewhere."""

import re
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

import sklearn_bigan
from sklearn_bigan import BiGANOutlierDetector, BiGANTransformer, _parameters, metrics

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {
    path.relative_to(DOCS).with_suffix("").as_posix(): path.read_text()
    for path in sorted(DOCS.rglob("*.md"))
    if not {"examples", "generated"} & set(path.relative_to(DOCS).parts)
}
CALL = r"`(BiGANTransformer\([^`\n]*\))`"
BLOCKS = {
    name: re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) for name, text in PAGES.items()
}


@pytest.mark.parametrize("page", [name for name, blocks in BLOCKS.items() if blocks])
def test_the_code_of_a_page_runs_from_top_to_bottom(page, monkeypatch, tmp_path, no_figures):
    if any("sklearn.callback" in block for block in BLOCKS[page]):
        pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")
    n_epochs = _parameters.n_epochs
    monkeypatch.setattr(_parameters, "n_epochs", lambda *args: min(1, n_epochs(*args)))
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for block in BLOCKS[page]:
        exec(block, names)
    assert any(isinstance(value, BaseEstimator) and is_fitted(value) for value in names.values())


def is_fitted(estimator: BaseEstimator) -> bool:
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def test_there_are_pages_with_code():
    assert sum(map(len, BLOCKS.values())) >= 15


CALLS = sorted({call for text in PAGES.values() for call in re.findall(CALL, text)})


@pytest.mark.parametrize("call", CALLS)
def test_estimators_that_are_named_by_their_parameters_can_be_fitted(call, small_digits):
    estimator = eval(call, {"BiGANTransformer": BiGANTransformer})
    assert estimator.set_params(max_epochs=1).fit(small_digits).n_iter_ == 1


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+\.md)", PAGES[page]):
        assert ((DOCS / page).parent / target).resolve().exists(), target


@pytest.mark.parametrize("path", sorted(DOCS.glob("terminals/*.txt")), ids=lambda path: path.stem)
def test_captured_terminals_have_80_columns_and_a_sign_of_life_every_two_seconds(path):
    lines = path.read_text().splitlines()
    assert max(map(len, lines)) <= 80
    first, often = re.fullmatch(
        r"=== first sign of life after (.*) s, then every (.*) s.*", lines[-1]
    ).groups()
    assert float(first) <= 1
    assert float(often) <= 2


def test_every_public_name_is_in_the_reference():
    listed = set(re.findall(r"^   (\w+)$", (DOCS / "api.rst").read_text(), flags=re.MULTILINE))
    public = {*sklearn_bigan.__all__, *metrics.__all__, "register_converter"} - {"__version__"}
    assert listed == public


@pytest.mark.parametrize("page", PAGES)
def test_parameters_that_a_page_sets_exist(page):
    named = set(re.findall(r"`([a-z_]+)=[^`(]*`", PAGES[page]))
    of_others = {"device", "scatter_kwargs", "sparse_output", "nearest", "cluster"}
    ours = {*BiGANTransformer().get_params(), *BiGANOutlierDetector().get_params()}
    assert named <= ours | of_others
