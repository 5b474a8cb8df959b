"""Views as a whole, and their geometry against other libraries."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image, ImageOps

from selfsort.errors import DataError

torch = pytest.importorskip("torch")

from selfsort import augment  # noqa: E402
from selfsort.augment import Augment, Params, simclr, view  # noqa: E402
from selfsort.augment.draws import Draw  # noqa: E402

RECIPES = augment.VIEWS
EVERYTHING = Augment(
    crop=(0.3, 1),
    rotate=20,
    shift=0.11,
    scale=(0.8, 1.3),
    stretch=0.3,
    shear=0.4,
    flip=0.5,
    brightness=0.4,
    contrast=0.5,
    saturation=0.6,
    hue=0.1,
    color_probability=0.8,
    gray=0.2,
    blur=0.5,
    cutout=0.5,
    fill=0.3,
    thicken=1.0,
    operations=3,
)


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


# ---------------------------------------------------------------- geometry


@pytest.mark.parametrize(
    ("padding", "mode"), [("zeros", "grid-constant"), ("border", "nearest"), ("reflection", "reflect")]
)
@pytest.mark.parametrize("size", [None, (19, 13)])
def test_geometry_is_bilinear_interpolation_of_each_picture(padding, mode, size):
    x = pictures()
    moved = Augment(
        size, crop=(0.3, 1), rotate=40, shift=0.2, scale=(0.7, 1.3), stretch=0.3, shear=0.4, flip=0.5, padding=padding
    )
    params = moved.draw(6, 17, 23, generator=seeded())
    found = moved.apply(x, params)
    height, width = size or (17, 23)
    assert found.shape == (6, 3, height, width)
    for picture, matrix, result in zip(array(x) / 255, array(params.matrix), found, strict=True):
        places = np.empty((2, height, width))
        for row in range(height):
            for column in range(width):
                there = matrix @ [(2 * column + 1) / width - 1, (2 * row + 1) / height - 1, 1]
                places[:, row, column] = ((there[1] + 1) * 17 - 1) / 2, ((there[0] + 1) * 23 - 1) / 2
        expected = [scipy.ndimage.map_coordinates(channel, places, order=1, mode=mode) for channel in picture]
        np.testing.assert_allclose(result, np.array(expected), atol=2e-5)


def spied(monkeypatch, settings, n, height, width):
    """Return the matrix of a view, and what was drawn uniformly, by its range."""
    drawn = {}
    uniform = Draw.uniform

    def spy(self, low, high, *shape):
        values = uniform(self, low, high, *shape)
        drawn[round(low, 6), round(high, 6)] = values.numpy()
        return values

    monkeypatch.setattr(Draw, "uniform", spy)
    return array(settings.draw(n, height, width, generator=seeded(1)).matrix), drawn


def test_the_matrix_is_mirror_crop_turn_shear_scale_and_shift_of_pixels(monkeypatch):
    """Composed here step by step as 3 x 3 matrices in pixels, forward, and inverted."""
    h, w, size = 30, 50, (20, 24)
    settings = Augment(size, rotate=20, shift=0.11, scale=(0.8, 1.3), stretch=0.3, shear=0.4, flip=0.5)
    found, drawn = spied(monkeypatch, settings, 40, h, w)
    for i in range(40):
        turn, shear = np.deg2rad(drawn[-20, 20][i]), drawn[-0.4, 0.4][i]
        factor, stretch = drawn[0.8, 1.3][i], 1.3 ** drawn[-1, 1][i]
        x, y = drawn[-0.11, 0.11][i] * [w, h]
        turned = [
            [np.cos(turn), np.sin(turn), 0],
            [-np.sin(turn), np.cos(turn), 0],
            [0, 0, 1],
        ]  # left, as y points down
        sheared, scaled = [[1, shear, 0], [0, 1, 0], [0, 0, 1]], np.diag([factor * stretch, factor / stretch, 1])
        to_center, shifted = [[1, 0, -w / 2], [0, 1, -h / 2], [0, 0, 1]], [[1, 0, x], [0, 1, y], [0, 0, 1]]
        out = np.diag([-1 if drawn[0, 1][i] < 0.5 else 1, 1, 1]) @ np.diag([size[1] / w, size[0] / h, 1])
        pixels = out @ shifted @ turned @ sheared @ scaled @ to_center  # picture -> output, from its center
        normal = np.diag([2 / size[1], 2 / size[0], 1]) @ pixels @ np.linalg.inv(np.diag([2 / w, 2 / h, 1]))
        # pixels are counted from the corner, [-1, 1] goes from edge to edge
        expected = np.linalg.inv(normal @ [[1, 0, 1], [0, 1, 1], [0, 0, 1]])
        np.testing.assert_allclose(found[i], expected[:2], atol=1e-5)


def test_positive_turns_are_to_the_left_as_in_pil(monkeypatch):
    x = pictures(1, 1, 41, 41)
    settings = Augment(rotate=20)
    _, drawn = spied(monkeypatch, settings, 1, 41, 41)
    found = settings(x, generator=seeded(1))[0, 0].numpy()
    original = Image.fromarray(x[0, 0].numpy().astype(np.float32) / 255)
    expected = np.asarray(original.rotate(float(drawn[-20, 20][0]), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(found[8:-8, 8:-8], expected[8:-8, 8:-8], atol=1e-4)


def test_a_crop_is_the_box_that_pil_resamples():
    x = pictures(8, 1, 30, 40)
    crop = Augment((24, 20), crop=(0.2, 0.9), padding="border")
    params = crop.draw(8, 30, 40, generator=seeded())
    for picture, matrix, found in zip(x, array(params.matrix), crop.apply(x, params), strict=True):
        (across, _, x0), (_, down, y0) = matrix
        box = [(x0 - across + 1) * 20, (y0 - down + 1) * 15, (x0 + across + 1) * 20, (y0 + down + 1) * 15]
        assert min(box) >= -1e-3
        assert box[2] <= 40.001
        assert box[3] <= 30.001
        original = Image.fromarray(picture[0].numpy().astype(np.float32) / 255)
        expected = np.asarray(original.transform((20, 24), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR))
        np.testing.assert_allclose(found[0, 2:-2, 2:-2], expected[2:-2, 2:-2], atol=1e-3)


def test_mirror_images_are_exact():
    x = pictures(4)
    expected = [np.asarray(ImageOps.mirror(Image.fromarray(p.permute(1, 2, 0).numpy()))) for p in x]
    found = Augment(flip=1.0)(x)
    np.testing.assert_array_equal(
        found, np.stack(expected).transpose(0, 3, 1, 2).astype(np.float32) * np.float32(1 / 255)
    )


@pytest.mark.parametrize(("padding", "mode"), [("zeros", "constant"), ("border", "edge"), ("reflection", "symmetric")])
def test_shifts_and_mirror_images_alone_are_random_crops_of_the_padded_picture(padding, mode):
    x = pictures(200, 3, 16, 24)
    found = Augment(shift=0.125, flip=0.5, padding=padding)(x, generator=seeded())
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (2, 2), (3, 3)), mode=mode).astype(np.float32) * np.float32(1 / 255)
    seen = set()
    for i in range(200):
        places = [
            (top, left, flip)
            for top in range(5)
            for left in range(7)
            for flip in (1, -1)
            if np.array_equal(found[i], padded[i, :, top : top + 16, left : left + 24][:, :, ::flip])
        ]
        assert len(places) == 1
        seen |= set(places)
    assert len(seen) > 60  # of 70


# ---------------------------------------------------------------- the whole view


def test_without_settings_values_are_only_divided_by_255():
    x = pictures()
    found = Augment()(x)
    assert torch.equal(found, x.float() / 255)
    assert found.dtype == torch.float32
    floats = torch.randn(2, 1, 4, 4)
    same = Augment()(floats)
    assert torch.equal(same, floats)
    assert same.data_ptr() != floats.data_ptr()
    assert vars(Augment().draw(3, 4, 5)) == dict.fromkeys(vars(Params()))


def test_geometry_keeps_the_range_of_floats():
    """Autoencoders scale their input to other ranges than [0, 1]."""
    x = pictures().float() / 255
    settings = Augment(rotate=10, thicken=0.5)
    one, three = settings(x, generator=seeded()), settings(3 * x, generator=seeded())
    np.testing.assert_allclose(three, 3 * one, atol=1e-5)
    assert three.max() > 1


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 1, 1), (1, 1, 1), (3, 1, 9), (2, 9, 5)])
@pytest.mark.parametrize("size", [None, 16])
def test_recipes_return_values_in_0_1_for_every_shape(name, shape, size):
    x = torch.randint(0, 256, (9, *shape), dtype=torch.uint8, generator=seeded())
    for images in (x, x.float() / 255):
        before = images.clone()
        found = RECIPES[name](size)(images)
        assert found.shape == (9, shape[0], *((size, size) if size else shape[1:]))
        assert found.dtype == torch.float32
        assert found.min() >= 0
        assert found.max() <= 1 + 1e-6
        assert torch.equal(images, before)
    assert found.is_contiguous()


def test_uint8_never_exceeds_1():
    white = torch.full((500, 1, 9, 9), 255, dtype=torch.uint8)
    assert Augment(rotate=180, scale=(0.3, 3), padding="border")(white).max() == 1


@pytest.mark.parametrize("settings", [EVERYTHING, *(recipe() for recipe in RECIPES.values())], ids=["all", *RECIPES])
def test_a_picture_depends_on_its_own_draws_only(settings):
    x = pictures(40)
    params = settings.draw(40, 17, 23, generator=seeded())
    together = settings.apply(x, params)
    for rows in ([7], [3, 30], list(range(11, 40))):
        part = Params(**{k: None if v is None else v[rows] for k, v in vars(params).items()})
        np.testing.assert_allclose(settings.apply(x[rows], part), together[rows], atol=1e-6)


def test_a_batch_that_is_computed_in_parts_is_the_same(monkeypatch):
    x = pictures(50)
    whole = EVERYTHING(x, generator=seeded())
    monkeypatch.setattr(view, "_VALUES", 3000)
    np.testing.assert_allclose(EVERYTHING(x, generator=seeded()), whole, atol=1e-6)


def test_the_same_seed_gives_the_same_views():
    x = pictures()
    torch.manual_seed(3)
    one, two = EVERYTHING.two_views(x)
    torch.manual_seed(3)
    again = EVERYTHING.two_views(x)
    assert torch.equal(one, again[0])
    assert torch.equal(two, again[1])
    assert not torch.equal(one, two)


def test_a_generator_leaves_the_global_random_state_alone():
    x = pictures()
    state = torch.random.get_rng_state()
    one = EVERYTHING(x, generator=seeded(5))
    assert torch.equal(one, EVERYTHING(x, generator=seeded(5)))
    assert not torch.equal(one, EVERYTHING(x, generator=seeded(6)))
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("settings", [Augment(), EVERYTHING, simclr(16)], ids=["none", "all", "simclr"])
def test_memory_layout_has_no_influence(settings):
    x = pictures(8)
    plain = settings(x, generator=seeded())
    wide = torch.zeros(8, 3, 34, 23, dtype=torch.uint8)
    wide[:, :, ::2] = x
    for other in (x.contiguous(memory_format=torch.channels_last), wide[:, :, ::2]):
        found = settings(other, generator=seeded())
        np.testing.assert_allclose(found, plain, atol=1e-6)
        assert found.is_contiguous()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_out_and_in(dtype):
    x = pictures()
    exact = EVERYTHING(x, generator=seeded())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(EVERYTHING(x, generator=seeded()), exact)
        found = EVERYTHING(x, generator=seeded(), dtype=dtype)
    assert found.dtype == dtype
    assert torch.equal(found, exact.to(dtype))
    small = EVERYTHING((x.float() / 255).to(dtype), generator=seeded())
    assert small.dtype == torch.float32
    assert (small - exact).abs().mean() < 0.01


def test_no_gradient_goes_through():
    assert not EVERYTHING((pictures().float() / 255).requires_grad_()).requires_grad


@pytest.mark.parametrize("settings", [Augment(), EVERYTHING, *(recipe((20, 30)) for recipe in RECIPES.values())])
def test_views_can_be_kept_as_json_and_hashed(settings):
    again = Augment(**json.loads(json.dumps(asdict(settings))))
    assert again == settings
    assert hash(again) == hash(settings)


def test_recipes_are_the_public_names():
    assert set(augment.__all__) == {"VIEWS", "Augment", "Params", *RECIPES}
    assert simclr(32).blur == 0
    assert simclr(224).sigma == (0.1, 2.0)


WRONG = [
    {"rotate": -1},
    {"rotate": 181},
    {"rotate": "a lot"},
    {"shift": 1.5},
    {"shift": float("nan")},
    {"hue": 0.6},
    {"flip": 2},
    {"brightness": -0.1},
    {"operations": 2.5},
    {"operations": -1},
    {"crop": (0, 1)},
    {"crop": (0.5, 0.2)},
    {"crop": 0.5},
    {"ratio": None},
    {"scale": (1, 2, 3)},
    {"sigma": (0, 1)},
    {"size": 0},
    {"size": (3, 4, 5)},
    {"size": 2.5},
    {"size": ()},
    {"padding": "black"},
    {"thicken": 3},
]


@pytest.mark.parametrize("settings", WRONG, ids=str)
def test_wrong_settings_are_named(settings):
    name, value = next(iter(settings.items()))
    with pytest.raises(DataError, match=rf"^{name} must be .*: got .*\.$") as error:
        Augment(**settings)
    assert repr(value) in str(error.value)
    with pytest.raises(DataError):
        replace(EVERYTHING, **settings)


@pytest.mark.parametrize(
    ("images", "seen"),
    [
        (torch.zeros(3, 4, 5), r"\(3, 4, 5\)"),
        (torch.zeros(2, 3, 0, 5), r"\(2, 3, 0, 5\)"),
        (torch.zeros(0, 3, 5, 5), r"\(0, 3, 5, 5\)"),
        (np.zeros((2, 3, 4, 5)), "ndarray"),
        (torch.zeros(2, 3, 4, 5, dtype=torch.int64), "int64"),
        (torch.zeros(2, 3, 4, 5, dtype=torch.bool), "bool"),
    ],
)
def test_wrong_pictures_are_named(images, seen):
    with pytest.raises(DataError, match=seen):
        EVERYTHING(images)


def test_changes_of_another_number_of_pictures_are_refused():
    with pytest.raises(DataError, match="not drawn for 4 pictures"):
        EVERYTHING.apply(pictures(4), EVERYTHING.draw(5, 17, 23))


def test_a_generator_of_another_device_is_refused():
    with pytest.raises(DataError, match=r"generator is on cpu, the pictures are on meta"):
        EVERYTHING.draw(3, 4, 4, device="meta", generator=seeded())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", RECIPES)
def test_on_a_gpu_nothing_waits_and_the_result_is_the_same(name):
    x = pictures(8).cuda()
    settings = RECIPES[name]()
    settings(x)  # constants are moved there once
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = settings(x, dtype=torch.float16)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert found.is_cuda
    params = settings.draw(8, 17, 23, generator=seeded())
    there = Params(**{k: None if v is None else v.cuda() for k, v in vars(params).items()})
    np.testing.assert_allclose(settings.apply(x, there).cpu(), settings.apply(x.cpu(), params), atol=5e-3)
