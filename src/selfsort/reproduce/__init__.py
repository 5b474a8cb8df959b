"""Published rows, each a small file: settings, source, number; and one command that prints ours beside it.

A row is scored by labels after everything was learned; no fit sees them, and no run, epoch or head is chosen by them.
Where a recipe's own settings were found in trials whose scores were looked at, its note says so.
"""

from __future__ import annotations

#: Name -> module that holds it as ``RECIPE``.
RECIPES: dict[str, str] = {
    name: f"selfsort.reproduce.{name.replace('-', '_')}"
    for name in (
        "kmeans-mnist",
        "graph-mnist",
        "ae-kmeans-mnist",
        "dec-mnist",
        "idec-mnist",
        "iic-mnist",
        "iic-mnist-heads",
        "mine-gaussian",
        "mine-mnist-latent",
        "kmeans-fashion-mnist",
        "graph-fashion-mnist",
        "ae-kmeans-fashion-mnist",
        "dec-fashion-mnist",
        "idec-fashion-mnist",
        "iic-fashion-mnist",
        "deepcluster-cifar10",
        "simclr-cifar10",
        "scan-cifar10",
        "scan-keras-cifar10",
        "temi-cifar10",
        "turtle-cifar10",
    )
}
