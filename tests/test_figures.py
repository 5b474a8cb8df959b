"""Drawings of how training went: every shape of metrics and pictures gives a whole PNG, and what is in it is right."""

import io

import numpy as np
import pytest
from PIL import Image

from selfsort import curves, figures
from selfsort.curves import learning_curves_png
from selfsort.errors import DataError
from selfsort.figures import DPI, joint_png, reconstructions_png


def rows(stage, n, **terms):
    return [
        {"stage": stage, "epoch": epoch, "step": 9 * epoch, "lr": 0.1, "seconds": 1.0}
        | {name: of(epoch) for name, of in terms.items()}
        for epoch in range(1, n + 1)
    ]


STAGES = [
    *rows("autoencode", 50, loss=lambda e: 10.0**-e, reconstruction=lambda e: 10.0**-e),
    *rows("cluster", 20, loss=lambda e: 1 / e, kl=lambda e: -float(e), changed=lambda e: e > 3),
    *rows("last_one", 1, loss=lambda e: 0.2),
]


def drawn(monkeypatch, metrics):
    """Return the axes of the learning curves, and the texts outside of them."""
    kept = []
    png = curves.as_png
    monkeypatch.setattr(curves, "as_png", lambda figure: kept.append(figure) or png(figure))
    assert read(learning_curves_png(metrics)).shape[2] == 3
    return kept[0].axes, [text.get_text().replace("\xa0", " ") for text in kept[0].texts]


def read(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_one_panel_per_term_on_one_axis_of_epochs(monkeypatch, recwarn):
    axes, texts = drawn(monkeypatch, STAGES)
    assert [panel.get_title(loc="left") for panel in axes] == ["loss", "reconstruction", "kl", "changed"]
    assert [panel.get_yscale() for panel in axes] == ["log", "log", "linear", "linear"]
    assert {panel.get_xlim() for panel in axes} == {(0, 71 * 1.01)}
    lines = [line.get_xydata() for line in axes[0].lines if len(line.get_xydata()) > 2]
    assert [(line[0, 0], line[-1, 0]) for line in lines] == [(1, 50), (51, 70)]
    assert lines[0][-1, 1] == pytest.approx(1e-50)
    dashed = [line.get_xdata()[0] for line in axes[0].lines if line.get_linestyle() == "--"]
    assert dashed == [50, 70]
    assert [text.get_text() for text in axes[0].texts] == ["1", "2", "3"]
    assert texts == ["1 autoencode, 50 epochs · 2 cluster, 20 epochs · 3 last one, 1 epoch"]
    assert axes[0].get_title(loc="right") == "ends at 0.2"
    assert not recwarn


def test_stages_are_named_where_there_is_room(monkeypatch):
    axes, texts = drawn(monkeypatch, [*rows("first", 30, loss=float), *rows("second_part", 30, loss=float)])
    assert [text.get_text() for text in axes[0].texts] == ["first", "second part"]
    assert texts[0] == "first, 30 epochs · second part, 30 epochs"


def test_numbers_of_stages_never_overlap(monkeypatch):
    short = [row for i in range(3) for row in rows(f"layer {i}", 1, loss=float)]
    axes, texts = drawn(monkeypatch, [*short, *rows("last", 300, loss=float)])
    assert [text.get_text() for text in axes[0].texts] == ["1", "4"]
    assert "3 layer 2, 1 epoch" in texts[0]


def test_terms_that_are_the_same_share_a_panel(monkeypatch):
    axes, texts = drawn(monkeypatch, STAGES[:50])
    assert [panel.get_title(loc="left") for panel in axes] == ["loss = reconstruction"]
    assert texts == ["autoencode, 50 epochs"]


def test_what_is_missing_or_not_finite_leaves_a_gap(monkeypatch, recwarn):
    values = [None, 1.0, float("nan"), 2.0, 3.0, "text", float("inf")]
    metrics = [{"stage": "a", "loss": value} for value in values]
    axes, _ = drawn(monkeypatch, metrics)
    curve, lone = (line.get_xydata() for line in axes[0].lines[:2])
    assert np.isfinite(curve[:, 1]).tolist() == [False, True, False, True, True, False, False]
    assert lone.tolist() == [[2, 1]]
    assert not recwarn


@pytest.mark.parametrize("n_terms", [1, 2, 3, 5, 13])
def test_any_number_of_terms_and_stages(monkeypatch, n_terms, recwarn):
    terms = {f"a_term_with_a_rather_long_name_{i} $x^": float for i in range(n_terms)}
    terms = {name: (lambda e, i=i: e + i) for i, name in enumerate(terms)}
    axes, _ = drawn(monkeypatch, [row for i in range(12) for row in rows(f"layer-{i}", 3 + i, **terms)])
    assert len(axes) == n_terms
    assert not recwarn


@pytest.mark.parametrize("metrics", [[], [{}], [{"stage": "a", "epoch": 1, "lr": 0.1}], [{"loss": float("nan")}]])
def test_nothing_to_draw(metrics):
    with pytest.raises(DataError, match="no term"):
        learning_curves_png(metrics)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_reconstructions_below_their_originals(channels, kind):
    top = np.full((4, channels, 8, 8), 255 if kind == np.uint8 else 1, kind)
    picture = read(reconstructions_png(top // 2 if kind == np.uint8 else top / 2, np.zeros_like(top)))
    middle = int((1.08 + 0.45) * DPI)  # of the first picture
    column = picture[:, middle].astype(int)
    gray = np.flatnonzero(np.abs(column - 127).max(1) < 3)
    black = np.flatnonzero(column.max(1) < 3)
    assert len(gray) > 100
    assert len(black) > 100
    assert gray.max() < black.min()


def test_colors_stay_and_values_outside_are_cut_off():
    red = np.zeros((1, 3, 4, 4), np.float64)
    red[:, 0], red[:, 1], red[:, 2] = 1.7, -0.3, np.nan
    picture = read(reconstructions_png(red, red))
    assert (picture == (255, 0, 0)).all(2).mean() > 0.3


def test_many_pictures_are_cut_to_those_that_can_be_seen():
    few, many = np.zeros((16, 1, 5, 9)), np.zeros((500, 1, 5, 9))
    assert reconstructions_png(few, few) == reconstructions_png(many, many)


@pytest.mark.parametrize(
    ("first", "second"),
    [((2, 1, 4, 4), (3, 1, 4, 4)), ((2, 4, 4), (2, 4, 4)), ((2, 4, 4, 1), (2, 4, 4, 1)), ((0, 1, 4, 4), (0, 1, 4, 4))],
)
def test_what_is_no_pair_of_pictures(first, second):
    with pytest.raises(DataError, match="shape"):
        reconstructions_png(np.zeros(first), np.zeros(second))


@pytest.mark.parametrize("k", [1, 2, 10, 60])
def test_a_joint_distribution_is_drawn_with_its_information(monkeypatch, k):
    joint = np.full((k, k), 0.01)
    joint[np.arange(k), np.arange(k)] = 1
    joint[-1] = joint[:, -1] = 0  # an empty cluster
    joint[0, 0] += 1
    joint /= joint.sum()
    kept = []
    png = figures.as_png
    monkeypatch.setattr(figures, "as_png", lambda figure: kept.append(figure) or png(figure))
    assert read(joint_png(joint)).shape[2] == 3
    texts = [text.get_text() for text in kept[0].texts]
    size = joint.sum(1)
    expected = sum(p * np.log(p / (size[i] * size[j])) for (i, j), p in np.ndenumerate(joint) if p > 0)
    assert texts[0] == "Do two views agree?"
    assert f"mutual information {abs(expected):.3f} of at most {np.log(k):.3f} nats" in texts[1].replace("-0.0", "0.0")
    assert f"agree in {np.trace(joint):.1%}" in texts[2]
