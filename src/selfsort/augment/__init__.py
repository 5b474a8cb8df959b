"""Random views of pictures, drawn per picture and computed per batch, on the device the pictures are on.

All that moves pixels is one affine map per picture and is resampled once; all that changes colors linearly is one
matrix per picture. So a view's cost hardly grows with the number of changes in it, and a picture that is cropped,
turned and sheared is smoothed by one interpolation instead of three.

`Augment` is a view; the functions here return those that papers use.
"""

from __future__ import annotations

from collections.abc import Callable

from selfsort.augment.view import Augment, Params

__all__ = ["VIEWS", "Augment", "Params", "crops", "digits", "simclr", "strokes", "strong", "weak"]

Size = int | tuple[int, int] | None


def weak(size: Size = None) -> Augment:
    """Return mirror images and shifts of up to an eighth of the sides: the weak view of self-labeling."""
    return Augment(size, shift=0.125, flip=0.5, padding="reflection")


def simclr(size: Size = None) -> Augment:
    """Return SimCLR's view (Chen et al., arXiv:2002.05709, appendix A), with the crops of SCAN's training.

    Pictures of up to 64 pixels are not blurred, as in SimCLR's CIFAR-10 setting, and the blur of larger ones is in
    proportion to their size: SimCLR's 0.1 to 2 pixels are of 224.
    """
    sides = size if isinstance(size, tuple) else (size or 0,)
    blur = 0.5 if max(sides) > 64 else 0.0
    sigma = (0.1, max(2.0 * max(sides) / 224, 0.2))
    return Augment(
        size,
        crop=(0.2, 1.0),
        flip=0.5,
        padding="border",
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.1,
        color_probability=0.8,
        gray=0.2,
        blur=blur,
        sigma=sigma,
    )


def strong(size: Size = None) -> Augment:
    """Return SCAN's strong view (Van Gansbeke et al., arXiv:2005.12320): four random operations and a cutout.

    The cutout is gray, about what SCAN's zero is, which it fills in after normalization.
    """
    return Augment(size, flip=0.5, operations=4, cutout=0.5, fill=0.5)


def digits(size: Size = None) -> Augment:
    """Return small turns, shifts and changes of scale: DEC with augmentation (Guo et al., ACML 2018)."""
    return Augment(size, rotate=10.0, shift=0.1, scale=(0.9, 1.1))


def strokes(size: Size = None) -> Augment:
    """Return strong changes of shape and stroke, for pairs of views of handwriting, as IIC takes (arXiv:1807.06653)."""
    return Augment(size, rotate=25.0, shift=0.1, scale=(0.8, 1.2), stretch=0.2, shear=0.35, thicken=1.0)


def crops(size: Size = None) -> Augment:
    """Return crops of a third of the picture or more, turned and a little sheared, for pairs of views of handwriting.

    IIC's crops (arXiv:1807.06653), for MNIST 16 to 24 of 28 pixels wide and turned by up to 25 degrees, from part of
    the picture to all of it. A crop can hide what is special about a sample, such as the foot of a 1, so it may join
    the plain ones.
    """
    return Augment(size, crop=(0.35, 1.0), ratio=(0.9, 1.1), rotate=25.0, shear=0.15, thicken=0.5)


#: The views that methods take by name.
VIEWS: dict[str, Callable[[Size], Augment]] = {
    view.__name__: view for view in (crops, strokes, digits, simclr, strong, weak)
}
