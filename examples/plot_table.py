"""
A table: a latent map, a search, and rows in original units
===========================================================

Measurements of tumours: 569 rows of 30 columns with different units. A pipeline scales them, learns
codes from all rows without labels, and trains a classifier on the codes.

    python examples/plot_table.py
"""

# %%
# A pipeline
# ----------
# Columns of different units are standardised first. A table of one's own would come from
# ``pandas.read_csv`` instead.

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bigan import BiGANTransformer, LatentMapDisplay, TrainingDisplay

parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path, help="save pictures here; default: show them")
parser.add_argument("--epochs", type=int, default=30, help="default: 30")
args = parser.parse_args()

data = load_breast_cancer(as_frame=True)
y = data.target.map({0: "malignant", 1: "benign"})
X_train, X_test, y_train, y_test = train_test_split(data.data, y, stratify=y, random_state=0)
codes = Pipeline(
    [
        ("scale", StandardScaler()),
        ("bigan", BiGANTransformer(8, max_epochs=args.epochs, random_state=0)),
    ]
).fit(X_train)

# %%
# The codes as a map
# ------------------
# Rows that the pipeline was not fitted on, by their codes' two leading principal components. No
# label was used for the codes.

LatentMapDisplay.from_estimator(codes, X_test, y_test)

# %%
# How the training went
# ---------------------

TrainingDisplay.from_estimator(codes)

# %%
# New rows in original units
# --------------------------
# `sample` returns standardised rows; the scaler brings them back.

samples = codes["scale"].inverse_transform(codes["bigan"].sample(3, random_state=0))
for name, values in list(zip(X_train.columns, samples.T, strict=True))[:4]:
    print(f"{name:15}", values.round(2))

# %%
# A search
# --------
# The whole pipeline goes into a grid search, as with PCA. `features` is part of the grid.

pipeline = Pipeline([*codes.steps, ("classifier", LogisticRegression(max_iter=1000))])
grid = {"bigan__n_components": [4, 8], "bigan__features": ["latent", "all"]}
search = GridSearchCV(pipeline, grid, cv=3).fit(X_train, y_train)
print(search.best_params_)
print(f"accuracy: {search.score(X_test, y_test):.3f}")

# %%

if args.out:
    args.out.mkdir(parents=True, exist_ok=True)
    for number in plt.get_fignums():
        plt.figure(number).savefig(args.out / f"table_{number}.png", dpi=150)
else:
    plt.show()
