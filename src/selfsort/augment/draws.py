"""Random numbers, one or a few per picture, drawn on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from selfsort.augment.stages import NONE
from selfsort.errors import DataError

#: The operations of SCAN's RandAugment (github.com/wvangansbeke/Unsupervised-Classification), all equally probable.
OPERATIONS = (
    "identity",
    "autocontrast",
    "equalize",
    "rotate",
    "solarize",
    "saturation",
    "contrast",
    "brightness",
    "sharpness",
    "shear_x",
    "shear_y",
    "shift_x",
    "shift_y",
    "posterize",
)
#: Variance per axis, in square pixels, of the 3 x 3 kernel with which PIL's sharpness of 0 smooths.
SMOOTH = 6 / 13


class Draw:
    """Draws for n pictures, from one generator or torch's global random state.

    What is the same for all pictures is not drawn, and no draw waits for a GPU.
    """

    def __init__(self, n: int, device: torch.device, generator: torch.Generator | None = None) -> None:
        if generator is not None and generator.device.type != device.type:
            raise DataError(f"The generator is on {generator.device}, the pictures are on {device}. Make it there.")
        self.n, self.device, self.generator = n, device, generator

    def same(self, value: float, *shape: int) -> Tensor:
        """Return one value for all."""
        return torch.full((self.n, *shape), value, dtype=torch.float32, device=self.device)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Return numbers in [low, high]."""
        if low == high:
            return self.same(low, *shape)
        return torch.rand(self.n, *shape, device=self.device, generator=self.generator) * (high - low) + low

    def whole(self, count: int, *shape: int) -> Tensor:
        """Return whole numbers in 0 .. count - 1, as floats."""
        return self.uniform(0, count, *shape).floor().clamp_(max=count - 1)  # rounding may reach count

    def happens(self, probability: float) -> Tensor:
        """Return True with this probability."""
        if probability in (0, 1):
            return self.same(probability).bool()
        return self.uniform(0, 1) < probability

    def operations(self, count: int) -> dict[str, Tensor]:
        """Return what `count` operations of RandAugment, drawn with replacement, add up to, each of shape (n,).

        Turns (degrees), shears (tangents), shifts (shares of the sides) and variances of the blur are sums; "factors",
        shape (n, 3), of brightness, contrast and saturation are products; "solarize" and "posterize" are the lowest.
        """
        kind = self.whole(len(OPERATIONS), count)
        magnitude = self.uniform(0, 1, count)
        is_kind = {name: kind == number for number, name in enumerate(OPERATIONS)}

        def total(name: str, values: Tensor) -> Tensor:
            return (values * is_kind[name]).sum(1)

        both_ways = 2 * magnitude - 1
        factor = 0.05 + 0.9 * magnitude
        linear = {name: total(name, 0.1 * both_ways) for name in ("shear_x", "shear_y", "shift_x", "shift_y")}
        factors = [total(name, factor.log()).exp() for name in ("brightness", "contrast", "saturation")]
        return {
            **linear,
            "rotate": total("rotate", 30 * both_ways),
            "variance": total("sharpness", (1 - factor) * SMOOTH),
            "factors": torch.stack(factors, 1),
            "autocontrast": is_kind["autocontrast"].any(1),
            "equalize": is_kind["equalize"].any(1),
            "solarize": torch.where(is_kind["solarize"], magnitude, NONE).amin(1),
            "posterize": torch.where(is_kind["posterize"], (4 + 4 * magnitude).floor(), 8.0).amin(1),
        }
