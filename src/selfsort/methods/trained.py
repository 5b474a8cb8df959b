"""What the methods that train a network share: their input, where they run, and how new samples pass through."""

from __future__ import annotations

import hashlib
import json
import math
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import validate_data
from torch import Tensor, nn

from selfsort.errors import DataError
from selfsort.features.default_encoder import read_legacy_torch, weights_path
from selfsort.features.groups import default_n_neighbors
from selfsort.features.kmeans import kmeans
from selfsort.features.magnitude import check_magnitude
from selfsort.features.neighbors import Neighbors
from selfsort.features.project import FloatArray, unit_rows
from selfsort.methods.base import SelfsortClusterer, Work, explained, graph_start
from selfsort.nets.backbones import Backbone, make_backbone
from selfsort.nets.efficientnet import EfficientNetLite0
from selfsort.training.memory import memory_kept
from selfsort.training.session import Session, resolve_device, resolve_precision

#: Raise when the same data and parameters would give other weights: checkpoints of before are then refused.
_VERSION = 13
_CHUNK, _CHUNK_VALUES = 512, 512 * 3 * 32 * 32  # samples that pass a network at a time, and numbers in them
_FAR = 10  # values so many times as large as those of the fit are of another unit
#: Largest learning rate at which a network learns the graph's groups: with 0.001 they stay half learned.
GRAPH_RATE = 3e-3

#: Attributes that tell how a fit went, where it has them.
_TOLD = frozenset({"device_", "precision_", "mined_recall_", "n_steps_", "inertia_"})

INIT = StrOptions({"graph", "kmeans", "random"})


class Scaling(nn.Module):
    """Brings samples into the range that networks expect.

    Images go from their range to [0, 1]; features lose their mean and are divided by one number, their overall standard
    deviation, so that distances keep their proportions.

    Attributes
    ----------
    shift : Tensor, shape (d,) for features, () for images
    factor : Tensor, shape ()
    """

    def __init__(self, shift: npt.ArrayLike = 0.0, factor: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("shift", torch.as_tensor(np.asarray(shift, np.float32)))
        self.register_buffer("factor", torch.tensor(factor, dtype=torch.float32))

    @classmethod
    def of(cls, samples: npt.NDArray[Any]) -> Scaling:
        """Learn it from samples, shape (n, d) or (n, c, h, w)."""
        if samples.ndim > 2:
            if samples.dtype == np.uint8:
                return cls(0.0, 1 / 255)
            low, high = float(samples.min()), float(samples.max())
            return cls(low, 1 / (high - low) if high > low else 1.0)
        mean = samples.mean(0, dtype=np.float64)
        deviation = float(np.sqrt(((samples - mean) ** 2).mean()))
        return cls(mean, 1 / deviation if deviation > 0 else 1.0)

    def forward(self, samples: Tensor) -> Tensor:
        """Return scaled samples, float32."""
        return (samples.float() - self.shift) * self.factor


class TrainedClusterer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, SelfsortClusterer):
    """Base of the methods that train a network, which turns samples into codes.

    Attributes
    ----------
    history_ : list of dict
        Mean of each term of the loss per stage and epoch.
    device_, precision_ : str
        What training used.
    """

    #: Names of what a method learns beside its modules and is an array.
    _kept: ClassVar[tuple[str, ...]] = ()
    device: str
    precision: str
    init: str
    _encoder: nn.Module
    _sample_shape: tuple[int, ...]
    _scaling: Scaling
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "device": [str],
        "precision": [StrOptions({"auto", "32-true", "bf16-mixed", "16-mixed"})],
        "random_state": ["random_state"],
    }

    def _validate_params(self) -> None:
        super()._validate_params()
        resolve_precision(self.precision, resolve_device(self.device))  # said before work starts, not after reading

    def _rows(self, X: Any, *, reset: bool) -> npt.NDArray[Any]:
        """Return features as float32 rows, and images as (n, c, h, w), uint8 or float32."""
        if getattr(X, "ndim", 2) <= 2:
            rows = super()._rows(X, reset=reset)
            return rows if reset else self._in_range(rows.reshape(len(rows), *self._sample_shape))
        shape = tuple(X.shape)
        if 0 in shape:
            raise DataError(f"There are no images in an array of shape {shape}. Pass at least one.")
        if len(shape) == 3:
            shape = (shape[0], 1, *shape[1:])
        if len(shape) != 4 or shape[1] > 4 >= shape[3]:
            raise DataError(
                f"Images must have the shape (n, channels, height, width) or (n, height, width): got {tuple(X.shape)}. "
                "Where the channels come last, pass X.transpose(0, 3, 1, 2)."
            )
        given = flat = np.asarray(X).reshape(len(X), -1)
        try:
            with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is reported
                flat = validate_data(self, flat, dtype=[np.float32, np.uint8], order="C", reset=reset)
        except ValueError as error:
            raise explained(error, flat) from error
        check_magnitude(given, tell_apart=reset)
        images: npt.NDArray[Any] = flat.reshape(shape)
        return images if reset else self._in_range(images)

    def _in_range(self, samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Refuse images whose values are in another unit than those of the fit, such as 0 to 255 and 0 to 1."""
        if self._scaling.shift.ndim:  # of features
            return samples
        low, width = float(self._scaling.shift), 1 / float(self._scaling.factor)
        least, most = float(samples.min()), float(samples.max())
        shares = samples.dtype != np.uint8 and 0 < most <= 1 and (samples % 1).any()
        if most - low > _FAR * width or (shares and width > _FAR):
            raise DataError(
                f"This {type(self).__name__} was fitted on images with values from {low:g} to {low + width:g} and got "
                f"values from {least:g} to {most:g}. Scale these as those."
            )
        return samples

    def _session(self, work: Work, samples: npt.NDArray[Any]) -> Session:
        device = resolve_device(self.device)
        self.device_, self.precision_ = str(device), resolve_precision(self.precision, device)
        return Session(
            seed=work.seed,
            device=self.device,
            precision=self.precision,
            folder=work.checkpoint,
            fingerprint=self._fingerprint(work.seed, samples, type(self).__name__)
            if work.checkpoint is not None
            else "",
            progress=work.progress,
        )

    def _fingerprint(
        self, seed: int, samples: npt.NDArray[Any], what: str, names: Collection[str] | None = None
    ) -> str:
        """Return a hash of all that a fit, or a stage with the parameters `names`, depends on."""
        import xxhash

        params = self.get_params()
        params = {name: params[name] for name in names or params if name not in ("random_state", "device")}
        facts = [_VERSION, what, params, seed, samples.shape, str(samples.dtype), *self._inputs()]
        digest = hashlib.blake2b(json.dumps(facts, sort_keys=True, default=str).encode(), digest_size=16)
        digest.update(xxhash.xxh3_128_digest(np.ascontiguousarray(samples).data))
        return digest.hexdigest()

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        arrays, facts = super()._state()
        for name, module in self._modules().items():
            arrays |= {f"{name}.{key}": value.cpu().numpy() for key, value in module.state_dict().items()}
        arrays |= {name: getattr(self, name) for name in self._kept}
        facts |= {name: getattr(self, name) for name in _TOLD.intersection(vars(self))}
        return arrays, facts | {"sample_shape": list(self._sample_shape), "history_": self.history_}

    def _set_state(self, arrays: dict[str, npt.NDArray[Any]], facts: dict[str, Any]) -> None:
        super()._set_state(arrays, facts)
        self.history_ = facts["history_"]
        for name in _TOLD.intersection(facts):
            setattr(self, name, facts[name])
        self._build(tuple(facts["sample_shape"]), Scaling(arrays["_scaling.shift"], float(arrays["_scaling.factor"])))
        for name, module in self._modules().items():
            own = {key: torch.from_numpy(value) for key, value in _inside(arrays, name)}
            module.load_state_dict(own)
            module.eval()
        for name in self._kept:
            setattr(self, name, arrays[name])

    def _modules(self) -> dict[str, nn.Module]:
        return {name: value for name, value in vars(self).items() if isinstance(value, nn.Module)}

    @abstractmethod
    def _build(self, shape: tuple[int, ...], scaling: Scaling, seed: int = 0) -> None:
        """Make the modules for samples of this shape, and store them, the scaling and the shape."""

    def _encode(self, samples: npt.NDArray[Any]) -> FloatArray:
        """Return the codes of samples, shape (n, length of a code)."""
        return outputs(lambda x: self._encoder(self._scaling(x)), samples, self._scaling.factor.device)

    def transform(self, X: Any) -> FloatArray:
        """Return the codes of samples, what the network makes of them, shape (n, length of a code), float32."""
        return self._encode(self._read_fitted(X))

    def embed(self, X: Any) -> FloatArray:
        """Return the codes of samples, as `transform`."""
        return self.transform(X)

    @property
    @abstractmethod
    def _n_features_out(self) -> int:
        """Length of a code."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _graph_labels(
        self, samples: npt.NDArray[Any], session: Session, neighbors: Neighbors | None = None
    ) -> npt.NDArray[np.int64]:
        """Return the graph's groups of the samples as they are given, as many as wanted or found.

        Of `neighbors`, where they are known, as many are used as the graph needs.
        """

        def compute() -> dict[str, npt.NDArray[Any]]:
            rows = unit_rows(samples.reshape(len(samples), -1))
            known = None
            if neighbors is not None:
                k = min(default_n_neighbors(len(rows)), neighbors.indices.shape[1])
                known = Neighbors(neighbors.indices[:, :k], neighbors.similarities[:, :k], neighbors.recall)
            start = graph_start(rows, self.n_clusters, neighbors=known, seed=session.seed, progress=session.progress)
            return {"labels": start.grouping.labels}

        labels: npt.NDArray[np.int64] = session.keep("graph", compute)["labels"]
        return labels

    def _start_centers(self, codes: FloatArray, samples: npt.NDArray[Any], session: Session) -> FloatArray:
        """Return the centers to start from, shape (k, n_codes)."""
        if self.init == "graph" or self.n_clusters is None:
            groups = self._graph_labels(samples, session)
            k = int(groups.max()) + 1
            if self.init == "graph":
                return np.stack([codes[groups == group].mean(0) for group in range(k)])
        else:
            k = self.n_clusters
        if self.init == "kmeans":
            return kmeans(codes, k, n_init=20, seed=session.seed).centers
        rng = np.random.default_rng(session.seed)
        return codes[np.sort(rng.choice(len(codes), k, replace=False))]


def _inside(arrays: dict[str, npt.NDArray[Any]], name: str) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    return ((key.removeprefix(f"{name}."), value) for key, value in arrays.items() if key.startswith(f"{name}."))


@torch.no_grad()
def outputs(module: Callable[[Tensor], Tensor], samples: npt.NDArray[Any], device: torch.device) -> FloatArray:
    """Pass samples through a module a chunk at a time.

    Outside of autocast in float32 however it was trained, so that a sample's result hardly depends on its company.

    Parameters
    ----------
    module : callable
        On the device.
    samples : array of length n
        Of any type that the module scales itself.
    device : torch.device

    Returns
    -------
    ndarray of float32, shape (n, ...)
    """
    step = max(16, min(_CHUNK, _CHUNK_VALUES // max(1, math.prod(samples.shape[1:]))))
    chunks = [torch.from_numpy(samples[start : start + step]) for start in range(0, len(samples), step)]
    with memory_kept():
        values: FloatArray = torch.cat([module(chunk.to(device)).float().cpu() for chunk in chunks]).numpy()
    return values


def new_encoder(name: str, shape: tuple[int, ...], width: int) -> Backbone:
    """Return an encoder by `selfsort.nets.backbones.make_backbone`, EfficientNet-Lite0 with its weights of ImageNet.

    All other weights are drawn from torch's random state.
    """
    made = make_backbone(name, shape, width)
    if isinstance(made.module, EfficientNetLite0):
        weights = read_legacy_torch(weights_path())
        known = {key: torch.from_numpy(weights[key]) for key in made.module.state_dict() if key in weights}
        made.module.load_state_dict(known, strict=False)  # the file has no counts of batches
    return made


def need_images(shape: tuple[int, ...], **settings: str | None) -> None:
    """Refuse settings that are for images where samples are none.

    Parameters
    ----------
    shape : tuple of int
        Of one sample.
    **settings : str or None
        By name; those that are None are fine anywhere.

    Raises
    ------
    DataError
        If one is given and the samples are no images.
    """
    for name, value in settings.items():
        if value is not None and len(shape) < 3:
            raise DataError(
                f"{name}={value!r} needs images of shape (n, c, h, w): got features of shape (n, {shape[0]}). "
                "Leave it out."
            )
