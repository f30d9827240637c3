"""
Photographs in colour: hidden features
======================================

With ``features="hidden"`` `transform` returns the mean of every feature map of every layer, and of
the last layer the mean of each quarter. A linear classifier does better with these many features
than with a short code. Features of the untrained encoder are the baseline.

    python examples/plot_photographs.py
    python examples/plot_photographs.py --data DIR    # CIFAR-10, DIR/cifar10_subset.npz: 40 minutes
    python examples/plot_photographs.py --data DIR --file svhn_subset.npz    # house numbers
"""

# %%
# The data
# --------
# Patches of scikit-learn's two photographs, where the class is the photograph; or the ten classes
# of CIFAR-10 or of house numbers. Each row is an image of 32 x 32 pixels, flattened with its
# channels last.

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images
from sklearn.feature_extraction.image import extract_patches_2d
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sklearn_bigan import (
    BiGANTransformer,
    InterpolationDisplay,
    ReconstructionDisplay,
    SampleDisplay,
)

parser = argparse.ArgumentParser()
parser.add_argument("--data", type=Path, help="folder with the file")
parser.add_argument("--file", default="cifar10_subset.npz", help="images and their classes")
parser.add_argument("--out", type=Path, help="save pictures here; default: show them")
parser.add_argument("--epochs", type=int, help="default: 12, or 60 with a file")
args = parser.parse_args()

if args.data:
    with np.load(args.data / args.file) as file:
        X_train, X_test = (
            file[part].reshape(-1, 3072).astype(np.float32) / 255 for part in ("X_train", "X_test")
        )
        y_train, y_test = file["y_train"], file["y_test"]
    n_labels, epochs = 1000, 60
else:
    # Train on the left of each photograph and test on the right: no patch is in both.
    halves = [
        [half / 255.0 for half in np.array_split(photograph.astype(np.float32), [400], axis=1)]
        for photograph in load_sample_images().images
    ]
    (X_train, y_train), (X_test, y_test) = (
        (
            np.concatenate(
                [extract_patches_2d(half, (32, 32), max_patches=n, random_state=0) for half in side]
            ).reshape(2 * n, -1),
            np.repeat([0, 1], n),
        )
        for side, n in zip(zip(*halves, strict=True), (1000, 300), strict=True)
    )
    n_labels, epochs = 50, 12

# %%
# Training
# --------
# The encoder is also given random crops of the images with changed colours. Photographs may be
# mirrored, too; house numbers may not.

mirrored = () if args.file.startswith("svhn") else ("flip",)
bigan = BiGANTransformer(
    64,
    image_shape=(32, 32, 3),
    augmentations=("crop", "color", *mirrored),
    max_epochs=args.epochs or epochs,
    random_state=0,
).fit(X_train)

# %%
# Pictures
# --------

ReconstructionDisplay.from_estimator(bigan, X_test[:: len(X_test) // 20][:20])
SampleDisplay.from_estimator(bigan, random_state=0)
InterpolationDisplay.from_estimator(bigan, X_test[:5], X_test[-5:])

# %%
# Few labels
# ----------

untrained = BiGANTransformer(64, image_shape=(32, 32, 3), max_epochs=0, random_state=0)
few, _ = train_test_split(
    np.arange(len(X_train)), train_size=n_labels, stratify=y_train, random_state=0
)
for name, encoder in (("untrained", untrained.fit(X_train)), ("trained", bigan)):
    encoder.set_params(features="hidden")
    classifier = make_pipeline(StandardScaler(), LinearSVC(C=1e-3))
    classifier.fit(encoder.transform(X_train[few]), y_train[few])
    accuracy = classifier.score(encoder.transform(X_test), y_test)
    print(f"{name:9} accuracy with {n_labels} labels: {accuracy:.3f}")
names = bigan.get_feature_names_out()
print(f"{len(names)} hidden features, from {names[0]} to {names[-1]}")

# %%

if args.out:
    args.out.mkdir(parents=True, exist_ok=True)
    for number in plt.get_fignums():
        plt.figure(number).savefig(args.out / f"photographs_{number}.png", dpi=150)
else:
    plt.show()
