"""selfsort: sort images that nobody labeled.

Names are loaded when first used, so ``import selfsort`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfsort.choosing import choose_k, consensus, label_free_scores, vote
    from selfsort.clusters import Clusters
    from selfsort.datasets import load_dataset
    from selfsort.errors import DataError, ModelError, SelfsortError
    from selfsort.evaluation import evaluate
    from selfsort.information.estimate import MutualInformation, mutual_information
    from selfsort.learn.fit import fit, resume
    from selfsort.learn.predict import predict
    from selfsort.methods.ae_kmeans import AEKMeans
    from selfsort.methods.dec import DEC, IDEC
    from selfsort.methods.deepcluster import DeepCluster
    from selfsort.methods.graph import GraphClusterer
    from selfsort.methods.iic import IIC
    from selfsort.methods.kmeans import KMeans
    from selfsort.methods.mine import MINE
    from selfsort.methods.saving import load_model
    from selfsort.methods.scan import SCAN
    from selfsort.methods.simclr import SimCLR
    from selfsort.methods.temi import TEMI
    from selfsort.methods.turtle import TURTLE
    from selfsort.photos.export import export, undo
    from selfsort.photos.organize import organize
    from selfsort.photos.settings import Settings

_NAMES = {
    "AEKMeans": "selfsort.methods.ae_kmeans",
    "Clusters": "selfsort.clusters",
    "DEC": "selfsort.methods.dec",
    "DataError": "selfsort.errors",
    "DeepCluster": "selfsort.methods.deepcluster",
    "GraphClusterer": "selfsort.methods.graph",
    "IDEC": "selfsort.methods.dec",
    "IIC": "selfsort.methods.iic",
    "KMeans": "selfsort.methods.kmeans",
    "MINE": "selfsort.methods.mine",
    "ModelError": "selfsort.errors",
    "MutualInformation": "selfsort.information.estimate",
    "SCAN": "selfsort.methods.scan",
    "SelfsortError": "selfsort.errors",
    "Settings": "selfsort.photos.settings",
    "SimCLR": "selfsort.methods.simclr",
    "TEMI": "selfsort.methods.temi",
    "TURTLE": "selfsort.methods.turtle",
    "choose_k": "selfsort.choosing",
    "consensus": "selfsort.choosing",
    "evaluate": "selfsort.evaluation",
    "export": "selfsort.photos.export",
    "fit": "selfsort.learn.fit",
    "label_free_scores": "selfsort.choosing",
    "load_dataset": "selfsort.datasets",
    "load_model": "selfsort.methods.saving",
    "mutual_information": "selfsort.information.estimate",
    "organize": "selfsort.photos.organize",
    "predict": "selfsort.learn.predict",
    "resume": "selfsort.learn.fit",
    "undo": "selfsort.photos.export",
    "vote": "selfsort.choosing",
}

__all__ = [
    "DEC",
    "IDEC",
    "IIC",
    "MINE",
    "SCAN",
    "TEMI",
    "TURTLE",
    "AEKMeans",
    "Clusters",
    "DataError",
    "DeepCluster",
    "GraphClusterer",
    "KMeans",
    "ModelError",
    "MutualInformation",
    "SelfsortError",
    "Settings",
    "SimCLR",
    "choose_k",
    "consensus",
    "evaluate",
    "export",
    "fit",
    "label_free_scores",
    "load_dataset",
    "load_model",
    "mutual_information",
    "organize",
    "predict",
    "resume",
    "undo",
    "vote",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'selfsort' has no attribute {name!r}")
    try:
        value = getattr(import_module(_NAMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "lightning_fabric"):
            raise
        message = f"selfsort.{name} trains a network. Install: pip install 'selfsort[learn]'"
        raise ModuleNotFoundError(message, name=error.name) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_NAMES])
