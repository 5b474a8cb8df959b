import pytest

torch = pytest.importorskip("torch")

from selfsort.nets.autoencoder import conv_autoencoder, dense_autoencoder  # noqa: E402


@pytest.mark.parametrize("side", [(1, 1), (2, 3), (7, 7), (8, 8), (28, 28), (31, 17), (32, 32)])
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
