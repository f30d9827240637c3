"""
Digits: features, pictures, and a classifier from few labels
============================================================

An encoder and a generator are trained on images without labels. A classifier is then trained on
the encoder's features with a hundred labels, and another on PCA's.

    python examples/plot_digits.py
    python examples/plot_digits.py --data DIR    # MNIST, from DIR/mnist.npz: 15 minutes
"""

# %%
# The data
# --------
# scikit-learn's digits have 8 x 8 pixels, MNIST's 28 x 28. Rows are flattened images either way.

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bigan import (
    BiGANTransformer,
    InterpolationDisplay,
    ReconstructionDisplay,
    SampleDisplay,
    TrainingDisplay,
)

parser = argparse.ArgumentParser()
parser.add_argument("--data", type=Path, help="folder with mnist.npz")
parser.add_argument("--out", type=Path, help="save pictures here; default: show them")
parser.add_argument("--epochs", type=int, help="default: 100, or 8 for MNIST")
args = parser.parse_args()

if args.data:
    with np.load(args.data / "mnist.npz") as file:
        X_train, X_test = (
            file[part].reshape(-1, 784).astype(np.float32) / 255 for part in ("X_train", "X_test")
        )
        y_train, y_test = file["y_train"], file["y_test"]
    image_shape, n_components, epochs = (28, 28), 50, 8
else:
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        (X / 16).astype(np.float32), y, test_size=0.3, stratify=y, random_state=0
    )
    image_shape, n_components, epochs = (8, 8), 16, 100

# %%
# Training
# --------
# `image_shape` chooses convolutional networks and data augmentation. The adversarial losses say
# little about progress; falling `reconstruction_ratio` and rising `coverage` say more.

bigan = BiGANTransformer(
    n_components,
    image_shape=image_shape,
    max_epochs=args.epochs or epochs,
    random_state=0,
).fit(X_train)
TrainingDisplay.from_estimator(bigan)

# %%
# Pictures
# --------
# Test digits with their reconstructions below; generated digits; and interpolations between pairs
# of test digits.

ReconstructionDisplay.from_estimator(bigan, X_test[:20])
SampleDisplay.from_estimator(bigan, random_state=0)
InterpolationDisplay.from_estimator(bigan, X_test[:5], X_test[5:10])

# %%
# A hundred labels
# ----------------

few, _ = train_test_split(np.arange(len(X_train)), train_size=100, stratify=y_train, random_state=0)
bigan.set_params(features="all")
pca = PCA(n_components, random_state=0).fit(X_train)
for name, features in (("PCA", pca), ("BiGAN", bigan)):
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(features.transform(X_train[few]), y_train[few])
    accuracy = classifier.score(features.transform(X_test), y_test)
    print(f"{name:5} accuracy with 100 labels: {accuracy:.3f}")

# %%

if args.out:
    args.out.mkdir(parents=True, exist_ok=True)
    for number in plt.get_fignums():
        plt.figure(number).savefig(args.out / f"digits_{number}.png", dpi=150)
else:
    plt.show()
