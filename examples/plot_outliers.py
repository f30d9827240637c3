"""
Outliers: from rows to a threshold to reasons
=============================================

Measurements of benign tumours with a few malignant ones among them. A detector is fitted to all
rows without labels, finds the odd ones, and says which measurements make them odd.

    python examples/plot_outliers.py
"""

# %%
# The rows
# --------
# 357 benign tumours and 20 malignant ones.

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler

from sklearn_bigan import BiGANOutlierDetector, BiGANTransformer, OutlierDisplay

parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path, help="save the picture here; default: show it")
parser.add_argument("--epochs", type=int, default=200, help="default: 200")
args = parser.parse_args()

table = load_breast_cancer(as_frame=True)
malignant, benign = (table.data[table.target == label] for label in (0, 1))
X = pd.concat([benign, malignant[:20]])
is_malignant = np.repeat([False, True], [len(benign), 20])

# %%
# A detector
# ----------
# The columns have different units, so they are scaled, by quantiles that outliers do not move.
# Beside it, the detector to compare any other with: an isolation forest, which takes a second.

bigan = BiGANTransformer(8, max_epochs=args.epochs, random_state=0)
detector = make_pipeline(RobustScaler(), BiGANOutlierDetector(bigan, random_state=0)).fit(X)
forest = IsolationForest(random_state=0).fit(X)
for name, fitted in (("BiGANOutlierDetector", detector), ("IsolationForest", forest)):
    print(f"{name} ROC AUC: {roc_auc_score(is_malignant, -fitted.score_samples(X)):.3f}")

# %%
# A threshold
# -----------
# By default rows beyond Tukey's fence are outliers. Where it is known how many rows can be looked
# at, ``contamination`` sets their share.

found = detector.predict(X) == -1
print(f"{found.sum()} rows are outliers, {is_malignant[found].sum()} of them malignant")
scores = detector.score_samples(X)
tenth = scores < np.quantile(scores, 0.1)  # what contamination=0.1 would find
print(f"{tenth.sum()} rows are the oddest tenth, {is_malignant[tenth].sum()} of them malignant")

# %%
# Reasons
# -------
# What each measurement adds to the oddness of the oddest malignant tumour, by its value in place of
# its median. A scaler keeps the columns, so the display shows them in their own units.

oddest = np.flatnonzero(is_malignant)[scores[is_malignant].argmin()]
display = OutlierDisplay.from_estimator(detector, X.iloc[[oddest]])

# %%

if args.out:
    args.out.mkdir(parents=True, exist_ok=True)
    display.figure_.savefig(args.out / "outliers.png", dpi=150)
else:
    plt.show()
