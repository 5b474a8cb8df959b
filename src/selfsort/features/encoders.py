"""Encoders: pixels in, feature vectors out, by ONNX Runtime; torch only for models that have no ONNX file."""

from __future__ import annotations

import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from selfsort.errors import ModelError
from selfsort.features.onnx_runtime import open_onnx
from selfsort.files import atomic_write, content_id, hash_file
from selfsort.pixels import Preprocessing
from selfsort.runtime import cache_dir

DEFAULT = "efficientnet-lite0"
#: The same network, whose last block but one speaks too.
LAYERED = "efficientnet-lite0-layers"
#: Raise when the default encoder's graph changes: cached graphs and features are then made anew.
_GRAPH_VERSION = 3
#: One picture at a time keeps the layers in the processor's cache and needs no filling up of the last batch.
_BATCH_SIZE = 1
_POOLED_OUTPUTS = ("features", "image_embeds", "pooler_output", "embeddings", "embedding")
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Encoder(ABC):
    """Turns prepared pictures into feature vectors.

    Attributes
    ----------
    name : str
        For people.
    key : str
        Changes whenever the features could change: weights, graph and preprocessing.
    preprocessing : Preprocessing
        How pictures must be prepared.
    batch_size : int
        Always this many pictures are encoded at once, so that features never depend on their neighbors in a batch.
    """

    name: str
    key: str
    preprocessing: Preprocessing
    batch_size: int = _BATCH_SIZE

    @abstractmethod
    def encode(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return the features, shape (n, d), of upright RGB pictures, uint8 (n, size, size, 3). Thread-safe."""

    def describe(self) -> dict[str, str]:
        """Return what ``run.json`` records."""
        return {"name": self.name, "key": self.key, "preprocessing": self.preprocessing.key}


def load_encoder(name: str = DEFAULT, *, online: bool = True) -> Encoder:
    """Load an encoder.

    Parameters
    ----------
    name : str
        ``"efficientnet-lite0"``, the encoder that ships with selfsort; the path of an ``.onnx`` file; or a Hugging Face
        model, by folder or by name. For `organize` with ``learn``: ``"efficientnet-lite0-layers"``, the first with the
        features of an earlier layer behind its own (`selfsort.nets.lite0.LAYERS`).
    online : bool
        Whether a Hugging Face model that is not on this machine may be downloaded, and a network drive be looked at.

    Raises
    ------
    ModelError
        If there is no such encoder, the file cannot be loaded, or its extra is not installed.
    """
    if name in (DEFAULT, "default"):
        return OnnxEncoder(default_onnx(), name=DEFAULT, preprocessing=Preprocessing(224, "squash"))
    if name == LAYERED:
        return OnnxEncoder(default_onnx(), name=LAYERED, preprocessing=Preprocessing(224, "squash"), output="layers")
    if not online and name.startswith(("//", "\\\\")):
        raise ModelError(
            f"The run names the encoder {name!r}, which is on another machine, and a run does not decide where "
            "selfsort connects. If you trust that place, name it yourself with --encoder."
        )
    path = Path(name).expanduser()
    if path.is_file():
        return OnnxEncoder(path, name=path.name, **_settings_beside(path))
    if path.is_dir():
        for candidate in (path / "model.onnx", path / "onnx" / "model.onnx"):
            if candidate.is_file():
                return OnnxEncoder(candidate, name=path.name, **_settings_beside(path / "model.onnx"))
    elif path.suffix == ".onnx" or name.startswith((".", "/", "~")) or "/" not in name:
        raise ModelError(
            f"There is no encoder {name!r}. Give {DEFAULT}, the path of an ONNX file or of a Hugging Face folder, or "
            "the name of a Hugging Face model, as owner/model."
        )
    from selfsort.features.torch_encoder import TorchEncoder

    return TorchEncoder(name, online=online)


def encoder_of_run(run: Mapping[str, Any], named: str | None = None) -> Encoder:
    """Load the encoder that a run was made with.

    Parameters
    ----------
    run : mapping
        What its ``run.json`` says. Somebody else may have written it, so by itself it leads only to encoders on this
        machine.
    named : str, optional
        The encoder as the user names it, who thereby allows to download it.

    Raises
    ------
    ModelError
        If it cannot be loaded, or is not on this machine; if the one that was named is another one than the run's.
    """
    encoder = run.get("encoder") or {}
    if named is not None:
        found = load_encoder(named)
        if found.key != encoder.get("key"):
            raise ModelError(f"The run was made with another encoder than {named!r}: {encoder.get('name')!r}. Name it.")
        return found
    params = run.get("params") or {}
    name = LAYERED if "learned" in run else params.get("encoder") or encoder.get("name")
    if not isinstance(name, str):
        raise ModelError("The run says of no encoder that it was made with it. Make the run again.")
    return load_encoder(name, online=False)


def default_onnx() -> Path:
    """Return the default encoder's ONNX file, building it once into the cache folder."""
    import xxhash

    from selfsort.features import default_encoder

    weights = default_encoder.weights_path()
    digest = xxhash.xxh3_64_hexdigest(weights.read_bytes())
    folder = cache_dir() / "encoders"
    folder.mkdir(exist_ok=True)
    path = folder / f"{DEFAULT}-{digest}-v{_GRAPH_VERSION}.onnx"
    sum_of = path.with_name(path.name + ".sha256")  # as sha256sum writes and checks it
    try:
        if sum_of.read_text(encoding="ascii") == f"{hash_file(path)}  {path.name}\n":
            return path
        warnings.warn(f"The encoder kept at {path} was damaged, so it was built again.", stacklevel=2)
    except (OSError, UnicodeDecodeError):  # not built yet, or not to the end
        pass
    content = default_encoder.build_onnx(default_encoder.read_legacy_torch(weights)).SerializeToString()
    for target, data in ((path, content), (sum_of, f"{content_id(content)}  {path.name}\n".encode())):
        with atomic_write(target) as temporary:
            temporary.write_bytes(data)
    return path


def _settings_beside(model: Path) -> dict[str, Any]:
    """Read mean, deviation and size from ``preprocessor_config.json`` beside a model, as Hugging Face writes it."""
    path = model.parent / "preprocessor_config.json"
    if not path.exists():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} could not be read: {error}. Mend or remove it.") from error
    try:
        return settings_from_config(config)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is no image processor's configuration: {error}. Mend or remove it.") from error


def settings_from_config(config: dict[str, Any]) -> dict[str, Any]:
    """Translate a Hugging Face image processor's settings into `OnnxEncoder` arguments."""
    settings: dict[str, Any] = {}
    size: Any = (config.get("crop_size") if config.get("do_center_crop") else None) or config.get("size") or 224
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge") or 224
    settings["preprocessing"] = Preprocessing(int(size), "crop" if config.get("do_center_crop") else "squash")
    if config.get("do_normalize", True) and "image_mean" in config:
        settings["mean"], settings["std"] = tuple(config["image_mean"]), tuple(config["image_std"])
    elif not config.get("do_normalize", True):
        settings["mean"], settings["std"] = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return settings


class OnnxEncoder(Encoder):
    """An ONNX file run by ONNX Runtime on the CPU.

    Parameters
    ----------
    path : Path
        The model. Its input is uint8 (n, height, width, 3), or float (n, 3, height, width) of pixels scaled to
        [0, 1] and normalized by `mean` and `std`. Of its outputs the first pooled one is used (``features``,
        ``image_embeds``, ``pooler_output``, or the first with two dimensions); a sequence of tokens gives its first
        token, a feature map its mean.
    name : str
    preprocessing : Preprocessing, optional
        By default center-cropped to the size that the model's input names, or 224.
    mean, std : tuple of 3 floats
        Only for float inputs; ImageNet's by default.
    output : str, optional
        The output that is used in the place of that one.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        preprocessing: Preprocessing | None = None,
        mean: tuple[float, ...] = _IMAGENET_MEAN,
        std: tuple[float, ...] = _IMAGENET_STD,
        output: str | None = None,
    ) -> None:
        import xxhash

        self._path = path
        self._session, data = open_onnx(path)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            seen = ", ".join(f"{i.name} {i.shape}" for i in inputs)
            raise ModelError(f"{path} is no image encoder: it needs one input with four dimensions, it has {seen}.")
        self._input = inputs[0].name
        self._channels_last = inputs[0].type == "tensor(uint8)"
        self._half = inputs[0].type == "tensor(float16)"
        fixed_batch, _, side, _ = inputs[0].shape
        if isinstance(fixed_batch, int):
            self.batch_size = fixed_batch
        if preprocessing is None:
            preprocessing = Preprocessing(side if isinstance(side, int) and not self._channels_last else 224, "crop")
        self.name, self.preprocessing = name, preprocessing
        self._output = output or self._choose_output()
        self._scale = (1 / (255 * np.array(std, np.float32))).reshape(1, 3, 1, 1)
        self._offset = (-np.array(mean, np.float32) / np.array(std, np.float32)).reshape(1, 3, 1, 1)
        normalization = "" if self._channels_last else f"-{mean}-{std}"
        self.key = xxhash.xxh3_64_hexdigest(data + f"{self._output}{normalization}".encode()) + "-" + preprocessing.key

    def _choose_output(self) -> str:
        outputs = self._session.get_outputs()
        names = [o.name for o in outputs]
        pooled = [n for n in _POOLED_OUTPUTS if n in names] + [o.name for o in outputs if len(o.shape or []) == 2]
        return pooled[0] if pooled else names[0]

    def encode(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return the features, shape (n, d); see `Encoder.encode`."""
        if self._channels_last:
            images: npt.NDArray[Any] = pixels
        else:
            images = pixels.transpose(0, 3, 1, 2).astype(np.float32) * self._scale + self._offset
            images = images.astype(np.float16) if self._half else images
        try:
            (features,) = self._session.run([self._output], {self._input: images})
        except Exception as error:  # ONNX Runtime has no base class for its errors
            raise ModelError(
                f"The encoder {self.name} ({self._path}) failed on pictures of shape {images.shape}: "
                f"{' '.join(str(error).split())[:300]}"
            ) from error
        features = np.asarray(features, dtype=np.float32)
        if features.ndim == 4:
            features = features.mean((2, 3))
        elif features.ndim == 3:
            features = features[:, 0]
        if features.ndim != 2 or len(features) != len(pixels):
            raise ModelError(
                f"The encoder {self.name} gave an output of shape {features.shape} for {len(pixels)} pictures; "
                "expected (n, d), (n, tokens, d) or (n, d, height, width)."
            )
        return features
