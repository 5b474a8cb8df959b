"""Faces as vectors, by a network that the user brings: faces of one person are near each other.

None comes with selfsort. Those that are published mostly take a face that is turned and scaled so that eyes, nose and
mouth lie where they lay in training (Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition",
CVPR 2019, arXiv:1801.07698), and so it is done here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash
from PIL import Image

from selfsort.errors import DataError, ModelError
from selfsort.features.onnx_runtime import open_onnx

FloatArray = npt.NDArray[np.float32]
COLORS = ("rgb", "bgr")
#: Where eyes, nose and corners of the mouth lie in a square of 112 pixels, x and y: that of ArcFace and its kin.
PLACES = np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]]) / 112
#: Floats are (pixel - 127.5) / 127.5, from -1 to 1.
_MIDDLE = 127.5
#: What a network may do to its input before it is known whether it scales it itself.
_PASSED_ON = ("Cast", "Gather", "Identity", "Slice", "Transpose")
_SCALES = ("Add", "Div", "Mul", "Sub")
#: Pixels are wanted where so much or more is subtracted, or they are made so many times smaller: -1 to 1 need neither.
_OF_PIXELS = 16
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
#: A crop is drawn at most so many times larger, and then made smaller, so that no pixel of the face is left out.
_MOST_DRAWN = 16


class FaceModel:
    """A network that turns an aligned face into a vector.

    Parameters
    ----------
    path : path
        An ONNX file with one input, (n, channels, side, side) or (n, side, side, channels): n is 1 or free, side a
        number, channels 3 or 1 (luminance). uint8 gets pixels, 0 to 255; floats get (pixel - 127.5) / 127.5, or pixels
        where the network begins with arithmetic that makes these small (Add, Div, Mul, Sub with constants). The first
        output is the vector.
    colors : {"rgb", "bgr"}
        The order of three channels.

    Attributes
    ----------
    side : int
        Of the faces that it takes, in pixels.
    key : str
        Changes with the file, the files of weights beside it, and the colors.

    Raises
    ------
    ModelError
        If it is no such file, or does not give one finite vector for a face.
    DataError
        If there are no such colors.
    """

    def __init__(self, path: str | Path, colors: str = "rgb") -> None:
        self.path = Path(path).expanduser()
        if colors not in COLORS:
            raise DataError(f"The colors must be one of {', '.join(COLORS)}: got {colors!r}.")
        if not self.path.is_file():
            raise ModelError(f"There is no file {self.path}. Give an ONNX file that turns faces into vectors.")
        self._colors = colors
        self._session, content = open_onnx(self.path)
        self._input, self.side, self._n_channels, self._channels_first, self._type = self._asked_for()
        self._takes_pixels = self._type is np.uint8 or _scales_itself(self.path, self._input)
        self.key = xxhash.xxh3_64_hexdigest(content + colors.encode())
        noise = np.random.default_rng(0).integers(0, 256, (self.side, self.side, 3), dtype=np.uint8)
        if np.array_equal(self.vector(noise), self.vector(noise // 2)):  # the output is checked before work starts
            raise ModelError(f"{self.path} gives the same vector whatever it is shown. Is it whole?")

    def _asked_for(self) -> tuple[str, int, int, bool, type]:
        """Return name, side, number of channels, whether they come first, and type of the input."""
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            seen = ", ".join(f"{i.name} {i.shape}" for i in inputs)
            raise ModelError(
                f"{self.path} is no recognizer of faces: it needs one input with four dimensions, it has {seen}."
            )
        (n, *shape), kind = inputs[0].shape, inputs[0].type
        first = shape[0] in (1, 3)
        n_channels, sides = (shape[0], shape[1:]) if first else (shape[2], shape[:2])
        if n_channels not in (1, 3) or not isinstance(sides[0], int) or sides[0] != sides[1]:
            raise ModelError(
                f"{self.path} does not say which faces it takes: its input is {inputs[0].shape}. Export it with 1 or 3 "
                "channels and a fixed side, such as (n, 3, 112, 112)."
            )
        if isinstance(n, int) and n != 1:
            raise ModelError(f"{self.path} takes {n} faces at once. Export it for one, or for any number of them.")
        if kind not in _TYPES:
            raise ModelError(f"{self.path} takes {kind}: it must be one of {', '.join(_TYPES)}.")
        return inputs[0].name, int(sides[0]), n_channels, first, _TYPES[kind]

    def vector(self, face: npt.NDArray[np.uint8]) -> FloatArray:
        """Return the vector of a face, of length 1; may be called from several threads.

        Parameters
        ----------
        face : ndarray of uint8, shape (side, side, 3)
            As `aligned` makes it.

        Returns
        -------
        ndarray of float32, shape (d,)
        """
        if self._n_channels == 1:
            face = np.asarray(Image.fromarray(face).convert("L"))[..., None]
        elif self._colors == "bgr":
            face = face[..., ::-1]
        values: npt.NDArray[Any] = face.astype(np.float32)
        values = face if self._takes_pixels else (values - _MIDDLE) / _MIDDLE
        values = np.ascontiguousarray(values.transpose(2, 0, 1) if self._channels_first else values, self._type)
        try:
            output = np.asarray(self._session.run(None, {self._input: values[None]})[0], np.float32)
        except Exception as error:  # ONNX Runtime has no base class for its errors
            raise ModelError(f"{self.path} failed on a face: {' '.join(str(error).split())[:300]}") from error
        if output.shape[:1] != (1,) or output.size < 2 or output.size != max(output.shape):
            raise ModelError(f"{self.path} gives no vector for a face: its first output is of shape {output.shape}.")
        length = float(np.linalg.norm(output))
        if not np.isfinite(length) or not length:
            raise ModelError(f"{self.path} gives a vector for a face that is not finite, or zero. Is it whole?")
        return output.ravel() / np.float32(length)


def aligned(pixels: npt.NDArray[np.uint8], points: npt.NDArray[Any], side: int) -> npt.NDArray[np.uint8]:
    """Cut out a face, turned, moved and scaled so that its points come to lie at `PLACES` as well as they can.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (h, w, 3)
    points : ndarray of float, shape (5, 2)
        Eyes, nose and corners of the mouth in pixels, as `selfsort.photos.faces.find_faces` finds them.
    side : int
        Of the square that is returned.

    Returns
    -------
    ndarray of uint8, shape (side, side, 3)
        Black where the picture has ended.

    References
    ----------
    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", IEEE Transactions on
    Pattern Analysis and Machine Intelligence 1991; in the plane a turn with a scale is a complex factor.
    """
    here, there = (np.asarray(of, float) @ (1, 1j) for of in (points, PLACES * side))
    spread = here - here.mean()
    factor = (spread.conj() * (there - there.mean())).sum() / max((abs(spread) ** 2).sum(), 1e-9)
    factor = factor if abs(factor) > 1e-6 else 1e-6
    n_times = min(_MOST_DRAWN, max(1, round(1 / abs(factor))))
    back = 1 / (factor * n_times)  # from a pixel of the crop to one of the picture
    start = here.mean() - there.mean() / factor
    matrix = (back.real, -back.imag, start.real, back.imag, back.real, start.imag)
    drawn = (n_times * side, n_times * side)
    crop = Image.fromarray(pixels).transform(drawn, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    return np.asarray(crop.reduce(n_times))


def _scales_itself(path: Path, name: str) -> bool:
    """Tell whether the first things that a network does to its input make values from 0 to 255 small."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    made = {name: (1.0, 0.0)}  # what becomes of a value: it times the first, and the second added
    for node in graph.node:
        source = next((value for value in node.input if value in made), None)
        if source is None:
            continue
        factor, shift = made[source]
        if node.op_type in _SCALES:
            is_first = node.input[0] == source
            other = constants.get(node.input[1] if is_first else node.input[0])
            if other is None or (node.op_type == "Div" and not is_first):
                continue
            constant = float(np.mean(onnx.numpy_helper.to_array(other, str(path.parent)), dtype=float))
            if node.op_type == "Sub" and not is_first:
                factor, shift, constant = -factor, -shift, -constant
            if node.op_type in ("Add", "Sub"):
                shift += constant if node.op_type == "Add" else -constant
            else:
                times = constant if node.op_type == "Mul" else 1 / constant if constant else 0.0
                factor, shift = factor * times, shift * times
        elif node.op_type not in _PASSED_ON:
            continue
        if abs(factor) * _OF_PIXELS <= 1 or abs(shift) >= _OF_PIXELS * abs(factor):
            return True
        made.update(dict.fromkeys(node.output, (factor, shift)))
    return False
