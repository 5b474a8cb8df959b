"""Figures for papers and pages: drawn off screen, without any state shared between figures."""

from __future__ import annotations

import io
import itertools
import math
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
NO_TERMS = {"stage", "epoch", "step", "lr", "seconds"}  # the other columns of the metrics are drawn
# Okabe & Ito's, which the color-blind can tell apart, without those too light for a line on white.
STAGE_COLORS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#946200")
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
    return _png(figure)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a letter that no typeface has is drawn as a box
        figure.savefig(file, format="png")
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


def learning_curves_png(
    metrics: Sequence[Mapping[str, Any]], *, unit: str = "epoch", exact: float | None = None
) -> bytes:
    """Draw how training went: one panel per term of the objective, all stages on one axis of epochs.

    Parameters
    ----------
    metrics : sequence of mappings
        Rows of `selfsort.clusters.Clusters.metrics`, in order. Values that are missing or not finite leave a gap.
        Terms with the same values throughout share a panel.
    unit : str
        What ``epoch`` in the rows counts.
    exact : float, optional
        A value that all terms should reach; drawn as a dotted line.

    Returns
    -------
    bytes
        A PNG file on white. The scale of a panel is logarithmic where all values are positive and span more than two
        decades.

    Raises
    ------
    DataError
        If no row has a term.
    """
    from matplotlib.figure import Figure

    stages, terms = _stages(metrics), _terms(metrics)
    if not terms:
        raise DataError("The metrics have no term to draw: a row needs a number beside stage, epoch, step and lr.")
    n_columns = min(len(terms), 2 if len(terms) <= 4 else 3)
    n_rows = -(-len(terms) // n_columns)
    width, height = PAGE / n_columns - 0.62, 1.3 if n_columns > 1 else 2.0
    named = all(len(s.name) * 7 * LETTER < width * (s.end - s.start) / stages[-1].end for s in stages)
    key = [f"{'' if named else f'{i} '}{s.name}, {_counted(s.end - s.start, unit)}" for i, s in enumerate(stages, 1)]
    # only between two stages may a line end
    lines = textwrap.wrap(" · ".join(entry.replace(" ", "\xa0") for entry in key), 120, break_on_hyphens=False)
    top, pitch, bottom = 0.12 + 0.16 * len(lines), height + 0.68, 0.12
    total = top + n_rows * pitch + bottom
    figure = Figure(figsize=(PAGE, total), dpi=DPI, facecolor="white")
    style: dict[str, Any] = {"fontsize": 7.5, "color": MUTED, "va": "top", "linespacing": 1.5, "parse_math": False}
    figure.text(0.5 / PAGE, 1 - 0.1 / total, "\n".join(lines), **style)
    for i, (name, values) in enumerate(terms.items()):
        row, column = divmod(i, n_columns)
        left, low = column * PAGE / n_columns + 0.5, total - top - row * pitch - height - 0.36
        axes = figure.add_axes((left / PAGE, low / total, width / PAGE, height / total))
        _draw_term(axes, values, stages)
        if exact is not None:
            axes.axhline(exact, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
        _name_term(axes, name, values, width, pad=4 if len(stages) == 1 else 13)
        if len(stages) > 1:
            _name_stages(axes, [s.name if named else str(i) for i, s in enumerate(stages, 1)], stages, width)
        if i + n_columns >= len(terms):
            axes.set_xlabel(unit, fontsize=7.5, color=MUTED, labelpad=2)
    return _png(figure)


def _counted(n: int, unit: str) -> str:
    return f"1 {unit}" if n == 1 else f"{n} {unit}s"


@dataclass(frozen=True)
class _Stage:
    """Consecutive rows of one stage, and where it lies on the common axis."""

    name: str
    rows: slice
    start: int
    epochs: list[int]  # of each row, on the common axis

    @property
    def end(self) -> int:
        return max(self.start + 1, *self.epochs)


def _stages(metrics: Sequence[Mapping[str, Any]]) -> list[_Stage]:
    stages: list[_Stage] = []
    first = start = 0
    for name, rows in itertools.groupby(metrics, key=lambda row: str(row.get("stage", ""))):
        epochs = [start + int(row.get("epoch") or number) for number, row in enumerate(rows, 1)]
        stages.append(_Stage(name.replace("_", " "), slice(first, first + len(epochs)), start, epochs))
        first, start = first + len(epochs), stages[-1].end
    return stages


def _terms(metrics: Sequence[Mapping[str, Any]]) -> dict[str, npt.NDArray[np.float64]]:
    """Return the values of each term, NaN where a row has none; terms that are the same throughout have one entry."""
    series: dict[bytes, tuple[list[str], npt.NDArray[np.float64]]] = {}
    for name in dict.fromkeys(key for row in metrics for key in row):
        numbers = [row.get(name) for row in metrics]
        values = np.array([n if isinstance(n, int | float) else np.nan for n in numbers], np.float64)
        values[~np.isfinite(values)] = np.nan
        if name not in NO_TERMS and not np.isnan(values).all():
            series.setdefault(values.tobytes(), ([], values))[0].append(name.replace("_", " "))
    return {" = ".join(names): values for names, values in series.values()}


def _draw_term(axes: Axes, values: npt.NDArray[np.float64], stages: Sequence[_Stage]) -> None:
    """Draw one term; the line is broken between stages, where the objective changes."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    seen = values[np.isfinite(values)]
    for number, stage in enumerate(stages):
        color = STAGE_COLORS[number % len(STAGE_COLORS)]
        part = values[stage.rows]
        axes.plot(stage.epochs, part, color=color, linewidth=1.4, solid_joinstyle="round")
        # no line reaches a value between two gaps
        alone = np.isfinite(part) & ~np.isfinite(np.r_[np.nan, part[:-1]]) & ~np.isfinite(np.r_[part[1:], np.nan])
        axes.plot(np.array(stage.epochs)[alone], part[alone], "o", color=color, markersize=3, clip_on=False)
        if number:
            axes.axvline(stage.start, color=MUTED, linewidth=0.6, linestyle=(0, (3, 3)))
    axes.set_xlim(0, stages[-1].end * 1.01)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    if seen.min() > 0 and seen.max() > 100 * seen.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    axes.grid(color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=7, labelcolor=MUTED, length=0, pad=3)
    for spine in axes.spines.values():
        spine.set_color(RULE)


def _name_term(axes: Axes, name: str, values: npt.NDArray[np.float64], width: float, pad: float) -> None:
    """Write the term's name, and where there is room its last value."""
    last = f"ends at {values[np.isfinite(values)][-1]:.4g}"
    room = int(width / (8.5 * 1.15 * LETTER))  # in letters; bold ones are wider
    shown = name if len(name) <= room else name[: room - 1] + "…"
    axes.set_title(shown, loc="left", fontsize=8.5, color=INK, weight="bold", pad=pad, parse_math=False)
    if len(shown) + len(last) * 0.75 <= room:
        axes.set_title(last, loc="right", fontsize=7, color=MUTED, pad=pad)


def _name_stages(axes: Axes, names: Sequence[str], stages: Sequence[_Stage], width: float) -> None:
    """Write each stage's name above its part of the panel; one without room is left out, the head has them all."""
    taken = -1.0
    for number, (name, stage) in enumerate(zip(names, stages, strict=True)):
        middle = width * (stage.start + stage.end) / 2 / stages[-1].end
        half = (len(name) + 0.5) * 7 * LETTER / 2
        if middle - half >= taken:
            color = STAGE_COLORS[number % len(STAGE_COLORS)]
            style: dict[str, Any] = {"fontsize": 7, "color": color, "ha": "center", "va": "bottom", "parse_math": False}
            axes.annotate(name, (middle / width, 1), (0, 2), "axes fraction", textcoords="offset points", **style)
            taken = middle + half


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
    return _png(figure)


def _strip(images: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Put pictures in a row, white between them; shape (h, width, 3)."""
    if images.dtype != np.uint8:
        images = np.rint(255 * np.clip(np.nan_to_num(images.astype(np.float32)), 0, 1)).astype(np.uint8)
    colored = np.broadcast_to(images, (len(images), 3, *images.shape[2:])).transpose(0, 2, 3, 1)
    between = np.full((images.shape[2], max(1, images.shape[3] // 14), 3), 255, np.uint8)
    parts = [part for image in colored for part in (image, between)]
    return np.concatenate(parts[:-1], axis=1)
