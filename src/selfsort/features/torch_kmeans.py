"""K-means on a device of torch: the passes of `selfsort.features.kmeans`, as products of matrices on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from selfsort.features.kmeans import PLUSPLUS_UP_TO, SAMPLE, SAMPLE_PER_CLUSTER, KMeansResult

#: So many numbers of a block of distances at once: 1 GiB.
_BLOCK = 1 << 28
_ROWS = 1 << 18


def kmeans_on(
    device: str | torch.device,
    X: npt.ArrayLike,
    n_clusters: int,
    *,
    n_init: int,
    max_iter: int,
    tol: float,
    seed: int,
    spherical: bool,
    initial_centers: npt.ArrayLike | None,
) -> KMeansResult:
    """Do what `selfsort.features.kmeans.kmeans` does, on a device; parameters and result are the same.

    Starts run on a sample, and the best of them on everything. Products are in full float32, and sums in float64 in a
    fixed order, so the same seed gives the same result.
    """
    rows = torch.from_numpy(np.ascontiguousarray(np.asarray(X, np.float32))).to(device)
    mean = torch.zeros(rows.shape[1], device=rows.device)
    if spherical:
        rows = _unit(rows)
    else:
        mean = sum((part.double().sum(0) for part in rows.split(_ROWS)), torch.zeros((), device=rows.device)).float()
        mean /= len(rows)
        rows = rows - mean
    shift = tol * float(sum(part.double().square().sum() for part in rows.split(_ROWS))) / rows.numel()
    options: dict[str, Any] = {"max_iter": max_iter, "shift": shift, "spherical": spherical}
    if initial_centers is not None:
        start = torch.as_tensor(np.asarray(initial_centers, np.float32)).to(device) - mean
        start = _unit(start) if spherical else start
    else:
        start = _start(rows, n_clusters, n_init, seed, options)
    centers, labels, n_iter = _lloyd(rows, start, **options)
    inertia = float(_nearest(rows, centers)[1].double().sum())
    return KMeansResult(
        (centers + mean).cpu().numpy().astype(np.float32), labels.cpu().numpy().astype(np.int64), inertia, n_iter
    )


def _start(rows: Tensor, n_clusters: int, n_init: int, seed: int, options: dict[str, Any]) -> Tensor:
    """Return the best centers of several runs on a sample."""
    from sklearn.cluster import kmeans_plusplus

    rng = np.random.default_rng(seed)
    size = max(SAMPLE, SAMPLE_PER_CLUSTER * n_clusters)
    chosen = np.sort(rng.choice(len(rows), size, replace=False)) if len(rows) >= 2 * size else np.arange(len(rows))
    sample = rows[torch.from_numpy(chosen).to(rows.device)]
    best, least = sample[:n_clusters], np.inf
    for _ in range(n_init):
        if n_clusters > PLUSPLUS_UP_TO:
            first = sample[torch.from_numpy(rng.choice(len(sample), n_clusters, replace=False)).to(rows.device)]
        else:
            found, _ = kmeans_plusplus(sample.cpu().numpy(), n_clusters, random_state=int(rng.integers(2**31)))
            first = torch.from_numpy(found).to(rows.device)
        if n_init == 1 and len(sample) == len(rows):
            return first
        centers, _, _ = _lloyd(sample, first, **options)
        inertia = float(_nearest(sample, centers)[1].double().sum())
        if inertia < least:
            best, least = centers, inertia
    return best


def _lloyd(
    rows: Tensor, centers: Tensor, *, max_iter: int, shift: float, spherical: bool
) -> tuple[Tensor, Tensor, int]:
    """Move the centers to the means of their rows until they rest; return them, the labels and the passes."""
    n_iter = 0
    labels, distances = _nearest(rows, centers)
    for n_iter in range(1, max_iter + 1):  # noqa: B007  (read after the loop)
        sums, counts = _sums(rows, labels, len(centers))
        for empty in (counts == 0).nonzero()[:, 0].tolist():  # takes the row that lies farthest from its own center
            farthest = int(distances.argmax())
            if float(distances[farthest]) <= 0:
                break  # fewer different rows than clusters
            old, row = int(labels[farthest]), rows[farthest].double()
            sums[old] -= row
            counts[old] -= 1
            sums[empty], counts[empty], distances[farthest] = row, 1, 0
            labels[farthest] = empty
        moved_to = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], centers.double())
        if spherical:
            moved_to /= moved_to.norm(dim=1, keepdim=True).clamp_min(1e-12)
        movement = float((moved_to - centers).square().sum())
        centers = moved_to.float()
        before = labels
        labels, distances = _nearest(rows, centers)
        if movement <= shift or torch.equal(before, labels):
            break
    return centers, labels, n_iter


def _nearest(rows: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Return the nearest center of each row and the squared distance to it."""
    half = centers.square().sum(1) / 2
    labels = torch.empty(len(rows), dtype=torch.int64, device=rows.device)
    distances = torch.empty(len(rows), device=rows.device)
    step = max(1, min(len(rows), _BLOCK // max(1, len(centers))))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        closest, labels[start : start + step] = torch.addmm(half, part, centers.T, alpha=-1).min(1)
        distances[start : start + step] = (part.square().sum(1) + 2 * closest).clamp_min(0)
    return labels, distances


def _sums(rows: Tensor, labels: Tensor, n_clusters: int) -> tuple[Tensor, Tensor]:
    """Return sum (float64) and number of the rows of each cluster, added in the order of the rows."""
    sums = torch.zeros(n_clusters, rows.shape[1], dtype=torch.float64, device=rows.device)
    counts = torch.zeros(n_clusters, dtype=torch.int64, device=rows.device)
    for part, of in zip(rows.split(_ROWS), labels.split(_ROWS), strict=True):
        lengths = torch.bincount(of, minlength=n_clusters)
        order = torch.argsort(of, stable=True)
        sums += torch.segment_reduce(part[order].double(), "sum", lengths=lengths, axis=0)
        counts += lengths
    return sums, counts


def _unit(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)
