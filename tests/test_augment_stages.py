"""What is drawn for a view, and its stages, each against a loop or another library."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

torch = pytest.importorskip("torch")

from selfsort.augment import Augment, Params, view  # noqa: E402
from selfsort.augment.draws import OPERATIONS, SMOOTH, Draw  # noqa: E402
from selfsort.augment.stages import changed, solarized  # noqa: E402


def pictures(n=6, c=3, h=17, w=23, seed=0):
    """Smooth pictures with noise, uint8."""
    rng = np.random.default_rng(seed)
    smooth = scipy.ndimage.gaussian_filter(rng.standard_normal((n, c, h, w)), (0, 0, 2, 2))
    x = 128 + 200 * smooth / max(smooth.std(), 1e-9) / 4 + rng.normal(0, 20, smooth.shape)
    return torch.from_numpy(x.clip(0, 255).astype(np.uint8))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def array(x):
    return x.numpy().astype(np.float64)


# ---------------------------------------------------------------- what is drawn


def uniform_p(values, low, high):
    return scipy.stats.kstest(values, scipy.stats.uniform(low, high - low).cdf).pvalue


def test_draws_are_uniform_in_their_ranges():
    n = 4000
    matrix = array(Augment(rotate=30, scale=(0.5, 2)).draw(n, 8, 8, generator=seeded()).matrix)
    angle = np.rad2deg(np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0]))
    assert uniform_p(angle, -30, 30) > 0.01
    assert uniform_p(np.linalg.det(matrix[:, :, :2]) ** -0.5, 0.5, 2) > 0.01
    matrix = array(Augment(shear=0.4, shift=0.2).draw(n, 8, 8, generator=seeded()).matrix)
    assert uniform_p(-matrix[:, 0, 1], -0.4, 0.4) > 0.01
    assert uniform_p(matrix[:, 1, 2] / 2, -0.2, 0.2) > 0.01
    matrix = array(Augment(stretch=1.0, flip=0.3).draw(n, 8, 8, generator=seeded()).matrix)
    assert uniform_p(np.log(matrix[:, 1, 1]), -np.log(2), np.log(2)) > 0.01
    assert scipy.stats.binomtest(int((matrix[:, 0, 0] < 0).sum()), n, 0.3).pvalue > 0.01
    settings = Augment(brightness=0.4, contrast=2, hue=0.1, blur=1, sigma=(0.5, 2), cutout=0.5, thicken=0.7)
    params = settings.draw(n, 20, 30, generator=seeded())
    color = array(params.color)
    assert uniform_p(color[:, 0], 0.6, 1.4) > 0.01
    assert uniform_p(color[:, 1], 0, 3) > 0.01
    assert (color[:, 2] == 1).all()
    assert uniform_p(color[:, 3], -0.2 * np.pi, 0.2 * np.pi) > 0.01
    assert uniform_p(array(params.sigma), 0.5, 2) > 0.01
    for column, top in enumerate((30, 20, 5)):
        assert uniform_p(array(params.cutout)[:, column], 0, top) > 0.01
    thicken = array(params.thicken)
    assert scipy.stats.chisquare([(thicken > 0).sum(), (thicken < 0).sum(), (thicken == 0).sum()]).pvalue > 0.01
    assert uniform_p(np.abs(thicken[thicken != 0]), 0, 0.7) > 0.01


def test_color_and_gray_happen_with_their_probabilities():
    color = array(
        Augment(saturation=0.5, hue=0.2, color_probability=0.8, gray=0.2).draw(5000, 4, 4, generator=seeded()).color
    )
    assert scipy.stats.binomtest(int((color[:, 3] == 0).sum()), 5000, 0.2).pvalue > 1e-3
    assert scipy.stats.binomtest(int((color[:, 2] == 0).sum()), 5000, 0.2).pvalue > 1e-3
    assert (color[:, :2] == 1).all()


@pytest.mark.parametrize(("h", "w", "crop"), [(32, 32, (0.2, 1)), (100, 300, (0.08, 1)), (10, 100, (0.9, 1))])
def test_boxes_are_drawn_as_torchvision_draws_them(h, w, crop):
    """Against its loop over ten attempts per picture, without rounding to pixels."""
    rng = np.random.default_rng(0)
    boxes = []
    for _ in range(3000):
        for _ in range(10):
            area, ratio = rng.uniform(*crop) * h * w, np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
            bw, bh = np.sqrt(area * ratio), np.sqrt(area / ratio)
            if bw <= w and bh <= h:
                left, top = rng.uniform(0, w - bw), rng.uniform(0, h - bh)
                break
        else:
            bw, bh = (w, w / (3 / 4)) if w / h < 3 / 4 else (h * 4 / 3, h) if w / h > 4 / 3 else (w, h)
            left, top = (w - bw) / 2, (h - bh) / 2
        boxes.append((bw, bh, left, top))
    matrix = array(Augment(8, crop=crop).draw(3000, h, w, generator=seeded()).matrix)
    bw, bh = matrix[:, 0, 0] * w, matrix[:, 1, 1] * h
    found = np.stack([bw, bh, ((matrix[:, 0, 2] + 1) * w - bw) / 2, ((matrix[:, 1, 2] + 1) * h - bh) / 2], 1)
    for column, reference in zip(found.T, np.array(boxes).T, strict=True):
        assert scipy.stats.ks_2samp(column.round(3), reference.round(3)).pvalue > 0.01


def test_operations_add_up():
    """Against a loop over the operations of each picture."""
    generator = seeded(3)
    kinds = (torch.rand(500, 4, generator=generator) * len(OPERATIONS)).long()
    magnitudes = torch.rand(500, 4, generator=generator).numpy().astype(np.float64)
    found = Draw(500, torch.device("cpu"), seeded(3)).operations(4)
    for i in range(500):
        expected = dict.fromkeys(("rotate", "shear_x", "shear_y", "shift_x", "shift_y", "variance"), 0.0)
        factors = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0}
        expected |= {"autocontrast": 0, "equalize": 0, "solarize": 2.0, "posterize": 8}
        for kind, u in zip(kinds[i], magnitudes[i], strict=True):
            name = OPERATIONS[kind]
            if name == "rotate":
                expected[name] += -30 + 60 * u
            elif name[:5] in ("shear", "shift"):
                expected[name] += -0.1 + 0.2 * u
            elif name in factors:
                factors[name] *= 0.05 + 0.9 * u
            elif name == "sharpness":
                expected["variance"] += (0.95 - 0.9 * u) * SMOOTH
            elif name == "solarize":
                expected[name] = min(expected[name], u)
            elif name == "posterize":
                expected[name] = min(expected[name], int(4 + 4 * u))
            elif name != "identity":
                expected[name] = 1
        assert {name: float(values[i]) for name, values in found.items() if name != "factors"} == pytest.approx(
            expected, abs=1e-4
        )
        np.testing.assert_allclose(found["factors"][i], list(factors.values()), rtol=1e-4)
    assert set(kinds.unique().tolist()) == set(range(len(OPERATIONS)))


def test_operations_reach_the_matrix_and_the_colors():
    params = Augment(operations=4).draw(300, 16, 16, generator=seeded())
    linear = params.matrix[:, :, :2]
    moved = (linear - torch.eye(2)).abs().amax((1, 2)) > 1e-6
    assert 0.4 < moved.float().mean() < 0.75  # 1 - (11/14)^4 = 0.62
    assert (params.matrix[~moved, :, 2] != 0).float().mean() > 0.1
    np.testing.assert_allclose(torch.linalg.det(linear), 1, atol=1e-5)
    assert (params.color[:, :3] <= 1).all()
    assert (params.sigma >= 0).all()
    assert (params.sigma > 0).any()


def test_less_sharpness_is_a_blur_of_the_same_variance():
    spot = np.zeros((9, 9), np.uint8)
    spot[4, 4] = 255
    smooth = np.asarray(Image.fromarray(spot).filter(ImageFilter.SMOOTH)).astype(float)
    offsets = np.arange(9) - 4
    assert (smooth.sum(0) * offsets**2).sum() / smooth.sum() == pytest.approx(SMOOTH, abs=0.02)


# ---------------------------------------------------------------- color

TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def recolored(picture, color, order):
    """Change one picture, shape (3, h, w), pixel by pixel, one change after the other."""
    pixels = np.array([picture[:, r, c] for r in range(picture.shape[1]) for c in range(picture.shape[2])])
    brightness, contrast, saturation, turn = color
    for change in order:
        mean = np.mean([TO_YIQ[0] @ pixel for pixel in pixels])
        for i, pixel in enumerate(pixels):
            gray = TO_YIQ[0] @ pixel
            y, chroma_i, chroma_q = TO_YIQ @ pixel
            turned = (chroma_i + 1j * chroma_q) * np.exp(1j * turn)
            pixels[i] = {
                "brightness": lambda pixel=pixel: brightness * pixel,
                "contrast": lambda pixel=pixel, mean=mean: contrast * pixel + (1 - contrast) * mean,
                "saturation": lambda pixel=pixel, gray=gray: saturation * pixel + (1 - saturation) * gray,
                "hue": lambda y=y, z=turned: np.linalg.solve(TO_YIQ, [y, z.real, z.imag]),
            }[change]()
    return pixels.clip(0, 1).T.reshape(picture.shape)


def test_colors_change_as_one_change_after_the_other_in_any_order():
    x = pictures(6, 3, 5, 7)
    settings = Augment(brightness=0.4, contrast=0.6, saturation=0.8, hue=0.3, gray=0.2)
    params = settings.draw(6, 5, 7, generator=seeded(5))
    found = settings.apply(x, params)
    rng = np.random.default_rng(0)
    for picture, color, result in zip(array(x) / 255, array(params.color), found, strict=True):
        order = rng.permutation(["brightness", "contrast", "saturation", "hue"])
        np.testing.assert_allclose(result, recolored(picture, color, order), atol=2e-5)
    assert found.max() == 1  # something was clamped


def test_factors_of_color_are_those_of_pil():
    x = pictures(5)
    settings = Augment(brightness=0.5, contrast=0.5, saturation=0.5)
    color = torch.rand(5, 4, generator=seeded()) * 0.9  # below 1, nothing is clamped
    color[:, 3] = 0
    for picture, factors, result in zip(x, color.tolist(), settings.apply(x, Params(color=color)), strict=True):
        image = Image.fromarray(picture.permute(1, 2, 0).numpy())
        for change, factor in zip(
            (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), factors, strict=False
        ):
            image = change(image).enhance(factor)
        np.testing.assert_allclose(result.permute(1, 2, 0) * 255, np.asarray(image), atol=3)  # PIL rounds down thrice


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_without_three_channels_only_brightness_and_contrast_change(channels):
    x = pictures(5, channels)
    settings = Augment(brightness=0.4, contrast=0.4, saturation=0.5, hue=0.3, gray=0.5)
    params = settings.draw(5, 17, 23, generator=seeded())
    found = settings.apply(x, params)
    for picture, (brightness, contrast, _, _), result in zip(array(x) / 255, array(params.color), found, strict=True):
        expected = brightness * (contrast * picture + (1 - contrast) * picture.mean())
        np.testing.assert_allclose(result, expected.clip(0, 1), atol=1e-5)
    plain = Augment(saturation=0.5, hue=0.3, gray=0.5)(x)
    np.testing.assert_allclose(plain, x.numpy() / 255, atol=1e-6)


def test_gray_pictures_have_equal_channels():
    found = Augment(gray=1.0, hue=0.4)(pictures())
    np.testing.assert_allclose(found[:, 0], found[:, 1], atol=1e-6)
    np.testing.assert_allclose(found[:, 0], found[:, 2], atol=1e-6)


PIL_STAGES = {
    "autocontrast": (torch.tensor([True] * 5), lambda image, _: ImageOps.autocontrast(image)),
    "equalize": (torch.tensor([True] * 5), lambda image, _: ImageOps.equalize(image)),
    "solarize": (torch.tensor([0.0, 0.203, 0.503, 0.903, 1.0]), lambda image, t: ImageOps.solarize(image, t * 255)),
    "posterize": (torch.tensor([1.0, 4, 5, 7, 8]), lambda image, bits: ImageOps.posterize(image, int(bits))),
}


@pytest.mark.parametrize("name", PIL_STAGES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("everything", [True, False])
def test_operations_are_those_of_pil(name, channels, everything, monkeypatch):
    monkeypatch.setattr(view, "changed", lambda *args: changed(*args, everything=everything))  # as on a GPU
    values, reference = PIL_STAGES[name]
    x = pictures(5, channels)
    x[0], x[1] = 77, x[1] // 3 + 20  # one without any contrast, one with little
    found = (Augment(operations=1).apply(x, Params(**{name: values})) * 255).permute(0, 2, 3, 1).numpy()
    for picture, value, result in zip(x.permute(0, 2, 3, 1).numpy(), values.tolist(), found, strict=True):
        expected = np.asarray(reference(Image.fromarray(picture.squeeze()), value))
        tolerance = 1.01 if name == "autocontrast" else 0.01  # PIL rounds down
        np.testing.assert_allclose(result.squeeze(), expected, atol=tolerance)


def test_what_is_not_marked_is_not_changed():
    x = pictures(4).float() / 255
    threshold = torch.full((4,), 0.5)
    for which in ([False] * 4, [True, False, True, False], [True] * 4):
        marked = torch.tensor(which)
        one, other = (changed(marked, x.clone(), solarized, threshold, everything=way) for way in (True, False))
        assert torch.equal(one, other)
        assert torch.equal(one[~marked], x[~marked])
        assert not (one[marked] == x[marked]).all(dim=(1, 2, 3)).any()


# ---------------------------------------------------------------- blur, cutout, strokes


@pytest.mark.parametrize("shape", [(17, 23), (23, 17), (16, 16)])
def test_blur_is_gaussian_with_weights_of_the_pixels_that_there_are(shape):
    x = pictures(7, 3, *shape)
    sigma = torch.tensor([0.0, 0.1, 0.3, 0.7, 1.0, 2.0, 4.0])
    found = Augment(blur=1.0).apply(x, Params(sigma=sigma))
    weight = np.ones(shape)
    for picture, s, result in zip(array(x) / 255, sigma.tolist(), found, strict=True):
        expected = picture
        if s:
            blur = {"sigma": s, "mode": "constant", "truncate": 5.0}
            total = scipy.ndimage.gaussian_filter(weight, **blur)
            expected = np.array([scipy.ndimage.gaussian_filter(channel, **blur) / total for channel in picture])
        np.testing.assert_allclose(result, expected, atol=3e-5)


def test_the_kernel_of_the_blur_is_cut_as_scipy_cuts_it():
    x = torch.zeros(1, 1, 41, 41)
    x[0, 0, 20, 20] = 1
    found = Augment(blur=1.0).apply(x, Params(sigma=torch.tensor([2.0])))[0, 0]
    expected = scipy.ndimage.gaussian_filter(x[0, 0].numpy().astype(float), 2.0, truncate=5.0)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_cutout_fills_a_square():
    x = pictures(30)
    settings = Augment(cutout=0.9, fill=0.3)
    params = settings.draw(30, 17, 23, generator=seeded())
    found = settings.apply(x, params)
    plain = Augment()(x)
    for i, (across, down, half) in enumerate(params.cutout.tolist()):
        for row in range(17):
            for column in range(23):
                inside = abs(row + 0.5 - down) < half and abs(column + 0.5 - across) < half
                expected = torch.full((3,), 0.3) if inside else plain[i, :, row, column]
                assert torch.equal(found[i, :, row, column], expected)


def test_strokes_get_thicker_and_thinner():
    x = pictures(7, 2)
    share = torch.tensor([0.0, 0.3, 1.0, -0.3, -1.0, 0.7, -0.7])
    found = Augment(thicken=1.0).apply(x, Params(thicken=share))
    for picture, s, result in zip(array(x) / 255, share.tolist(), found, strict=True):
        change = scipy.ndimage.grey_dilation if s > 0 else scipy.ndimage.grey_erosion
        other = np.array([change(channel, size=(3, 3)) for channel in picture])
        np.testing.assert_allclose(result, picture + abs(s) * (other - picture), atol=1e-6)
