"""Where faces are in a picture, and eyes, nose and mouth in them: MTCNN on ONNX Runtime, without its framework.

A first network looks at the picture in many sizes and proposes squares, a second throws most of them away, a third
decides, moves the edges and says where eyes, nose and mouth are. Their weights are those of the package ``mtcnn``
(MIT), read by what it also needs; the graphs are written here, as `selfsort.features.default_encoder` does it.

Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks", IEEE Signal
Processing Letters 2016, arXiv:1604.02878.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from selfsort.errors import DataError, ModelError
from selfsort.features.onnx_runtime import open_session

FloatArray = npt.NDArray[np.float32]
_WEIGHTS = {  # SHA-256: only these files are opened, since their format can hold more than numbers
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}
#: The first network sees squares of so many pixels, every second one; the others get so many.
_CELL, _STRIDE, _SECOND, _THIRD = 12, 2, 24, 48
#: Eyes, nose, corners of the mouth.
N_POINTS = 5
#: From one size of the picture to the next.
_STEP = 0.709
#: Sides of the smallest faces that are looked for, in pixels.
SMALLEST = 20
#: So sure must each of the networks be.
THRESHOLDS = (0.6, 0.7, 0.9)
#: Squares of the first network that overlap more are one, of the same size of the picture, and of all.
_OVERLAPS, _OVERLAP = (0.5, 0.7), 0.7
#: So many proposals of one size, and so many together, are looked at.
_MOST_OF_SIZE, _MOST = 300, 400


class _Networks(NamedTuple):
    first: Any
    second: Any
    third: Any


def is_installed() -> bool:
    """Tell whether the weights are there."""
    return all(importlib.util.find_spec(name) is not None for name in ("mtcnn", "joblib", "lz4"))


def check_installed() -> None:
    """Raise `DataError` if the weights are not installed, `ModelError` if they are others."""
    _networks()


def find_faces(pixels: npt.NDArray[np.uint8], thresholds: tuple[float, float, float] = THRESHOLDS) -> FloatArray:
    """Find faces; may be called from several threads.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (h, w, 3)
        Upright RGB.
    thresholds : tuple of float
        So sure must each network be.

    Returns
    -------
    ndarray of float32, shape (n, 15)
        Left, top, right, bottom in pixels, inside the picture; the score from 0 to 1; then x and y of the eyes, the
        nose and the corners of the mouth, those on the left of the picture first. The strongest first.
    """
    networks = _networks()
    boxes = _proposed(networks.first, pixels, thresholds[0])
    if not len(boxes):
        return np.zeros((0, 5 + 2 * N_POINTS), np.float32)
    picture = np.ascontiguousarray(_normal(pixels).transpose(2, 0, 1)[None])
    for network, size, threshold in (
        (networks.second, _SECOND, thresholds[1]),
        (networks.third, _THIRD, thresholds[2]),
    ):
        moves, scores, points = _asked(network, picture, boxes, size)
        keep = scores > threshold
        boxes = _moved(boxes[keep], moves[keep], scores[keep], points[keep])
        boxes = _apart(boxes, _OVERLAP, of_smaller=size == _THIRD)
        if size == _SECOND:
            boxes = _squares(boxes)
    height, width, _ = pixels.shape
    boxes[:, :4] = boxes[:, :4].clip(0, [width, height, width, height])
    return boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]


def _proposed(network: Any, pixels: npt.NDArray[np.uint8], threshold: float) -> FloatArray:
    """Return the squares that the first network proposes, shape (n, 5)."""
    found = [np.zeros((0, 5), np.float32)]
    picture = Image.fromarray(pixels)
    for width, height in _sizes(*picture.size):
        scaled = _normal(np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)))
        moves, scores = network.run(None, {"images": np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])})
        likely = scores[0, 1]
        rows, columns = np.nonzero(likely > threshold)
        if not len(rows):
            continue
        corner = np.stack([columns, rows], 1) * np.float32(_STRIDE)
        boxes = np.hstack([corner, corner + _CELL, likely[rows, columns, None]]).astype(np.float32)
        boxes[:, :4] += moves[0][:, rows, columns].T * _CELL
        boxes[:, :4] *= np.tile(np.array(picture.size, np.float32) / (width, height), 2)
        found.append(_apart(_strongest(boxes, _MOST_OF_SIZE), _OVERLAPS[0]))
    return _squares(_strongest(_apart(np.concatenate(found), _OVERLAPS[1]), _MOST))


def _sizes(width: int, height: int) -> Iterator[tuple[int, int]]:
    """Yield the sizes in which the first network sees a picture, the largest first."""
    scale = _CELL / SMALLEST
    while min(width, height) * scale >= _CELL:
        yield round(width * scale), round(height * scale)
        scale *= _STEP


def _asked(
    network: Any, picture: FloatArray, boxes: FloatArray, size: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return how a network moves the edges of boxes, how sure it is that each is a face, and where points are in it.

    Of the shapes (n, 4), (n,) and (n, 2, m), relative to the boxes; only the last network knows points, x and then y.
    """
    _, _, height, width = picture.shape
    steps = np.linspace(0, 1, size, dtype=np.float32)
    left, top, right, bottom = boxes[:, :4].T
    x = (left[:, None] + (right - left)[:, None] * steps) * (2 / width) - 1  # as GridSample counts: -1 to 1
    y = (top[:, None] + (bottom - top)[:, None] * steps) * (2 / height) - 1
    shape = (len(boxes), size, size)
    grid = np.stack([np.broadcast_to(x[:, None, :], shape), np.broadcast_to(y[:, :, None], shape)], -1)
    inputs = {"picture": picture, "grid": grid.reshape(1, len(boxes) * size, size, 2)}
    moves, scores, *known = network.run(None, inputs)
    points = known[0].reshape(len(boxes), 2, N_POINTS) if known else np.zeros((len(boxes), 2, 0), np.float32)
    return moves, scores[:, 1], points


def _normal(pixels: npt.NDArray[np.uint8]) -> FloatArray:
    return (pixels.astype(np.float32) - np.float32(127.5)) * np.float32(1 / 128)


def _moved(boxes: FloatArray, moves: FloatArray, scores: FloatArray, points: FloatArray) -> FloatArray:
    corners, sides = boxes[:, :2], boxes[:, 2:4] - boxes[:, :2]
    places = corners[:, None] + points.transpose(0, 2, 1) * sides[:, None]
    edges = boxes[:, :4] + moves * np.tile(sides, 2)
    return np.hstack([edges, scores[:, None], places.reshape(len(boxes), 2 * points.shape[2])]).astype(np.float32)


def _squares(boxes: FloatArray) -> FloatArray:
    """Return boxes as squares around the same centers, as large as their longer sides."""
    center = (boxes[:, :2] + boxes[:, 2:4]) / 2
    half = (boxes[:, 2:4] - boxes[:, :2]).max(1, keepdims=True, initial=0) / 2
    return np.hstack([center - half, center + half, boxes[:, 4:]])


def _strongest(boxes: FloatArray, most: int) -> FloatArray:
    return boxes[np.argsort(-boxes[:, 4], kind="stable")[:most]]


def _apart(boxes: FloatArray, overlap: float, *, of_smaller: bool = False) -> FloatArray:
    """Return boxes, strongest first, without those that overlap a stronger one more than so much.

    The overlap is that of both over all that they cover, or over the smaller one.
    """
    boxes = _strongest(boxes, len(boxes))
    corners, far = boxes[:, :2], boxes[:, 2:4]
    area = (far - corners).prod(1)
    shared = np.minimum(far[:, None], far) - np.maximum(corners[:, None], corners)
    both = shared.clip(0).prod(2)
    whole = np.minimum(area[:, None], area) if of_smaller else area[:, None] + area - both
    close = both > overlap * whole
    kept = np.ones(len(boxes), bool)
    for i in range(len(boxes)):
        if kept[i]:
            kept[i + 1 :] &= ~close[i, i + 1 :]
    return boxes[kept]


@functools.cache
def _networks() -> _Networks:
    if not is_installed():
        raise DataError(
            "Faces are found with the package mtcnn, which is not installed. Run: pip install 'selfsort[photos]'"
        )
    spec = importlib.util.find_spec("mtcnn")
    assert spec is not None
    assert spec.origin is not None
    return _Networks(*(_opened(name, Path(spec.origin).parent / f"assets/weights/{name}.lz4") for name in _WEIGHTS))


def _opened(name: str, path: Path) -> Any:
    import joblib

    content = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(content).hexdigest() != _WEIGHTS[name]:
        raise ModelError(
            f"{path} is not the file of mtcnn 1.0.0 that selfsort knows. "
            "Run: pip install --force-reinstall mtcnn==1.0.0"
        )
    model = _graph(name, joblib.load(io.BytesIO(content))).SerializeToString()
    return open_session(model, keep_memory=False)


class _Graph:
    """Collect nodes; weights are taken from a list in the order in which Keras keeps them."""

    def __init__(self, weights: list[npt.NDArray[Any]]) -> None:
        self._weights = iter(weights)
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def constant(self, value: npt.NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"constant{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weight(self) -> FloatArray:
        return np.asarray(next(self._weights), np.float32)

    def node(self, op: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        from onnx import helper

        output = output or f"node{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def conv(self, x: str, output: str = "") -> str:
        kernel, bias = self.weight().transpose(3, 2, 0, 1), self.weight()
        return self.node("Conv", [x, self.constant(kernel), self.constant(bias)], output)

    def dense(self, x: str, output: str = "") -> str:
        return self.node("Gemm", [x, self.constant(self.weight()), self.constant(self.weight())], output)

    def prelu(self, x: str) -> str:
        slope = self.weight()
        return self.node("PRelu", [x, self.constant(slope if slope.ndim == 1 else slope.transpose(2, 0, 1))])

    def pool(self, x: str, side: int, *, same: bool) -> str:
        padding = "SAME_UPPER" if same else "VALID"
        return self.node("MaxPool", [x], kernel_shape=[side, side], strides=[2, 2], auto_pad=padding)


def _graph(name: str, weights: list[npt.NDArray[Any]]) -> Any:
    """Write one network.

    The first has the input ``images``, float32 (1, 3, h, w). The others have ``picture``, of the same shape, and
    ``grid``, float32 (1, n * side, side, 2): where to look at it for each of n boxes, the edges at -1 and 1. Outputs
    are ``moves`` of the edges, and ``scores`` for no face and for a face, float32 (n, 4) and (n, 2), of the first
    network for every place; of the last also ``points``, float32 (n, 10), x and then y.
    """
    from onnx import TensorProto, helper

    def tensor(name: str, *shape: str | int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = _Graph(weights)
    if name == "pnet":
        x = graph.pool(graph.prelu(graph.conv("images")), 2, same=True)
        x = graph.prelu(graph.conv(graph.prelu(graph.conv(x))))
        graph.conv(x, "moves")
        graph.node("Softmax", [graph.conv(x)], "scores", axis=1)
        inputs = [tensor("images", 1, 3, "height", "width")]
        outputs = [tensor("moves", 1, 4, "rows", "columns"), tensor("scores", 1, 2, "rows", "columns")]
    else:
        side = _SECOND if name == "rnet" else _THIRD
        x = graph.node("GridSample", ["picture", "grid"], mode="bilinear", padding_mode="zeros", align_corners=0)
        x = graph.node("Reshape", [x, graph.constant(np.array([3, -1, side, side]))])
        x = graph.node("Transpose", [x], perm=[1, 0, 2, 3])
        x = graph.pool(graph.prelu(graph.conv(x)), 3, same=True)
        x = graph.pool(graph.prelu(graph.conv(x)), 3, same=False)
        x = graph.prelu(graph.conv(x))
        if name == "onet":
            x = graph.prelu(graph.conv(graph.pool(x, 2, same=True)))
        x = graph.node("Flatten", [graph.node("Transpose", [x], perm=[0, 3, 2, 1])], axis=1)
        x = graph.prelu(graph.dense(x))
        graph.dense(x, "moves")
        if name == "onet":
            graph.dense(x, "points")
        graph.node("Softmax", [graph.dense(x)], "scores", axis=1)
        inputs = [tensor("picture", 1, 3, "height", "width"), tensor("grid", 1, "rows", side, 2)]
        outputs = [tensor("moves", "n", 4), tensor("scores", "n", 2)]
        outputs += [tensor("points", "n", 2 * N_POINTS)] * (name == "onet")
    proto = helper.make_graph(graph.nodes, name, inputs, outputs, graph.initializers)
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
