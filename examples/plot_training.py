"""
Training: what healthy and unhealthy curves look like
=====================================================

The adversarial losses do not say whether the features are good. The diagnostics do: how well the
encoder and the generator invert each other, and how well codes and samples cover the prior and the
data. Four trainings on digits show them: a healthy one, and three that go wrong.
"""

# %%
# A healthy training
# ------------------
# The default, with fewer epochs than it would take. The ratio of the reconstructions falls, the
# coverage rises, and both spreads come close to 1.

import argparse
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from sklearn_bigan import BiGANTransformer, TrainingDisplay

parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path, help="save pictures here; default: show them")
parser.add_argument("--epochs", type=int, default=30)
args = parser.parse_args()

X = load_digits().data / 16
healthy = BiGANTransformer(16, max_epochs=args.epochs, random_state=0).fit(X)
TrainingDisplay.from_estimator(healthy)


def fit(**parameters):
    """Fit a model that goes wrong, and print the warning."""
    bigan = BiGANTransformer(16, max_epochs=args.epochs, random_state=0, **parameters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        bigan.fit(X)
    print(*(warning.message for warning in caught), f"R^2: {bigan.score(X):.2f}", sep="\n")
    return bigan


# %%
# A learning rate that is too low
# -------------------------------
# Nothing moves: reconstructions are as far from their own rows as from others, and samples cover
# none of them. `learning_rate="auto"` trains well.

TrainingDisplay.from_estimator(fit(learning_rate=1e-6))

# %%
# Networks that do not invert each other
# --------------------------------------
# With ``method="bigan"`` there are no cycle losses. The losses of the players look as before, but
# the ratio stays high: a reconstruction says little about its row.

TrainingDisplay.from_estimator(fit(method="bigan"))

# %%
# An encoder that collapses
# -------------------------
# Without cycle losses, a high learning rate drives the codes to a corner of the prior.

TrainingDisplay.from_estimator(fit(method="bigan", learning_rate=0.05))

# %%

if args.out:
    args.out.mkdir(parents=True, exist_ok=True)
    for number in plt.get_fignums():
        plt.figure(number).savefig(args.out / f"training_{number}.png", dpi=150)
else:
    plt.show()
