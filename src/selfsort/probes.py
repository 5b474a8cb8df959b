"""What features hold, found with labels: never part of a fit, and no measure of clusters."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from selfsort.features.project import unit_rows

_QUERIES = 1000  # compared with the bank at a time


def linear_probe(
    fitted: npt.NDArray[np.float32],
    fitted_labels: npt.NDArray[np.int64],
    scored: npt.NDArray[np.float32],
    scored_labels: npt.NDArray[np.int64],
    *,
    seed: int = 0,
) -> dict[str, float]:
    """Return how well a linear classifier of features does on samples that it was not fitted on.

    It says what the features hold, not how good clusters are: the classifier is fitted on labels.

    Parameters
    ----------
    fitted, scored : ndarray of float32, shape (n, d) and (m, d)
    fitted_labels, scored_labels : ndarray of int64, shape (n,) and (m,)
    seed : int

    Returns
    -------
    dict of float
        Accuracy on the second part of ``linear``, logistic regression, and of ``256 linear units``, the same with a
        hidden layer of 256 units without activation, as some books have it.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifiers = {
        "linear": LogisticRegression(max_iter=1000),
        "256 linear units": MLPClassifier(
            (256,), activation="identity", batch_size=min(500, len(fitted)), max_iter=20, random_state=seed
        ),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the second is trained for 20 passes, converged or not
        return {
            name: float(make_pipeline(StandardScaler(), of).fit(fitted, fitted_labels).score(scored, scored_labels))
            for name, of in classifiers.items()
        }


def knn_probe(
    fitted: npt.NDArray[np.float32],
    fitted_labels: npt.NDArray[np.int64],
    scored: npt.NDArray[np.float32],
    scored_labels: npt.NDArray[np.int64],
    *,
    n_neighbors: int = 100,
    temperature: float = 0.1,
) -> float:
    """Return how often the nearest labeled samples vote for a sample's own class: what distances of features hold.

    Votes weigh e^(s / T) with the cosine similarity s. Nothing is trained or chosen.

    Parameters
    ----------
    fitted, scored : ndarray of float32, shape (n, d) and (m, d)
    fitted_labels, scored_labels : ndarray of int64, shape (n,) and (m,)
        Numbers from 0.
    n_neighbors : int
        That vote; all where there are fewer.
    temperature : float
        T.

    References
    ----------
    Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR 2018, section 3.4.
    """
    bank, queries = unit_rows(fitted), unit_rows(scored)
    k = min(n_neighbors, len(bank))
    votes = np.eye(int(fitted_labels.max()) + 1, dtype=np.float32)[fitted_labels]
    n_right = 0
    for start in range(0, len(queries), _QUERIES):
        similar = queries[start : start + _QUERIES] @ bank.T
        nearest = np.argpartition(-similar, k - 1, axis=1)[:, :k]
        weights = np.exp((np.take_along_axis(similar, nearest, 1) - 1) / temperature)
        winners = np.einsum("qk,qkc->qc", weights, votes[nearest]).argmax(1)
        n_right += int((winners == scored_labels[start : start + _QUERIES]).sum())
    return n_right / len(queries)
