"""Curves: how training went, and at how many clusters parts of the samples agree."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from selfsort.choosing import KChoice
from selfsort.errors import DataError
from selfsort.figures import DPI, INK, LETTER, LINE, MUTED, PAGE, RULE, TITLE, as_png
from selfsort.runtime import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NO_TERMS = {"stage", "epoch", "step", "lr", "seconds"}  # the other columns of the metrics are drawn
_MARKS = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40, 60, 80, 100, 150, 200, 300, 500, 1000)  # on an axis of numbers
# Okabe & Ito's, which the color-blind can tell apart, without those too light for a line on white.
STAGE_COLORS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#946200")


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
    key = [f"{'' if named else f'{i} '}{s.name}, {counted(s.end - s.start, unit)}" for i, s in enumerate(stages, 1)]
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
    return as_png(figure)


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


def stability_png(choice: KChoice, title: str) -> bytes:
    """Draw how well parts of the samples agree at each number of clusters, with intervals.

    Parameters
    ----------
    choice : KChoice
    title : str
        What the samples are.

    Returns
    -------
    bytes
        A PNG file on white. The numbers that are about as stable as the best are shaded; where there is a clear answer
        it is marked.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator

    height = 3.4
    figure = Figure(figsize=(PAGE, height), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0.09, 0.14, 0.88, 0.66))
    low, high = choice.interval
    axes.axvspan(low / 1.03, high * 1.03, color=RULE, alpha=0.6, linewidth=0)
    axes.fill_between(choice.ks, choice.low, choice.high, color=STAGE_COLORS[0], alpha=0.2, linewidth=0)
    axes.plot(choice.ks, choice.stability, "o-", color=STAGE_COLORS[0], linewidth=1.4, markersize=2.6)
    if choice.k is not None:
        axes.axvline(choice.k, color=STAGE_COLORS[1], linewidth=1.2)
    axes.set_xscale("log")
    marks = [k for k in _MARKS if k <= choice.ks[-1]]
    axes.xaxis.set_major_locator(FixedLocator(marks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([str(k) for k in marks])
    axes.set_xlim(choice.ks[0] / 1.04, choice.ks[-1] * 1.04)
    axes.set_ylim(min(0.0, float(choice.low.min())), 1.0)
    axes.set_xlabel("number of clusters", fontsize=8.5, color=MUTED, labelpad=3)
    axes.set_ylabel("stability", fontsize=8.5, color=MUTED, labelpad=4)
    axes.grid(color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=7, labelcolor=MUTED, length=0, pad=3)
    for spine in axes.spines.values():
        spine.set_color(RULE)
    about = f"{low} to {high} are about as stable" if high > low else "no other number is as stable"
    found = f"How many clusters? {choice.k}" if choice.k is not None else "How many clusters? No clear answer"
    figure.text(0.02, 1 - 0.2 / height, found, va="center", parse_math=False, **TITLE)
    line = textwrap.shorten(f"{title} · {about if choice.k is not None else choice.reason}", 150, placeholder=" …")
    figure.text(0.02, 1 - 0.42 / height, line, va="center", parse_math=False, **LINE)
    return as_png(figure)
