import json
import os
import pickle
import struct
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest

from conftest import KINDS, draw
from selfsort.errors import ModelError
from selfsort.features.default_encoder import build_onnx, read_legacy_torch, weights_path
from selfsort.features.encoders import DEFAULT, OnnxEncoder, default_onnx, load_encoder, settings_from_config
from selfsort.images import Preprocessing

MAGIC = 0x1950A86A20F9469CFC6C


def pixels(n=16, size=224):
    """Half noise, half drawings."""
    rng = np.random.default_rng(0)
    drawn = [np.asarray(draw(KINDS[i % 5], i, size).convert("RGB")) for i in range(n // 2)]
    return np.concatenate([np.stack(drawn), rng.integers(0, 256, (n - n // 2, size, size, 3), dtype=np.uint8)])


# --- the default encoder


def test_the_default_encoder_is_efficientnet_lite0():
    """Compared with the torch implementation that the weights were made for."""
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("efficientnet_lite_pytorch")
    import onnxruntime

    state = torch.load(weights_path(), weights_only=True)
    model = package.EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(state)
    model.eval()
    images = pixels(16)
    session = onnxruntime.InferenceSession(str(default_onnx()), providers=["CPUExecutionProvider"])
    features, logits = session.run(["features", "logits"], {"images": images})
    with torch.inference_mode():
        x = (torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() - 127) / 128
        expected = model.extract_features(x).mean((2, 3)).numpy()
        expected_logits = model(x).numpy()
    cosine = (features * expected).sum(1) / np.linalg.norm(features, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() >= 0.999
    assert (logits.argmax(1) == expected_logits.argmax(1)).all()
    np.testing.assert_allclose(features, expected, rtol=1e-2, atol=1e-2)


def test_the_weights_are_read_as_torch_reads_them():
    torch = pytest.importorskip("torch")
    expected = torch.load(weights_path(), weights_only=True)
    found = read_legacy_torch(weights_path())
    assert list(found) == list(expected)
    assert len(found) == 296
    assert all(np.array_equal(found[name], expected[name].numpy()) for name in found)


def test_the_default_encoder():
    encoder = load_encoder()
    assert (encoder.name, encoder.preprocessing) == (DEFAULT, Preprocessing(224, "squash"))
    assert load_encoder("default").key == encoder.key
    features = encoder.encode(pixels(8))
    assert features.shape == (8, 1280)
    assert features.dtype == np.float32
    assert features.min() >= 0
    assert encoder.describe() == {"name": DEFAULT, "key": encoder.key, "preprocessing": encoder.preprocessing.key}


def test_features_do_not_depend_on_batch_mates_or_order():
    encoder = load_encoder()
    images = pixels(8)
    together = encoder.encode(images)
    assert np.array_equal(encoder.encode(images[::-1])[::-1], together)
    for i in range(0, 8, 3):
        others = np.zeros_like(images)
        others[5] = images[i]
        assert np.array_equal(encoder.encode(others)[5], together[i])


BUILD = "from selfsort.features.encoders import default_onnx; print(default_onnx())"


def test_two_processes_build_the_graph_at_once(tmp_path):
    environment = os.environ | {"SELFSORT_CACHE": str(tmp_path / "cache")}
    running = [
        subprocess.Popen([sys.executable, "-c", BUILD], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    paths = {process.communicate(timeout=60)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0]
    (path,) = paths
    assert os.listdir(tmp_path / "cache" / "encoders") == [os.path.basename(path)]  # noqa: PTH119, PTH208
    assert load_encoder(path).encode(pixels(2, 64)).shape == (2, 1280)


def test_the_graph_is_valid_onnx():
    import onnx

    onnx.checker.check_model(build_onnx(read_legacy_torch(weights_path())), full_check=True)


# --- weights files that are not what they seem


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def legacy_file(path, tensors, keys=("0",), storages=((4, bytes(16)),)):
    with path.open("wb") as file:
        for part in (MAGIC, 1001, {"little_endian": True}, tensors, list(keys)):
            file.write(part if isinstance(part, bytes) else pickle.dumps(part, 2))
        for count, content in storages:
            file.write(struct.pack("<q", count) + content)
    return path


def state(shape="(K\x02K\x02t", stride="(K\x02K\x01t", offset="K\x00", storage="FloatStorage", kind="storage"):
    """Return the pickle of {"w": tensor} as torch writes it, with any claims about the tensor."""
    return (
        b"\x80\x02ccollections\nOrderedDict\n)R(X\x01\x00\x00\x00w"
        b"ctorch._utils\n_rebuild_tensor_v2\n((X"
        + struct.pack("<I", len(kind))
        + kind.encode()
        + b"ctorch\n"
        + storage.encode()
        + b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04NtQ"
        + offset.encode("latin-1")
        + shape.encode("latin-1")
        + stride.encode("latin-1")
        + b"\x89ccollections\nOrderedDict\n)RtRu."
    )


def test_a_small_weights_file(tmp_path):
    values = np.arange(4, dtype="<f4")
    path = legacy_file(tmp_path / "w.pth", state(), storages=[(4, values.tobytes())])
    found = read_legacy_torch(path)
    assert found["w"].tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize("place", ["first", "state"])
@pytest.mark.parametrize("function", [os.system, eval, print, getattr, __import__])
def test_a_pickle_that_calls_is_refused(tmp_path, function, place):
    evil = pickle.dumps(Call(function, f"touch {tmp_path}/called"), 2)
    path = tmp_path / "w.pth"
    if place == "first":
        path.write_bytes(evil)
    else:
        legacy_file(path, evil)
    with pytest.raises(ModelError, match="Refused"):
        read_legacy_torch(path)
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize(
    "name",
    ["torch.HalfStorage", "torch.load", "torch._utils._rebuild_parameter", "collections.Counter", "numpy.ndarray"],
)
def test_other_classes_are_refused(tmp_path, name):
    module, attribute = name.rsplit(".", 1)
    path = legacy_file(tmp_path / "w.pth", f"\x80\x02c{module}\n{attribute}\n.".encode("latin-1"))
    with pytest.raises(ModelError, match=f"Refused to load {name}"):
        read_legacy_torch(path)


# a number above 255 as pickle writes it: M and two bytes, J and four
CLAIMS = {
    "a shape beyond the data": {"shape": "(M\x00\x10M\x00\x10t"},
    "a shape far beyond": {"shape": "(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ft"},
    "a stride beyond the data": {"stride": "(M\x00\x40K\x01t"},
    "a negative stride": {"stride": "(J\x00\x00\xff\xffK\x01t"},
    "an offset beyond the data": {"offset": "M\x00\x10"},
    "a negative shape": {"shape": "(J\xfe\xff\xff\xffK\x02t"},
    "fewer strides than sides": {"stride": "(K\x01t"},
    "another kind of object": {"kind": "module "},
    "an unknown storage": {"storage": "EvilStorage"},
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_tensors_that_claim_more_than_there_is(tmp_path, claim):
    """In another process: a view beyond the data reads foreign memory or ends the process."""
    path = legacy_file(tmp_path / "w.pth", state(**CLAIMS[claim]))
    code = (
        "import sys; from pathlib import Path; from selfsort.errors import ModelError\n"
        "from selfsort.features.default_encoder import read_legacy_torch\n"
        "try: print(read_legacy_torch(Path(sys.argv[1])))\n"
        "except ModelError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "refused"), (done.stdout[:200], done.stderr[-400:])


def test_damaged_weights_files(tmp_path):
    whole = legacy_file(tmp_path / "whole.pth", state()).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "w.pth"
    refused = 0
    for length in range(0, len(whole), 5):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError):
            read_legacy_torch(path)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.integers(len(damaged))] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_legacy_torch(path)
        except ModelError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("content", [b"PK\x03\x04" + bytes(99), b"", b"hello", pickle.dumps({"a": 1}), pickle.dumps(5)])
def test_files_of_another_kind(tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ModelError):
        read_legacy_torch(tmp_path / "w.pth")


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
    with pytest.raises(ModelError, match="There is no encoder at"):
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
