"""The README's snippets do what it says they do."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from sklearn_bigan import BiGANTransformer

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


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
