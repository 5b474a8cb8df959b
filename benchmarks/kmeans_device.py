"""K-means on a device against faiss on the processors of the same machine: seconds and inertia after the same passes.

    python benchmarks/kmeans_device.py [--rows 1000000] [--columns 256] [--clusters 10000] [--passes 10] [--device cuda]

Both start from the same random rows, of a mixture of as many normal laws as there are clusters.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from record import record
from selfsort.features.kmeans import kmeans
from selfsort.runtime import n_threads


def main() -> None:
    parser = argparse.ArgumentParser(description="Time k-means on a device and by faiss.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=256)
    parser.add_argument("--clusters", type=int, default=10_000)
    parser.add_argument("--passes", type=int, default=10)
    parser.add_argument("--device", default="cuda")
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    means = rng.standard_normal((asked.clusters, asked.columns), dtype=np.float32)
    X = means[rng.integers(asked.clusters, size=asked.rows)]
    X += rng.standard_normal(X.shape, dtype=np.float32)
    start = X[np.sort(rng.choice(len(X), asked.clusters, replace=False))]
    seconds, inertia = {}, {}
    kmeans(X[: 2 * asked.clusters], asked.clusters, initial_centers=start, max_iter=1, device=asked.device)  # warm
    began = time.perf_counter()
    found = kmeans(X, asked.clusters, initial_centers=start, max_iter=asked.passes, tol=0, device=asked.device)
    seconds["ours"], inertia["ours"] = time.perf_counter() - began, found.inertia
    try:
        import faiss
    except ModuleNotFoundError:
        print("faiss is not installed here: only ours is timed.")
    else:
        faiss.omp_set_num_threads(n_threads())
        other = faiss.Kmeans(asked.columns, asked.clusters, niter=asked.passes, max_points_per_centroid=len(X))
        began = time.perf_counter()
        other.train(X, init_centroids=start)
        seconds["faiss"] = time.perf_counter() - began
        distances, _ = other.index.search(X, 1)
        inertia["faiss"] = float(distances.sum(dtype=np.float64))
    name = torch.cuda.get_device_name(asked.device) if asked.device.startswith("cuda") else asked.device
    record(
        "kmeans_device",
        what=f"K-means, {asked.rows:,} x {asked.columns}, k = {asked.clusters:,}, {asked.passes} passes, same start",
        device=name,
        processors=n_threads(),
        seconds={key: round(value, 2) for key, value in seconds.items()},
        inertia={key: round(value) for key, value in inertia.items()},
        times_faster=round(seconds["faiss"] / seconds["ours"], 1) if "faiss" in seconds else None,
    )


if __name__ == "__main__":
    main()
