"""The README's snippets do what it says they do."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sklearn_bigan import BiGANTransformer

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.slow
def test_the_first_snippet_prints_what_the_readme_shows():
    shown = re.search(r"```\n(.*?)```", README.split(SNIPPETS[0])[1].split("```", 1)[1], re.DOTALL)
    run = subprocess.run(
        [sys.executable, "-c", SNIPPETS[0]], capture_output=True, text=True, check=True
    )
    assert run.stdout == shown[1]


@pytest.mark.slow
def test_the_pipeline_is_searched_saved_and_loaded(tmp_path):
    """One epoch in place of the default's, which would take minutes."""
    both = "".join(SNIPPETS).replace("BiGANTransformer(", "BiGANTransformer(max_epochs=1, ")
    run = subprocess.run(
        [sys.executable, "-c", f"{both}\nprint(search.best_params_)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "bigan__n_components" in run.stdout
    assert (tmp_path / "digits.joblib").exists()


def test_parameters_that_are_named_exist():
    named = set(re.findall(r"`([a-z_]+)=", README))
    assert {"features", "max_epochs"} <= named <= set(BiGANTransformer().get_params())
