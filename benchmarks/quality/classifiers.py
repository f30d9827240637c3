"""Classifiers of rows, which a user may take instead of features.

Transductive ones return the labels of all rows of a graph, given the numbers of those that are
labeled, and their labels. Others are fitted on labeled rows, and predict.
"""

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import cg
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import SVC

Predict = Callable[[np.ndarray], np.ndarray]

# Walks of Poisson learning take a thousand steps on average, the most that its authors' code takes.
KILLED, TOLERANCE = 1e-3, 1e-8
# gamma is a multiple of that of "scale", which is 1 / (columns * variance).
COSTS, SCALES = (1.0, 10.0, 100.0), (0.25, 1.0, 4.0)


def label_spreading(graph: csr_array, rows: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spread labels along the edges, each row keeping a hundredth of its own (Zhou et al. 2004)."""
    known = np.full(graph.shape[0], -1)
    known[rows] = y
    model = LabelSpreading(kernel=lambda X, Y=None: graph, alpha=0.99, max_iter=100)
    return model.fit(np.zeros((len(known), 1)), known).transduction_


def poisson_learning(graph: csr_array, rows: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Solve L u = sum_j (y_j - mean y) delta_j over the labeled rows j (Calder et al. 2020).

    L is the Laplacian, y_j is one-hot, and a row gets the class whose u is greatest. A thousandth
    of the degrees D is added to L: walks end, the sum of d_i u_i is 0, and a part of the graph
    without edges to the others has a solution too. There the first class wins if no row is labeled.
    """
    classes, codes = np.unique(y, return_inverse=True)
    one_hot = np.eye(len(classes))[codes]
    sources = np.zeros((graph.shape[0], len(classes)))
    sources[rows] = one_hot - one_hot.mean(axis=0)
    degrees = graph.sum(axis=1)
    system = diags_array((1 + KILLED) * degrees).tocsr() - graph
    jacobi = diags_array(1 / degrees)
    u = [cg(system, source, rtol=TOLERANCE, M=jacobi)[0] for source in sources.T]
    return classes[np.argmax(u, axis=0)]


def support_vector_machine(X: np.ndarray, y: np.ndarray, seed: int) -> Predict:
    """Fit one with a Gaussian kernel; C and gamma are chosen by three-fold cross-validation."""
    gammas = [scale / (X.shape[1] * float(X.var())) for scale in SCALES]
    return GridSearchCV(SVC(), {"C": COSTS, "gamma": gammas}, cv=3).fit(X, y).predict


def boosted_trees(X: np.ndarray, y: np.ndarray, seed: int) -> Predict:
    """Fit scikit-learn's trees on histograms, as they come."""
    return HistGradientBoostingClassifier(random_state=seed).fit(X, y).predict
