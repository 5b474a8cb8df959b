"""selfsort: sort images that nobody labelled.

Names are loaded when first used, so ``import selfsort`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfsort.clusters import Clusters
    from selfsort.errors import DataError, ModelError, SelfsortError
    from selfsort.evaluation import evaluate
    from selfsort.methods.graph import GraphClusterer
    from selfsort.methods.kmeans import KMeans
    from selfsort.photos.export import export, undo
    from selfsort.photos.organize import organize
    from selfsort.photos.pipeline import Settings

_NAMES = {
    "Clusters": "selfsort.clusters",
    "DataError": "selfsort.errors",
    "GraphClusterer": "selfsort.methods.graph",
    "KMeans": "selfsort.methods.kmeans",
    "ModelError": "selfsort.errors",
    "SelfsortError": "selfsort.errors",
    "Settings": "selfsort.photos.pipeline",
    "evaluate": "selfsort.evaluation",
    "export": "selfsort.photos.export",
    "organize": "selfsort.photos.organize",
    "undo": "selfsort.photos.export",
}

__all__ = [
    "Clusters",
    "DataError",
    "GraphClusterer",
    "KMeans",
    "ModelError",
    "SelfsortError",
    "Settings",
    "evaluate",
    "export",
    "organize",
    "undo",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'selfsort' has no attribute {name!r}")
    value = getattr(import_module(_NAMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_NAMES])
