"""What a notebook shows of fit and of a fitted estimator."""

import re

import nbclient
import nbformat

DATA = """
from sklearn.datasets import load_digits
from sklearn_bigan import BiGANTransformer
X = load_digits().data[:300] / 16
bigan = BiGANTransformer(4, hidden_layer_sizes=(32,), max_epochs=15, random_state=0)
"""


def run(*cells: str) -> nbformat.NotebookNode:
    """Return the notebook of these cells, executed."""
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    return notebook


def test_a_notebook_shows_a_bar_and_what_was_fitted_and_no_noise():
    notebook = run(DATA, "bigan.fit(X);", "bigan.set_params(verbose=1).fit(X)")
    imports, silent, shown = (cell.outputs for cell in notebook.cells)
    assert imports == silent == []
    bar, stderr, estimator = shown
    assert "application/vnd.jupyter.widget-view+json" in bar.data
    widgets = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    texts = " ".join(str(widget["state"].get("value")) for widget in widgets.values())
    assert re.search(r"trained\s15\sepochs\sin\s00:\d\d,\sratio\s\d", texts)
    assert stderr.name == "stderr"
    assert stderr.text.splitlines() == [
        "300 rows of 64 columns, on cpu",
        "mlp (32,), 4 components",
        "15 epochs, 75 updates of 64 rows each",
    ]
    assert "fitted on cpu: components 4, epochs 15" in estimator.data["text/html"]
