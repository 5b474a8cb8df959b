import pytest

torch = pytest.importorskip("torch")

from selfsort.errors import DataError  # noqa: E402
from selfsort.nets.autoencoder import conv_autoencoder, dense_autoencoder  # noqa: E402
from selfsort.nets.backbones import BACKBONES, make_backbone  # noqa: E402
from selfsort.nets.heads import Heads  # noqa: E402


@pytest.mark.parametrize("side", [(1, 1), (2, 3), (7, 7), (8, 8), (28, 28), (31, 17), (32, 32)])
@pytest.mark.parametrize("depths", [(8,), (4, 8), (4, 8, 16), (4, 8, 16, 32, 64)])
def test_images_come_back_in_their_shape_from_any_depth(side, depths):
    images = torch.rand(2, 3, *side)
    codes, back = conv_autoencoder(images.shape[1:], depths, n_codes=4)(images)
    assert codes.shape == (2, 4)
    assert back.shape == images.shape


@pytest.mark.parametrize("side", [(1, 1), (7, 7), (28, 28), (31, 17)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_come_back_in_their_shape(side, channels):
    images = torch.rand(2, channels, *side)
    for make in (conv_autoencoder, dense_autoencoder):
        codes, back = make(images.shape[1:], n_codes=4)(images)
        assert codes.shape == (2, 4)
        assert back.shape == images.shape


def test_the_dense_one_is_decs():
    net = dense_autoencoder((784,))
    assert sum(weight.numel() for weight in net.parameters()) == 3_330_794  # as the published model says


@pytest.mark.parametrize("make", [conv_autoencoder, dense_autoencoder])
def test_signals_keep_their_size_on_the_way(make):
    torch.manual_seed(0)
    images = torch.randn(64, 1, 28, 28)
    codes, back = make((1, 28, 28), n_codes=10)(images)
    assert 0.01 < codes.std() < 10
    assert 0.001 < back.std() < 10


@pytest.mark.parametrize("make", [conv_autoencoder, dense_autoencoder])
def test_every_weight_learns(make):
    net = make((1, 8, 8), n_codes=3)
    net(torch.rand(16, 1, 8, 8))[1].square().mean().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in net.parameters())


@pytest.mark.parametrize("side", [(1, 1), (2, 3), (8, 8), (28, 28), (31, 17)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", list(BACKBONES))
def test_encoders_return_as_many_features_as_they_say(name, channels, side):
    net, n_features = make_backbone(name, (channels, *side), width=4)
    assert net.eval()(torch.rand(2, channels, *side)).shape == (2, n_features)


@pytest.mark.parametrize("name", list(BACKBONES))
def test_every_weight_of_an_encoder_learns(name):
    torch.manual_seed(0)
    net, _ = make_backbone(name, (3, 16, 16), width=4)
    net(torch.rand(16, 3, 16, 16)).square().mean().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in net.parameters())


def test_vgg_f_is_the_books():
    net, n_features = make_backbone("vgg-f", (1, 24, 24))
    depths = [layer.out_channels for layer in net if isinstance(layer, torch.nn.Conv2d)]
    assert depths == [64, 128, 256, 512]
    assert n_features == 3 * 3 * 512


def test_resnet_18_has_as_many_weights_as_the_one_for_cifar():
    net, n_features = make_backbone("resnet18", (3, 32, 32))
    assert n_features == 512
    assert sum(weight.numel() for weight in net.parameters()) == 11_173_962 - 5_130  # without its last layer


@pytest.mark.parametrize(
    ("name", "width", "side", "n_features", "n_weights"),
    [
        ("resnet50", 64, 224, 2048, 25_557_032 - 2_049_000),
        ("vgg16", 64, 224, 512, 14_714_688 - 4_224 + 2 * 4_224),  # without dense layers; norms instead of biases
        ("alexnet", 96, 224, 4096, None),
        ("efficientnet-lite0", 32, 224, 1280, 4_652_008 - 1_281_000),
        # as published: 24 channels to 64, 64, four times 256; another first layer; scales of norms
        ("airbench", 64, 32, 256, 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256) + 9 * 72 + 2 * (24 + 128 + 1024)),
    ],
)
def test_encoders_are_the_published_ones(name, width, side, n_features, n_weights):
    net, found = make_backbone(name, (3, side, side), width)
    assert found == n_features
    if n_weights is not None:
        assert sum(weight.numel() for weight in net.parameters()) == n_weights
    assert net.eval()(torch.rand(1, 3, side, side)).shape == (1, n_features)


def test_efficientnet_starts_from_imagenet_and_is_the_built_in_encoder():
    import numpy as np

    from selfsort.features.encoders import load_encoder
    from selfsort.methods.trained import new_encoder

    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3)).astype(np.uint8)
    pictures[1, 20:40] = 255
    with pytest.raises(DataError, match="1 or 3 channels: got 2"):
        new_encoder("efficientnet-lite0", (2, 64, 64), 32)
    net = new_encoder("efficientnet-lite0", (3, 64, 96), 32).module.eval()
    with torch.no_grad():
        ours = net(torch.from_numpy(pictures.transpose(0, 3, 1, 2) / np.float32(255))).numpy()
    np.testing.assert_allclose(ours, load_encoder().encode(pictures), atol=2e-3)


def test_auto_depends_on_the_samples():
    kind = {shape: type(make_backbone("auto", shape, 4).module[0]).__name__ for shape in ((5,), (1, 8, 8), (1, 7, 8))}
    assert kind == {(5,): "Flatten", (1, 8, 8): "Conv2d", (1, 7, 8): "Flatten"}
    with pytest.raises(DataError, match=r"needs images of shape .* got features of shape \(n, 5\)"):
        make_backbone("vgg-f", (5,))


def test_heads_are_apart():
    heads, features = Heads(6, 3, 4), torch.rand(5, 6)
    logits = heads(features)
    assert logits.shape == (3, 5, 4)
    one = torch.nn.functional.linear(features, heads.linear.weight[4:8], heads.linear.bias[4:8])
    torch.testing.assert_close(logits[1], one)
    torch.testing.assert_close(heads.predict_proba(features).sum(-1), torch.ones(5, 3))
