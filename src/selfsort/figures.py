"""Figures for papers and pages: drawn off screen, without any state shared between figures."""

from __future__ import annotations

import io
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from selfsort.errors import DataError
from selfsort.evaluation import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE = "#1f2933", "#616e7c", "#d9dee4"
SHADES = ("#ffffff", "#dbe9f6", "#9cc4e4", "#4a90c4", "#1b5e97", "#0b2f55")  # white is an empty cell
TITLE: dict[str, Any] = {"fontsize": 12, "weight": "bold", "color": INK}
LINE: dict[str, Any] = {"fontsize": 7.5, "color": MUTED}
MAX_CELLS_WITH_NUMBERS = 24  # per side; above that the color alone is readable
MAX_NAME = 24  # characters of a class name; longer ones are cut
MIN_CELL, MAX_CELL = 0.105, 0.46  # inches; below the first no name fits beside a row
LETTER = 0.6 / 72  # inches: width of an average letter per point of type
DPI = 160
PAGE = 7.2  # inches: width of the figures about training
MAX_PAIRS = 16  # of original and reconstruction; more would be too small to judge
# Matplotlib's own typeface has no Chinese, Japanese or Korean; the first of these that is installed helps out.
WIDE_TYPEFACES = ("Noto Sans CJK SC", "Noto Sans CJK JP", "PingFang SC", "Microsoft YaHei", "WenQuanYi Zen Hei")


def confusion_png(evaluation: Evaluation) -> bytes:
    """Draw the row-normalized confusion matrix: one row per class, one column per cluster.

    Parameters
    ----------
    evaluation : Evaluation

    Returns
    -------
    bytes
        A PNG file on white. Size and type follow the number of classes and clusters, from 2 x 2 to hundreds.
    """
    scores, protocol = evaluation.scores, evaluation.protocol
    score = (
        f"AMI {scores['ami']:.3f} · ACC one-to-one {scores['acc']:.3f} · many-to-one {scores['acc_many_to_one']:.3f} · "
        f"{protocol['n_scored']:,} of {protocol['n_items']:,} pictures scored · "
        f"{scores['n_classes']} classes, {scores['n_clusters']} clusters"
    )
    note = f"{protocol['method']}, seed {protocol['seed']} · fit on the pictures that are scored, without labels"
    return _matrix_png(
        evaluation.confusion,
        [_shorten(name) for name in evaluation.classes],
        ["none" if cluster < 0 else str(cluster) for cluster in evaluation.clusters],
        ("class", "cluster"),
        ("Where each class went", score, f"{note} · % of each row"),  # no number without its protocol
    )


def joint_png(joint: npt.NDArray[np.float64]) -> bytes:
    """Draw in which cluster the other view of a sample is found: one row per cluster of the one view.

    Parameters
    ----------
    joint : ndarray of float64, shape (k, k)
        Symmetric joint distribution of the clusters of two views; sums to 1.

    Returns
    -------
    bytes
        A PNG file on white.
    """
    size = joint.sum(1)
    pairs = joint > 0
    information = float((joint[pairs] * np.log(joint[pairs] / np.outer(size, size)[pairs])).sum())
    names = [str(cluster) for cluster in range(len(joint))]
    found = f"mutual information {information:.3f} of at most {math.log(len(joint)):.3f} nats"
    note = f"two views agree in {np.trace(joint):.1%} of the pairs · % of each row"
    shares = joint / np.maximum(size, np.finfo(np.float64).tiny)[:, None]
    return _matrix_png(shares, names, names, ("one view", "other view"), ("Do two views agree?", found, note))


def _matrix_png(
    matrix: npt.NDArray[np.float64],
    names: list[str],
    columns: list[str],
    axis_names: tuple[str, str],
    title: tuple[str, str, str],
) -> bytes:
    """Draw a matrix of shares with the names of its rows and columns, below a title and two lines about it."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    n_rows, n_columns = matrix.shape
    cell = _cell_size(max(n_rows, n_columns))
    font = float(np.clip(cell * 72 * 0.42, 4.5, 9.5))
    letters = max(len(name) for name in columns)
    upright = letters * font * LETTER < cell
    left = 0.45 + max(len(name) for name in names) * font * LETTER
    right, top, bottom = 0.95, 0.85, 0.42 + (1 if upright else letters) * font * LETTER
    width, height = max(n_columns * cell, 2.2), max(n_rows * cell, 1.6)
    figure = Figure(figsize=(max(left + width + right, 6.6), top + height + bottom), dpi=DPI, facecolor="white")
    total_width, total_height = figure.get_size_inches()
    axes = figure.add_axes((left / total_width, bottom / total_height, width / total_width, height / total_height))
    image = axes.imshow(
        matrix,
        cmap=LinearSegmentedColormap.from_list("selfsort", SHADES),
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
    )
    step = math.ceil(MIN_CELL / cell - 1e-9)  # in a very large table not every row can have its name
    _label_axes(axes, names, columns, step=step, fontsize=font, rotation=0 if upright else 90)
    axes.set_ylabel(axis_names[0], fontsize=8.5, color=MUTED, labelpad=6)
    axes.set_xlabel(axis_names[1], fontsize=8.5, color=MUTED, labelpad=5)
    if max(n_rows, n_columns) <= MAX_CELLS_WITH_NUMBERS:
        _write_shares(axes, matrix, font)
    bar_height = min(height, 2.4)
    bar = figure.add_axes(
        (
            (left + width + 0.16) / total_width,
            (bottom + height - bar_height) / total_height,
            0.11 / total_width,
            bar_height / total_height,
        )
    )
    colorbar = figure.colorbar(image, cax=bar, ticks=[0, 0.25, 0.5, 0.75, 1])
    colorbar.ax.set_yticklabels(["0", "25", "50", "75", "100 %"])
    colorbar.ax.tick_params(labelsize=7, colors=MUTED, length=0, pad=3)
    colorbar.outline.set_visible(False)
    for text, down, style in zip(title, (0.20, 0.42, 0.58), (TITLE, LINE, LINE), strict=True):
        figure.text(0.02, 1 - down / total_height, text, va="center", **style)
    return as_png(figure)


def as_png(figure: Figure) -> bytes:
    """Return a figure as a PNG file."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a letter that no typeface has is drawn as a box
        figure.savefig(file, format="png", metadata={"Software": "selfsort"})
    return file.getvalue()


def _cell_size(n: int) -> float:
    """Return the side of one cell in inches: smaller in a larger table, and in all 16 inches at most."""
    return min(float(np.clip(7.5 / n, MIN_CELL, MAX_CELL)), 16 / n)


def _label_axes(axes: Axes, names: list[str], columns: list[str], *, step: int, fontsize: float, rotation: int) -> None:
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    family = ["DejaVu Sans", *(name for name in WIDE_TYPEFACES if name in installed)]
    # A "$" in a name is a dollar.
    style: dict[str, Any] = {"fontsize": fontsize, "color": INK, "family": family, "parse_math": False}
    axes.set_yticks(range(0, len(names), step), names[::step], **style)
    axes.set_xticks(range(0, len(columns), step), columns[::step], rotation=rotation, **style)
    axes.tick_params(length=0, pad=3)
    for spine in axes.spines.values():
        spine.set_color(RULE)
    if step == 1:
        axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
        axes.grid(which="minor", color=RULE, linewidth=0.5 if len(names) <= MAX_CELLS_WITH_NUMBERS else 0.25)
        axes.tick_params(which="minor", length=0)


def _write_shares(axes: Axes, matrix: np.ndarray, font: float) -> None:
    """Write whole percents; what rounds to nothing stays blank, so that the eye finds the rest."""
    for (row, column), share in np.ndenumerate(matrix):
        percent = round(100 * float(share))
        if percent > 0:
            color = "white" if share > 0.65 else INK
            axes.text(column, row, str(percent), ha="center", va="center", fontsize=font * 0.92, color=color)


def _shorten(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"


def reconstructions_png(originals: npt.NDArray[Any], reconstructions: npt.NDArray[Any]) -> bytes:
    """Draw pictures above what an autoencoder made of them.

    Parameters
    ----------
    originals, reconstructions : ndarray of shape (m, c, h, w)
        uint8, or floats in [0, 1] (what lies outside is cut off); c is 1 or 3. The first `MAX_PAIRS` are drawn.

    Returns
    -------
    bytes
        A PNG file on white, of two rows.

    Raises
    ------
    DataError
        If the shapes differ or are not those of pictures.
    """
    from matplotlib.figure import Figure

    if originals.shape != reconstructions.shape or originals.ndim != 4 or originals.shape[1] not in (1, 3):
        raise DataError(
            "Originals and reconstructions need one shape (m, c, h, w) with c 1 or 3: "
            f"got {originals.shape} and {reconstructions.shape}."
        )
    if 0 in originals.shape:
        raise DataError(f"There is no picture to draw: got shape {originals.shape}.")
    strips = [_strip(originals[:MAX_PAIRS]), _strip(reconstructions[:MAX_PAIRS])]
    left, gap = 1.08, 0.06
    n_high, n_wide = strips[0].shape[:2]
    width = min(PAGE - left - 0.15, len(originals[:MAX_PAIRS]) * 0.9)  # few pictures are not blown up
    height = width * n_high / n_wide
    page, total = left + width + 0.15, 2 * height + gap + 0.3
    figure = Figure(figsize=(page, total), dpi=DPI, facecolor="white")
    for row, (name, strip) in enumerate(zip(("original", "reconstruction"), strips, strict=True)):
        low = total - 0.15 - (row + 1) * height - row * gap
        axes = figure.add_axes((left / page, low / total, width / page, height / total))
        axes.imshow(strip, aspect="auto")
        axes.axis("off")
        place = (left - 0.1) / page, (low + height / 2) / total
        figure.text(*place, name, fontsize=8, color=INK, ha="right", va="center")
    return as_png(figure)


def _strip(images: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Put pictures in a row, white between them; shape (h, width, 3)."""
    if images.dtype != np.uint8:
        images = np.rint(255 * np.clip(np.nan_to_num(images.astype(np.float32)), 0, 1)).astype(np.uint8)
    colored = np.broadcast_to(images, (len(images), 3, *images.shape[2:])).transpose(0, 2, 3, 1)
    between = np.full((images.shape[2], max(1, images.shape[3] // 14), 3), 255, np.uint8)
    parts = [part for image in colored for part in (image, between)]
    return np.concatenate(parts[:-1], axis=1)
