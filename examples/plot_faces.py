"""
Faces: reconstructions and interpolations
=========================================

Forty people with ten photographs of each: eight to train on, two to test with.

    python examples/plot_faces.py                # scikit-learn's loader fetches 4 MB, once
    python examples/plot_faces.py --data DIR     # DIR/olivetti.npz, at 64 x 64: half an hour
    python examples/plot_faces.py --data DIR --file celeba_subset.npz    # in colour: an hour
"""

# %%
# The data
# --------
# Without `--data` images are averaged to 32 x 32 pixels; training takes a minute and a half.

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import fetch_olivetti_faces
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from sklearn_bigan import (
    BiGANTransformer,
    InterpolationDisplay,
    ReconstructionDisplay,
    SampleDisplay,
)

parser = argparse.ArgumentParser()
parser.add_argument("--data", type=Path, help="folder with the file")
parser.add_argument("--file", default="olivetti.npz", help="faces, and people or attributes")
parser.add_argument("--out", type=Path, help="save pictures here; default: show them")
parser.add_argument("--epochs", type=int, help="default: 100, or 300 and 60 with a file")
args = parser.parse_args()

if args.data:
    with np.load(args.data / args.file) as file:
        images, test_images = (
            file[part].astype(np.float32) / 255 for part in ("X_train", "X_test")
        )
        label = "y" if "y_train" in file else "y_smiling"
        people, test_people = file[f"{label}_train"], file[f"{label}_test"]
    epochs = 300 if len(images) < 1000 else 60
else:
    faces = fetch_olivetti_faces()  # ten photographs of each person in turn
    small = faces.images.reshape(-1, 32, 2, 32, 2).mean((2, 4))
    is_test = np.arange(len(small)) % 10 >= 8
    images, test_images = small[~is_test], small[is_test]
    people, test_people = faces.target[~is_test], faces.target[is_test]
    epochs = 100
X, X_test = images.reshape(len(images), -1), test_images.reshape(len(test_images), -1)

# %%
# Training
# --------

bigan = BiGANTransformer(
    64,
    image_shape=images.shape[1:],
    augmentations=("crop", "flip", "color"),
    output_activation="sigmoid",  # "auto" would not choose it: no pixel of these is white
    max_epochs=args.epochs or epochs,
    random_state=0,
).fit(X)

# %%
# Pictures
# --------
# Test photographs and their reconstructions; generated faces; and interpolations from one person to
# another.

ReconstructionDisplay.from_estimator(bigan, X_test[::4])
SampleDisplay.from_estimator(bigan, random_state=0)
InterpolationDisplay.from_estimator(bigan, X_test[:10:2], X_test[10:20:2])

# %%
# Recognition
# -----------
# The person on a test photograph (of CelebA: whether the person smiles) is that of the nearest
# training photograph, by codes and by PCA's.

for name, codes in (("PCA", PCA(64, random_state=0).fit(X)), ("BiGAN", bigan)):
    nearest = KNeighborsClassifier(1).fit(codes.transform(X), people)
    print(f"{name:5} recognised: {nearest.score(codes.transform(X_test), test_people):.3f}")

# %%

if args.out:
    args.out.mkdir(parents=True, exist_ok=True)
    for number in plt.get_fignums():
        plt.figure(number).savefig(args.out / f"faces_{number}.png", dpi=150)
else:
    plt.show()
