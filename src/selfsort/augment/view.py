"""The view: its settings, what is drawn for each picture, and the stages that use it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from selfsort.augment.draws import Draw
from selfsort.augment.stages import (
    NONE,
    autocontrast,
    blurred,
    changed,
    colored,
    cut,
    equalized,
    grid,
    posterized,
    solarized,
    thickened,
)
from selfsort.errors import DataError

_VALUES = 1 << 18  # per step on a CPU: what stays in its cache, and is not given back to the system in between
_ATTEMPTS = 10  # boxes drawn per picture before the largest that fits is taken, as in torchvision
#: Settings that are one number, and the range each must be in.
_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("shift", "flip", "color_probability", "gray", "blur", "cutout", "fill", "thicken"), (0, 1)),
    **dict.fromkeys(("stretch", "shear", "brightness", "contrast", "saturation"), (0, 10)),
    "rotate": (0, 180),
    "hue": (0, 0.5),
    "operations": (0, 16),
}
_PAIRS = {"crop": (1e-6, 1), "ratio": (1e-3, 1e3), "scale": (1e-3, 1e3), "sigma": (1e-3, 1e3)}


@dataclass(frozen=True)
class Params:
    """What was drawn for n pictures; None where a view has no such change.

    Attributes
    ----------
    matrix : Tensor, shape (n, 2, 3), optional
        Where each output pixel is read, as `torch.nn.functional.affine_grid` takes it (``align_corners=False``):
        (x, y) in the picture, in [-1, 1] from edge to edge, from (x, y, 1) in the output.
    thicken : Tensor, shape (n,), optional
        Share of a 3 x 3 maximum, or, below 0, of a 3 x 3 minimum.
    color : Tensor, shape (n, 4), optional
        Factors of brightness, contrast and saturation, and the turn of the hue in radians.
    autocontrast, equalize : Tensor, shape (n,), bool, optional
    solarize : Tensor, shape (n,), optional
        Values from here up are inverted; 2: none.
    posterize : Tensor, shape (n,), optional
        Bits that are kept; 8: all.
    sigma : Tensor, shape (n,), optional
        Of the blur, in output pixels; 0: none.
    cutout : Tensor, shape (n, 3), optional
        Center (x, y) and half the side of the square, in output pixels from the upper left corner.
    """

    matrix: Tensor | None = None
    thicken: Tensor | None = None
    color: Tensor | None = None
    autocontrast: Tensor | None = None
    equalize: Tensor | None = None
    solarize: Tensor | None = None
    posterize: Tensor | None = None
    sigma: Tensor | None = None
    cutout: Tensor | None = None


@dataclass(frozen=True)
class Augment:
    """A random view: called with pictures, it returns as many changed ones. With no setting it changes nothing.

    Stages in their order: geometry (one resampling), stroke width, color, solarize, posterize, equalize, blur, cutout;
    those that are off are skipped. ``Augment(**json.loads(json.dumps(asdict(view))))`` is the same view.

    Attributes
    ----------
    size : int or (int, int), optional
        Height and width of the output; the input's if not given. Resampling reads four pixels per output pixel and so
        aliases where a picture, or the box that is cropped, shrinks to less than half: store such pictures smaller,
        once, with ``interpolate(..., antialias=True)``, to about 1.5 x `size`.
    crop : (float, float), optional
        Area of the box that is cropped, as a share of the picture, uniform; its aspect ratio is log-uniform in `ratio`.
        Both are drawn up to ten times until the box fits; if none does, it is the largest central box with a ratio in
        `ratio`. Its place is uniform. That is torchvision's RandomResizedCrop without rounding to whole pixels.
    ratio : (float, float)
    rotate : float
        Degrees, uniform in both directions.
    shift : float
        Share of the sides, uniform in all directions. Where pictures keep their size and only `flip` moves them too,
        shifts are whole pixels and values stay exact, as in a random crop of the padded picture.
    scale : (float, float)
        Factor, uniform.
    stretch : float
        Width times and height divided by a factor that is log-uniform in 1 / (1 + stretch) .. 1 + stretch.
    shear : float
        Tangent, uniform in both directions: rows slide along x.
    flip : float
        Probability of a mirror image (left and right).
    padding : {"zeros", "border", "reflection"}
        What is seen beyond the edges.
    brightness, contrast, saturation : float
        Factors are uniform in max(0, 1 - s) .. 1 + s. Contrast is relative to the picture's mean gray.
    hue : float
        Share of the circle, uniform in both directions. Chroma turns in YIQ space, which is linear (torchvision: HSV).
        So these four and gray commute: the order, which torchvision draws, has no influence. Values are clamped to
        [0, 1] once after all of them, not after each.
    color_probability : float
        Probability that a picture gets these four changes at all.
    gray : float
        Probability of losing all color.
    blur : float
        Probability of a Gaussian blur.
    sigma : (float, float)
        Of the blur, in output pixels, uniform.
    cutout : float
        Largest side of a square that is filled with `fill`, as a share of the shorter side; uniform from 0. Its center
        is anywhere, so it may reach beyond the edges (DeVries & Taylor, arXiv:1708.04552).
    fill : float
    thicken : float
        Largest share of a 3 x 3 maximum (bright strokes get thicker) or minimum (thinner): a third of the pictures get
        the one, a third the other, with a share that is uniform from 0.
    operations : int
        How many operations of SCAN's RandAugment each picture gets, drawn with replacement, magnitudes uniform in its
        ranges. They are composed, not applied in turn: turns, shears and shifts add up in the one matrix, factors of
        color multiply, of several thresholds the lowest counts. Less sharpness is a Gaussian blur of equal variance.

    Raises
    ------
    DataError
        If a setting is out of its range.
    """

    size: int | tuple[int, int] | None = None
    crop: tuple[float, float] | None = None
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    rotate: float = 0.0
    shift: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    stretch: float = 0.0
    shear: float = 0.0
    flip: float = 0.0
    padding: str = "zeros"
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    color_probability: float = 1.0
    gray: float = 0.0
    blur: float = 0.0
    sigma: tuple[float, float] = (0.1, 2.0)
    cutout: float = 0.0
    fill: float = 0.0
    thicken: float = 0.0
    operations: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):  # JSON has no tuples
                object.__setattr__(self, field.name, tuple(value))
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not _within((value,), low, high, int if name == "operations" else (int, float)):
                raise DataError(f"{name} must be a number in {low} .. {high}: got {value!r}.")
        for name, (low, high) in _PAIRS.items():
            value = getattr(self, name)
            if name == "crop" and value is None:
                continue
            if not (
                isinstance(value, tuple) and len(value) == 2 and _within(value, low, high) and value[0] <= value[1]
            ):
                raise DataError(f"{name} must be two numbers in {low:g} .. {high:g}, the lower first: got {value!r}.")
        sides = self.size if isinstance(self.size, tuple) else (self.size,) * 2
        if self.size is not None and not (len(sides) == 2 and _within(sides, 1, 1 << 16, int)):
            raise DataError(f"size must be a number of pixels, or two for height and width: got {self.size!r}.")
        if self.padding not in ("zeros", "border", "reflection"):
            raise DataError(f"padding must be zeros, border or reflection: got {self.padding!r}.")

    def __call__(
        self, images: Tensor, *, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Return a new random view of each picture.

        Parameters
        ----------
        images : Tensor, shape (n, c, height, width)
            uint8, which is divided by 255, or floats, in [0, 1] if color is changed. Pictures without three channels
            keep their saturation and hue.
        generator : torch.Generator, optional
            On the device of the pictures. Torch's global random state otherwise. The same seed gives other views on
            another kind of device.
        dtype : torch.dtype
            Of the result; float32 is computed with.

        Returns
        -------
        Tensor, shape (n, c, *size)
            Contiguous, of its own memory, without a gradient.

        Raises
        ------
        DataError
            If the pictures have another shape or type, or the generator is on another device.
        """
        _check(images)
        n, _, height, width = images.shape
        return self.apply(images, self.draw(n, height, width, device=images.device, generator=generator), dtype)

    def two_views(self, images: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        """Return two views of each picture, drawn independently; the parameters are those of a call."""
        return self(images, **options), self(images, **options)

    def draw(
        self,
        n: int,
        height: int,
        width: int,
        *,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> Params:
        """Draw the changes of n pictures of `height` x `width` pixels, on the device, for `apply`."""
        draw = Draw(n, torch.device(device), generator)
        extra = draw.operations(self.operations) if self.operations else {}
        out_height, out_width = self._output(height, width)
        sigma = cutout = thicken = None
        if self.blur or self.operations:
            sigma = draw.happens(self.blur) * draw.uniform(*self.sigma)
            sigma = (sigma.square() + extra.get("variance", 0.0)).sqrt()
        if self.cutout:
            half = draw.uniform(0, self.cutout / 2 * min(out_height, out_width))
            cutout = torch.stack([draw.uniform(0, out_width), draw.uniform(0, out_height), half], 1)
        if self.thicken:
            thicken = (draw.whole(3) - 1) * draw.uniform(0, self.thicken)
        return Params(
            matrix=self._matrix(draw, extra, height, width),
            thicken=thicken,
            color=self._color(draw, extra),
            sigma=sigma,
            cutout=cutout,
            **{name: extra.get(name) for name in ("autocontrast", "equalize", "solarize", "posterize")},
        )

    @torch.no_grad()
    def apply(self, images: Tensor, params: Params, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return pictures with the changes that `draw` of the same view drew for as many of the same size.

        Apart from what is drawn, the parameters, result and errors are those of a call.
        """
        _check(images)
        if any(value is not None and len(value) != len(images) for value in vars(params).values()):
            raise DataError(f"These changes were not drawn for {len(images)} pictures. Draw as many as there are.")
        n, c, height, width = images.shape
        height, width = self._output(height, width)
        step = max(1, _VALUES // (c * height * width)) if images.device.type == "cpu" else n
        with torch.autocast(images.device.type, enabled=False):  # bf16 has 8 bits: too few for places and colors
            if n <= step:
                return self._change(images, params).to(dtype)
            views = torch.empty((n, c, height, width), dtype=dtype, device=images.device)
            for first in range(0, n, step):
                rows = slice(first, first + step)
                part = {name: None if value is None else value[rows] for name, value in vars(params).items()}
                views[rows] = self._change(images[rows], Params(**part))
        return views

    def _change(self, images: Tensor, params: Params) -> Tensor:
        height, width = images.shape[2:]
        if params.matrix is None:
            x = images.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        else:
            mode = "nearest" if self._jumps(height, width) else "bilinear"
            places = grid(params.matrix, *self._output(height, width))
            x = functional.grid_sample(images.float(), places, mode, self.padding, align_corners=False).contiguous()
        if images.dtype == torch.uint8:
            x = x.div_(255) if params.matrix is None else x.mul_(1 / 255).clamp_(max=1)  # weights add up to 1 ± 1e-7
        if params.thicken is not None:
            x = thickened(x, params.thicken)
        if params.autocontrast is not None:
            x = changed(params.autocontrast, x, autocontrast)
        if params.color is not None:
            x = colored(x, params.color)
        if params.solarize is not None:
            x = changed(params.solarize < NONE, x, solarized, params.solarize)
        if params.posterize is not None:
            x = changed(params.posterize < 8, x, posterized, params.posterize)
        if params.equalize is not None:
            x = changed(params.equalize, x, equalized)
        if params.sigma is not None:
            x = changed(params.sigma > 0, x, blurred, params.sigma)
        if params.cutout is not None:
            x = cut(x, params.cutout, self.fill)
        return x

    def _output(self, height: int, width: int) -> tuple[int, int]:
        if self.size is None:
            return height, width
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def _jumps(self, height: int, width: int) -> bool:
        """Whether pictures are moved by whole pixels only."""
        bends = self.crop or self.rotate or self.stretch or self.shear or self.operations or self.scale != (1, 1)
        return not bends and self._output(height, width) == (height, width)

    def _matrix(self, draw: Draw, extra: dict[str, Tensor], height: int, width: int) -> Tensor | None:
        jumps = self._jumps(height, width)
        if jumps and not self.shift and not self.flip:
            return None
        angle = (draw.uniform(-self.rotate, self.rotate) + extra.get("rotate", 0.0)) * (math.pi / 180)
        along = draw.uniform(-self.shear, self.shear) + extra.get("shear_x", 0.0)
        down = extra.get("shear_y", 0.0)
        if jumps:
            far = [(side, round(self.shift * side)) for side in (width, height)]
            shift = torch.stack([(draw.whole(2 * most + 1) - most) / side for side, most in far], 1)
        else:
            shift = draw.uniform(-self.shift, self.shift, 2)
            shift = shift + torch.stack([extra["shift_x"], extra["shift_y"]], 1) if extra else shift
        # the way back from the output: turn back, undo both shears, then the factors; in pixels, where y points down
        cos, sin, area = angle.cos(), angle.sin(), 1 + along * down
        back = torch.stack(
            [
                cos - along * sin,
                (-sin - along * cos) * (height / width),
                (area * sin - down * cos) * (width / height),
                area * cos + down * sin,
            ],
            1,
        ).view(-1, 2, 2)
        if self.scale != (1, 1):
            back = back / draw.uniform(*self.scale)[:, None, None]
        if self.stretch:
            stretch = draw.uniform(-1, 1) * math.log1p(self.stretch)
            back = back * torch.stack([-stretch, stretch], 1).exp()[:, :, None]
        matrix = torch.cat([back, (back * shift[:, None, :]).sum(2, keepdim=True) * -2], 2)
        if self.crop:
            center, share = self._boxes(draw, height, width)
            matrix[:, :, :2] *= share[:, None]
            matrix[:, :, 2] += center
        if self.flip:
            matrix[:, :, 0] *= 1 - 2 * draw.happens(self.flip).float()[:, None]
        return matrix

    def _boxes(self, draw: Draw, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Return centers of the boxes to crop, in [-1, 1], and their sides as shares, both (n, 2) as x, y."""
        tall, (smallest, largest) = height / width, self.crop or (1, 1)
        area = draw.uniform(smallest, largest, _ATTEMPTS)
        ratio = draw.uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), _ATTEMPTS).exp() * tall
        share = torch.stack([area * ratio, area / ratio], 2).sqrt()
        fits = (share <= 1).all(2)
        first = fits.byte().argmax(1)
        share = share.take_along_dim(first[:, None, None], 1)[:, 0]
        nearest = min(max(1 / tall, self.ratio[0]), self.ratio[1]) * tall
        central = torch.stack([draw.same(min(1, nearest)), draw.same(min(1, 1 / nearest))], 1)
        share = torch.where(fits.any(1, keepdim=True), share, central)
        return draw.uniform(-1, 1, 2) * (1 - share) * fits.any(1, keepdim=True), share

    def _color(self, draw: Draw, extra: dict[str, Tensor]) -> Tensor | None:
        spreads = (self.brightness, self.contrast, self.saturation)
        if not (any(spreads) or self.hue or self.gray or self.operations):
            return None
        factors = [draw.uniform(max(0, 1 - spread), 1 + spread) for spread in spreads]
        turn = draw.uniform(-self.hue, self.hue) * (2 * math.pi)
        happens = draw.happens(self.color_probability)
        color = torch.stack([*(torch.where(happens, factor, 1.0) for factor in factors), turn * happens], 1)
        color[:, 2] *= ~draw.happens(self.gray)
        if extra:
            color[:, :3] *= extra["factors"]
        return color


def _within(values: tuple[Any, ...], low: float, high: float, kind: Any = (int, float)) -> bool:
    return all(isinstance(value, kind) and low <= value <= high for value in values)


def _check(images: Tensor) -> None:
    if not isinstance(images, Tensor) or images.ndim != 4 or 0 in images.shape:
        seen = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise DataError(f"Pictures must be a tensor of shape (n, c, height, width), none of them 0: got {seen}.")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise DataError(f"Pictures must be uint8 or floats: got {images.dtype}. Convert them.")
