"""Hugging Face models without an ONNX file: the only encoders that need torch (extra ``selfsort[huggingface]``)."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt

from selfsort.errors import ModelError
from selfsort.features.encoders import Encoder, settings_from_config
from selfsort.pixels import Preprocessing


class TorchEncoder(Encoder):
    """The image tower of a Hugging Face model, on the CPU.

    Parameters
    ----------
    name : str
        A folder with ``config.json`` and ``model.safetensors``, or a model's name, looked up in the Hugging Face cache
        and, where there is a network, downloaded. Only safetensors weights are loaded and no remote code is run.
    online : bool
        Whether it may be downloaded.
    """

    batch_size = 16

    def __init__(self, name: str, *, online: bool = True) -> None:
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # read when it is imported
        try:
            import torch
            from transformers import AutoImageProcessor, AutoModel
        except ImportError as error:
            raise ModelError(
                f"The encoder {name!r} is not an ONNX file, so it is taken for a Hugging Face model, which needs torch "
                "and transformers. Run: pip install 'selfsort[huggingface]'"
            ) from error
        try:
            bounds = {"local_files_only": not online or Path(name).expanduser().is_dir(), "trust_remote_code": False}
            config = AutoImageProcessor.from_pretrained(name, use_fast=False, **bounds).to_dict()
            model = AutoModel.from_pretrained(name, use_safetensors=True, **bounds)
        except Exception as error:  # transformers raises many kinds: network, files, configuration
            if not online:
                raise ModelError(
                    f"The run names the encoder {name!r}, which is not on this machine, and a run does not decide what "
                    f"is downloaded. If you trust that model, name it yourself: --encoder {name}."
                ) from error
            raise ModelError(
                f"The encoder {name!r} could not be loaded as a Hugging Face model: {str(error).splitlines()[0]} "
                "Give the path of an ONNX file, or of a folder with config.json, preprocessor_config.json and "
                "model.safetensors."
            ) from error
        self._torch = torch
        self._model = (model.vision_model if hasattr(model, "vision_model") else model).eval()
        self._project = getattr(model, "visual_projection", None)
        settings = settings_from_config(config)
        self.name, self.preprocessing = name, settings.get("preprocessing", Preprocessing(224, "crop"))
        mean, std = settings.get("mean", (0.5,) * 3), settings.get("std", (0.5,) * 3)
        self._mean = torch.tensor(mean).view(1, 3, 1, 1)
        self._std = torch.tensor(std).view(1, 3, 1, 1)
        self.key = f"{self._digest()}-{mean}-{std}-{self.preprocessing.key}"
        self._lock = threading.Lock()  # torch uses all processors inside one call

    def _digest(self) -> str:
        import xxhash

        digest = xxhash.xxh3_64()
        modules = [self._model] if self._project is None else [self._model, self._project]
        for module in modules:
            for tensor in module.state_dict().values():
                digest.update(np.ascontiguousarray(tensor.float().numpy()).tobytes())
        digest.update(self._model.config.to_json_string().encode())  # activations, patch size and the like
        return digest.hexdigest()

    def encode(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return the features, shape (n, d): the projected or pooled output, or the first token."""
        with self._lock, self._torch.inference_mode():
            images = self._torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float() / 255
            output = self._model((images - self._mean) / self._std)
            pooled = getattr(output, "pooler_output", None)
            if pooled is None:
                pooled = output.last_hidden_state[:, 0]
            if self._project is not None:
                pooled = self._project(pooled)
            features: npt.NDArray[np.float32] = pooled.flatten(1).float().numpy()
            return features
