"""Recognizers of faces, by small networks that are written here, and how faces are laid before them."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from conftest import pixels
from selfsort.errors import DataError, ModelError
from selfsort.photos.recognizer import PLACES, FaceModel, aligned
from test_people import portrait


def write_model(path, shape=("n", 3, 112, 112), *, dtype="FLOAT", before=(), pool=56, less_mean=True):
    """Write a network that gives the mean colors of parts of a face, of so many pixels, less their mean."""
    from onnx import TensorProto, helper, numpy_helper

    last = shape[1] not in (1, 3)
    nodes, weights, x = [], [], "x"
    for i, (op, value) in enumerate(before):
        weights.append(numpy_helper.from_array(np.array(value, np.float32), f"w{i}"))
        nodes.append(helper.make_node(op, [x, f"w{i}"], [x := f"b{i}"]))
    nodes.append(helper.make_node("Cast", [x], ["f"], to=TensorProto.FLOAT))
    nodes.append(helper.make_node("Transpose", ["f"], ["t"], perm=[0, 3, 1, 2] if last else [0, 1, 2, 3]))
    nodes.append(helper.make_node("AveragePool", ["t"], ["p"], kernel_shape=[pool, pool], strides=[pool, pool]))
    nodes.append(helper.make_node("Flatten", ["p"], ["y"]))
    nodes.append(helper.make_node("ReduceMean", ["y"], ["m"], axes=[1]))
    nodes.append(helper.make_node("Sub", ["y", "m"], ["out"]) if less_mean else helper.make_node("Abs", ["y"], ["out"]))
    kind = getattr(TensorProto, dtype)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", "d"])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def expected(face, scale=True, channels=slice(None)):
    """What such a network makes of a face."""
    values = (face - 127.5) / 127.5 if scale else face.astype(float)
    parts = values.reshape(2, 56, 2, 56, -1).mean((1, 3)).transpose(2, 0, 1)[channels].ravel()
    parts = parts - parts.mean()
    return parts / np.linalg.norm(parts)


@pytest.fixture
def face():
    return np.asarray(portrait().crop((140, 100, 364, 324)).resize((112, 112)))


@pytest.mark.parametrize("shape", [("n", 3, 112, 112), (1, 3, 112, 112), ("n", 112, 112, 3)])
def test_layouts(tmp_path, face, shape):
    model = FaceModel(write_model(tmp_path / "m.onnx", shape))
    assert model.side == 112
    np.testing.assert_allclose(model.vector(face), expected(face), atol=1e-4)


@pytest.mark.parametrize(("dtype", "scale"), [("FLOAT", True), ("FLOAT16", True), ("UINT8", False)])
def test_types(tmp_path, face, dtype, scale):
    model = FaceModel(write_model(tmp_path / "m.onnx", dtype=dtype))
    np.testing.assert_allclose(model.vector(face), expected(face, scale), atol=2e-3)


def test_a_network_that_scales_pixels_itself_gets_pixels(tmp_path, face):
    for before in ([("Sub", 127.5), ("Mul", 1 / 128)], [("Div", 255.0), ("Sub", 0.5)], [("Add", [[[-127.5]]] * 3)]):
        raw = FaceModel(write_model(tmp_path / "raw.onnx", before=before)).vector(face)
        np.testing.assert_allclose(raw, expected(face), atol=1e-4)
    powers = FaceModel(write_model(tmp_path / "other.onnx", before=[("Pow", 3.0)])).vector(face)
    values = ((face - 127.5) / 127.5) ** 3
    np.testing.assert_allclose(powers, expected(values * 127.5 + 127.5), atol=1e-4)


@pytest.mark.parametrize(
    "before",
    [
        [("Mul", 0.5), ("Add", 0.5), ("Sub", 0.45), ("Div", 0.22)],  # mean and deviation of what lies between 0 and 1
        [("Mul", 127.5), ("Add", 127.5), ("Sub", 110.0)],  # back to pixels first
    ],
)
def test_a_network_that_scales_from_minus_one_to_one_gets_that(tmp_path, face, before):
    values = (face - 127.5) / 127.5
    for op, value in before:
        values = {"Mul": np.multiply, "Add": np.add, "Sub": np.subtract, "Div": np.divide}[op](values, value)
    path = write_model(tmp_path / "m.onnx", before=[*before, ("Pow", 2.0)])  # so that it matters what it gets
    np.testing.assert_allclose(FaceModel(path).vector(face), expected(values**2 * 127.5 + 127.5), atol=1e-3)


def test_colors_and_gray(tmp_path, face):
    path = write_model(tmp_path / "m.onnx")
    rgb, bgr = FaceModel(path), FaceModel(path, "bgr")
    np.testing.assert_allclose(bgr.vector(face), rgb.vector(face[..., ::-1].copy()), atol=1e-6)
    assert not np.allclose(rgb.vector(face), bgr.vector(face), atol=0.01)
    assert rgb.key != bgr.key
    gray = FaceModel(write_model(tmp_path / "gray.onnx", ("n", 1, 112, 112)))
    luminance = np.asarray(Image.fromarray(face).convert("L"))[..., None]
    np.testing.assert_allclose(gray.vector(face), expected(luminance), atol=1e-4)
    with pytest.raises(DataError, match="one of rgb, bgr: got 'cmyk'"):
        FaceModel(path, "cmyk")


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        (("n", 3, "h", "w"), {}, r"does not say which faces it takes: its input is \['n', 3, 'h', 'w'\]"),
        (("n", 3, 112, 96), {}, "1 or 3 channels and a fixed side"),
        (("n", 5, 112, 112), {}, "1 or 3 channels and a fixed side"),
        ((8, 3, 112, 112), {}, "takes 8 faces at once"),
        (("n", 3, 112, 112), {"dtype": "INT32"}, r"takes tensor\(int32\)"),
        (("n", 3, 112, 112), {"before": [("Mul", np.nan)]}, "not finite"),
        (("n", 3, 112, 112), {"before": [("Mul", 0.0)]}, "not finite, or zero"),
        (("n", 1, 112, 112), {"pool": 112}, "gives no vector for a face: its first output is of shape"),
        (("n", 3, 112, 112), {"before": [("Mul", np.zeros((1, 3, 112, 112))), ("Add", np.arange(3.0)[:, None, None])]},
         "the same vector whatever it is shown"),
    ],
)  # fmt: skip
def test_files_that_are_no_recognizers(tmp_path, shape, options, message):
    with pytest.raises(ModelError, match=message) as caught:
        FaceModel(write_model(tmp_path / "m.onnx", shape, **options))
    assert "\n" not in str(caught.value)


def test_files_that_are_no_networks(tmp_path):
    with pytest.raises(ModelError, match="There is no file"):
        FaceModel(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ModelError, match="could not be loaded as an ONNX model"):
        FaceModel(tmp_path / "text.onnx")


def test_several_inputs(tmp_path):
    from onnx import TensorProto, helper

    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 112, 112]) for name in "ab"]
    out = [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1, 3, 112, 112])]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "g", inputs, out)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "two.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"one input with four dimensions, it has a \[1, 3, 112, 112\], b "):
        FaceModel(tmp_path / "two.onnx")


# --- faces as recognizers see them


@pytest.mark.parametrize(("size", "turn"), [(60, 0), (112, 30), (500, -40), (1500, 170)])
def test_points_come_to_lie_where_they_should(size, turn):
    factor = size * np.exp(1j * np.radians(turn))
    places = [900 + 900j + factor * (x - 0.5 + (y - 0.6) * 1j) for x, y in PLACES]
    picture = Image.new("RGB", (1800, 1800))
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]
    for place, color in zip(places, colors, strict=True):
        r = size / 14
        ImageDraw.Draw(picture).ellipse((place.real - r, place.imag - r, place.real + r, place.imag + r), fill=color)
    points = np.array([(place.real, place.imag) for place in places])
    crop = aligned(np.asarray(picture), points, 112)
    for (x, y), color in zip(PLACES * 112, colors, strict=True):
        assert np.abs(crop[int(y), int(x)].astype(int) - color).max() < 12


def test_a_large_face_loses_no_pixels():
    """Fine stripes become gray, as they do when a picture is made smaller, and not one of their two colors."""
    stripes = np.zeros((1120, 1120, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = aligned(stripes, PLACES * 1120, 112)
    assert np.abs(crop[10:-10, 10:-10].astype(int) - 127).max() < 12


def test_points_that_are_one_make_no_trouble():
    assert aligned(pixels(3, 64)[0], np.full((5, 2), 30.0), 112).shape == (112, 112, 3)
