"""The README's snippets do what it says they do."""

import ast
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
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


def test_bigan_as_published_is_what_the_benchmarks_call_so():
    (snippet,) = (text for text in SNIPPETS if text.startswith("BiGANTransformer("))
    shown = eval(snippet, {"BiGANTransformer": BiGANTransformer}).get_params()
    methods = ast.parse((ROOT / "benchmarks" / "methods.py").read_text())
    (published,) = (
        ast.literal_eval(statement.value)
        for statement in methods.body
        if isinstance(statement, ast.AnnAssign) and statement.target.id == "PUBLISHED"
    )
    expected = BiGANTransformer(**published, learning_rate=2e-4).get_params()
    assert shown == expected


def test_the_images_snippet_draws_what_it_says(digits, no_figures):
    (snippet,) = (text for text in SNIPPETS if "ReconstructionDisplay" in text)
    photographs = np.tile(digits[:40], (1, 48))  # 32 x 32 x 3
    names = {
        "BiGANTransformer": partial(BiGANTransformer, max_epochs=1),
        "X": photographs,
        "X_test": photographs,
    }
    exec(snippet, names)
    assert len(plt.get_fignums()) == 4
