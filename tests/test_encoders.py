import json
from collections import OrderedDict

import numpy as np
import pytest

from conftest import pixels
from selfsort.errors import ModelError
from selfsort.features.encoders import OnnxEncoder, load_encoder, settings_from_config
from selfsort.pixels import Preprocessing

# --- encoders of one's own


def write_onnx(path, *, output="flat", shape=("n", 3, "h", "w"), dtype="FLOAT", name="out", channels=3):
    """Write a model that passes its input's colors on: as a map, as tokens, or averaged."""
    from onnx import TensorProto, helper

    kind = getattr(TensorProto, dtype)
    nodes = {
        "map": [helper.make_node("Identity", ["x"], [name])],
        "tokens": [
            helper.make_node("Constant", [], ["to"], value_ints=[0, channels, -1]),
            helper.make_node("Reshape", ["x", "to"], ["flat"]),
            helper.make_node("Transpose", ["flat"], [name], perm=[0, 2, 1]),
        ],
        "flat": [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], [name])],
    }[output]
    sides = {"map": ["n", channels, "a", "b"], "tokens": ["n", "t", channels], "flat": ["n", channels]}[output]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info(name, kind, sides)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def normalized(images, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
    return ((images / 255 - mean) / std).astype(np.float32)


@pytest.mark.parametrize("output", ["flat", "tokens", "map"])
@pytest.mark.parametrize("batch", ["n", 3])
def test_a_model_of_ones_own(tmp_path, output, batch):
    path = write_onnx(tmp_path / "own.onnx", output=output, shape=(batch, 3, 32, 32))
    encoder = load_encoder(str(path))
    assert encoder.name == "own.onnx"
    assert encoder.batch_size == (3 if batch == 3 else 1)
    assert encoder.preprocessing == Preprocessing(32, "crop")
    images = pixels(3, 32)[:3]
    expected = normalized(images)
    expected = expected[:, 0, 0] if output == "tokens" else expected.mean((1, 2))
    np.testing.assert_allclose(encoder.encode(images), expected, atol=1e-4)


def test_a_half_precision_model(tmp_path):
    encoder = load_encoder(str(write_onnx(tmp_path / "h.onnx", dtype="FLOAT16", output="map")))
    images = pixels(2, 224)
    found = encoder.encode(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, normalized(images).mean((1, 2)), atol=0.02)


def test_settings_come_from_the_file_beside(tmp_path):
    write_onnx(tmp_path / "model.onnx", output="tokens")
    config = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4], "size": {"height": 48, "width": 48}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    by_file, by_folder = load_encoder(str(tmp_path / "model.onnx")), load_encoder(str(tmp_path))
    assert by_file.key == by_folder.key
    assert by_file.preprocessing == Preprocessing(48, "squash")
    images = pixels(2, 48)
    expected = normalized(images, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))[:, 0, 0]
    np.testing.assert_allclose(by_file.encode(images), expected, atol=1e-4)


def test_a_folder_as_hugging_face_exports_it(tmp_path):
    (tmp_path / "onnx").mkdir()
    write_onnx(tmp_path / "onnx" / "model.onnx")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False, "size": 20}))
    encoder = load_encoder(str(tmp_path))
    np.testing.assert_allclose(encoder.encode(pixels(2, 20)), pixels(2, 20).mean((1, 2)) / 255, atol=1e-5)


def test_the_key_changes_with_weights_and_preprocessing(tmp_path):
    keys = {load_encoder(str(write_onnx(tmp_path / "a.onnx", output=o))).key for o in ("flat", "tokens", "map")}
    for size in (32, 48):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": size}))
        keys.add(load_encoder(str(tmp_path / "a.onnx")).key)
    config = {"size": 48, "image_mean": [0.1] * 3, "image_std": [0.2] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    keys.add(load_encoder(str(tmp_path / "a.onnx")).key)
    assert len(keys) == 6


def test_the_key_changes_with_weights_in_a_file_of_their_own(tmp_path):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    keys, features = set(), []
    for factor in (1.0, 2.0):
        factors = numpy_helper.from_array(np.full((1, 3, 64, 64), factor, np.float32), "factors")
        nodes = [
            helper.make_node("Mul", ["x", "factors"], ["y"]),
            helper.make_node("GlobalAveragePool", ["y"], ["p"]),
            helper.make_node("Flatten", ["p"], ["out"]),
        ]
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 64, 64])],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 3])],
            [factors],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        (tmp_path / "m.onnx_data").unlink(missing_ok=True)
        onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx_data", size_threshold=0)
        encoder = load_encoder(str(tmp_path / "m.onnx"))
        features.append(encoder.encode(pixels(2, 64)))
        keys.add(encoder.key)
    assert not np.allclose(*features)
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, Preprocessing(224, "squash")),
        ({"size": 96}, Preprocessing(96, "squash")),
        ({"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": 200}, Preprocessing(200, "crop")),
        ({"size": {"shortest_edge": 64}, "do_center_crop": False, "crop_size": 9}, Preprocessing(64, "squash")),
        ({"crop_size": {"height": 30, "width": 30}, "do_center_crop": True}, Preprocessing(30, "crop")),
    ],
)
def test_settings_of_image_processors(config, expected):
    assert settings_from_config(config)["preprocessing"] == expected


@pytest.mark.parametrize("content", [b"", b"not onnx", b"\x08\x08" + bytes(300)])
def test_a_file_that_is_no_model(tmp_path, content):
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.onnx"):
        load_encoder(str(tmp_path / "bad.onnx"))


@pytest.mark.parametrize("shape", [("n", 3), ("n", 3, "h", "w", "t")])
def test_a_model_that_takes_no_pictures(tmp_path, shape):
    with pytest.raises(ModelError, match="no image encoder"):
        load_encoder(str(write_onnx(tmp_path / "bad.onnx", output="map", shape=shape)))


@pytest.mark.parametrize(
    ("shape", "output"), [(("n", 1, "h", "w"), "map"), (("n", 3, 32, 48), "flat"), (("n", 7, 32, 32), "map")]
)
def test_a_model_that_does_not_fit_pictures(tmp_path, shape, output):
    path = write_onnx(tmp_path / "bad.onnx", output=output, shape=shape, channels=shape[1])

    def use():
        encoder = load_encoder(str(path))
        encoder.encode(pixels(8, encoder.preprocessing.size))

    with pytest.raises(ModelError, match=r"bad\.onnx"):
        use()


@pytest.mark.parametrize("config", ["{", "[]", '"text"', '{"size": "big"}', '{"image_mean": [0.5], "image_std": 3}'])
def test_a_bad_configuration_beside(tmp_path, config):
    write_onnx(tmp_path / "model.onnx")
    (tmp_path / "preprocessor_config.json").write_text(config)
    with pytest.raises(ModelError):
        load_encoder(str(tmp_path / "model.onnx"))


@pytest.mark.parametrize(
    "name", ["/nowhere/model.onnx", "model-that-is-not-here.onnx", "./nowhere", "~/nowhere-at-all"]
)
def test_an_encoder_that_is_not_there(name):
    with pytest.raises(ModelError, match="There is no encoder"):
        load_encoder(name)


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ModelError, match=r"pip install|could not be loaded"):
        load_encoder(str(tmp_path))


def test_an_encoder_of_ones_own_groups_pictures(tmp_path, library):
    import selfsort

    path = write_onnx(tmp_path / "own.onnx", shape=(5, 3, 32, 32))
    clusters = selfsort.organize(library.root, settings=selfsort.Settings(encoder=str(path)))
    assert clusters.embedding.shape == (len(library), 3)
    assert clusters.run["encoder"]["name"] == "own.onnx"


def test_a_model_that_fails_ends_in_one_line(tmp_path, library):
    import selfsort

    path = write_onnx(tmp_path / "own.onnx", shape=(5, 7, 32, 32), channels=7)
    with pytest.raises(ModelError):
        selfsort.organize(library.root, settings=selfsort.Settings(encoder=str(path)))


# --- Hugging Face


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    """A tiny ViT with random weights, as ``save_pretrained`` writes it."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8
    )
    model = transformers.ViTModel(config).eval()
    model.save_pretrained(folder)
    settings = {
        "image_processor_type": "ViTImageProcessor",
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "size": {"height": 32, "width": 32},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder, model, torch


def test_a_hugging_face_folder(vit):
    folder, model, torch = vit
    encoder = load_encoder(str(folder))
    assert encoder.preprocessing == Preprocessing(32, "squash")
    images = pixels(4, 32)
    with torch.inference_mode():
        x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 127.5 - 1
        expected = model(x).pooler_output.numpy()
    np.testing.assert_allclose(encoder.encode(images), expected, atol=1e-4)
    assert load_encoder(str(folder)).key == encoder.key


def test_a_hugging_face_model_groups_pictures(vit, library):
    import selfsort

    clusters = selfsort.organize(library.root, settings=selfsort.Settings(encoder=str(vit[0])))
    assert clusters.embedding.shape == (len(library), 32)
    assert clusters.ok.sum() == len(library.kinds)


def test_pickled_weights_are_never_loaded(vit, tmp_path):
    folder, model, torch = vit
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    torch.save(OrderedDict(model.state_dict()), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError):
        load_encoder(str(tmp_path))


def test_the_digest_of_an_onnx_encoder_is_of_its_bytes(tmp_path):
    path = write_onnx(tmp_path / "a.onnx")
    first = OnnxEncoder(path, name="a").key
    path.rename(tmp_path / "b.onnx")
    assert OnnxEncoder(tmp_path / "b.onnx", name="b").key == first


def with_weights_outside(path, location, factor=1.0):
    """Write a model that says its weights lie at `location`, and return their bytes."""
    from onnx import TensorProto, helper, numpy_helper

    factors = numpy_helper.from_array(np.full((1, 3, 32, 32), factor, np.float32), "factors")
    weights = factors.raw_data
    factors.ClearField("raw_data")
    factors.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": str(len(weights))}.items():
        entry = factors.external_data.add()
        entry.key, entry.value = key, value
    nodes = [
        helper.make_node("Mul", ["x", "factors"], ["y"]),
        helper.make_node("GlobalAveragePool", ["y"], ["p"]),
        helper.make_node("Flatten", ["p"], ["out"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 32, 32])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph(nodes, "g", [x], [out], [factors])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return weights


@pytest.mark.parametrize("name", ["weights.bin", "model.onnx.data", "a/b c.w", "é.data", "x"])
def test_weights_outside_are_found_by_their_names_and_are_part_of_the_key(tmp_path, name):
    keys, path = set(), tmp_path / "model.onnx"
    (tmp_path / name).parent.mkdir(exist_ok=True)
    for factor in (1.0, 2.0):
        (tmp_path / name).write_bytes(with_weights_outside(path, name, factor))
        encoder = load_encoder(str(path))
        keys.add(encoder.key)
        assert encoder.encode(pixels(2, 32)).shape == (2, 3)
    assert len(keys) == 2
    (tmp_path / name).unlink()
    with pytest.raises(ModelError, match="are not there"):
        load_encoder(str(path))


@pytest.mark.parametrize("place", ["../w", "a/../../w", "{root}/w", "..\\w", "C:\\w", "//192.0.2.1/w", "link"])
def test_weights_outside_the_folder_are_refused(tmp_path, place):
    folder = tmp_path / "model"
    folder.mkdir()
    place = place.format(root=tmp_path)
    (tmp_path / "w").write_bytes(with_weights_outside(folder / "m.onnx", place))
    if place == "link":
        (folder / "link").symlink_to(tmp_path / "w")
    with pytest.raises(ModelError, match="not in its folder"):
        load_encoder(str(folder / "m.onnx"))


def test_a_model_in_a_cache_of_links_is_loaded(tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "x"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "2").write_bytes(with_weights_outside(blobs / "1", "w.bin"))
    for name, blob in (("model.onnx", "1"), ("w.bin", "2")):
        (snapshot / name).symlink_to(f"../../blobs/{blob}")
    assert load_encoder(str(snapshot)).encode(pixels(2, 32)).shape == (2, 3)
