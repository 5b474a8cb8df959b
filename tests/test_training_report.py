"""A run that was trained: what its page, `info` and `export` say of it."""

import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from selfsort.cli import main
from selfsort.clusters import Clusters, Figure, items_table
from selfsort.curves import learning_curves_png
from selfsort.errors import DataError
from selfsort.figures import reconstructions_png
from selfsort.photos.export import export
from selfsort.publish import check_target
from selfsort.report import write_report
from selfsort.run_folder import SCHEMA_VERSION
from test_report import Elements, data_of, describe, written

N, K = 300, 10
CAPTION = 'The loss falls in all three stages, and "changed" <b>ends</b> near zero.'
RUN = {
    "schema": SCHEMA_VERSION,
    "selfsort": "0.1.0",
    "fingerprint": "f2",
    "method": "dec",
    "params": {
        "n_clusters": K,
        "autoencoder__widths": [500, 500, 2000, 10],
        "seed": 3,
        "net": None,
        "plan": {"n_epochs": 20, "lr": 1e-3, "clip": None},
    },
    "seed": 3,
    "level": 0,
    "root": None,
    "encoder": None,
    "data": {"name": "digits", "split": "train", "n": N, "note": "scikit-learn's 8 x 8 digits"},
    "created": "2026-03-04T05:06:07+00:00",
    "seconds": {"autoencode": 170.2, "cluster": 68.4},
    "warnings": [],
    "versions": {"torch": "2.9.0", "numpy": "2.3.1"},
}
STAGES = {
    "autoencode": (50, {"loss": (0.25, 0.012, 6), "reconstruction": (0.25, 0.012, 6)}),
    "cluster": (20, {"loss": (0.4, 0.05, 4), "kl": (0.4, 0.05, 4), "changed": (0.3, 0.0005, 3)}),
    "fine_tune": (8, {"loss": (0.2, 0.1, 4), "kl": (0.1, 0.05, 4), "reconstruction": (0.02, 0.018, 4)}),
}


def metrics():
    rng = np.random.default_rng(0)
    rows = []
    for stage, (n_epochs, terms) in STAGES.items():
        for epoch in range(1, n_epochs + 1):
            row = {"stage": stage, "epoch": epoch, "step": 273 * epoch, "lr": 0.001}
            for name, (first, last, pace) in terms.items():
                value = last + (first - last) * np.exp(-epoch / pace)
                row[name] = float(value * np.exp(rng.normal(0, 0.03)))
            rows.append(row | {"seconds": 3.4})
    return rows


def thumbnail(image):
    file = io.BytesIO()
    Image.fromarray(np.uint8(image * 255)).resize((112, 112), Image.Resampling.NEAREST).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture(scope="module")
def trained():
    """What a fit on arrays leaves: ten flat groups of digits, soft assignments, three stages and two figures."""
    images = (load_digits().images[:N] / 16).astype(np.float32)
    flat = images.reshape(N, -1)
    pca = PCA(8, random_state=0).fit(flat)
    distances = KMeans(K, n_init=3, random_state=0).fit(flat).transform(flat)
    soft = 1 / (1 + distances**2)
    soft /= soft.sum(1, keepdims=True)
    labels = soft.argmax(1)
    order = np.argsort(-np.bincount(labels, minlength=K), kind="stable")
    soft, levels = soft[:, order], np.argsort(order)[labels][:, None].astype(np.int32)
    confidence = soft.max(1).astype(np.float32)
    rebuilt = pca.inverse_transform(pca.transform(flat)).reshape(images.shape)
    rows = [
        {"id": f"{i:032x}", "path": f"digits/train/{i:05d}", "path_bytes": b"digits/train/%05d" % i, "size": 64}
        | {"width": 8, "height": 8, "format": "array", "status": "ok"}
        for i in range(N)
    ]
    rows_of_metrics = metrics()
    return Clusters(
        run=RUN,
        items=items_table(rows),
        levels=levels,
        confidence=confidence,
        neighbors=np.argsort(((flat[:, None] - flat) ** 2).sum(2), axis=1)[:, 1:11].astype(np.int32),
        groups=describe(levels, confidence),
        map=pca.transform(flat)[:, :2].astype(np.float32),
        embedding=pca.transform(flat).astype(np.float16),
        thumbnails=[thumbnail(image) for image in images],
        probabilities=soft.astype(np.float32),
        metrics=rows_of_metrics,
        figures=[
            Figure("learning-curves", "Learning curves", CAPTION, learning_curves_png(rows_of_metrics)),
            Figure(
                "reconstructions",
                "Reconstructions",
                "Twelve digits, and below each what the autoencoder makes of it.",
                reconstructions_png(images[:12, None], rebuilt[:12, None]),
            ),
        ],
    )


def words(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page[page.index("<header") : page.index("<footer")]))


def test_the_page_of_a_trained_run(trained, tmp_path):
    page = written(trained, tmp_path)
    text = words(page)
    assert "<title>digits · train · selfsort</title>" in page
    assert "How it was trained method dec autoencode 50 epochs, 170 s · lr 0.001 · loss 0.2" in text
    assert "fine tune 8 epochs, 27 s · lr 0.001 · loss 0.1" in text
    for part in (
        "Run schema 2 selfsort 0.1.0 fingerprint f2 method dec seed 3 level 0 created",
        "Data name digits split train n 300 note scikit-learn&#39;s 8 x 8 digits",
        "Parameters n clusters 10 autoencoder · widths 500, 500, 2000, 10 seed 3 net None plan · n epochs 20",
        "Seconds per stage autoencode 170.2 cluster 68.4 Versions torch",
    ):
        assert part in text
    assert "Encoder" not in text
    assert page.index('id="groups"') < page.index('id="training"') < page.index('id="settings"')
    data = data_of(page)
    assert data["paths"][42] == "digits/train/00042"
    assert [len(groups) for groups in data["groups"]] == [K]
    assert {group["parent"] for group in data["groups"][0]} == {None}


def test_figures_are_inside_the_page_with_words_and_size(trained, tmp_path):
    tags = Elements(written(trained, tmp_path)).tags
    images = [attributes for tag, attributes in tags if tag == "img"]
    assert [image["alt"] for image in images] == [figure.caption for figure in trained.figures]
    assert all(image["src"].startswith("data:image/png;base64,") for image in images)
    assert abs(int(images[0]["width"]) - 7.2 * 120) <= 1
    assert ("a", {"href": "#training"}) in tags
    assert "b" not in {tag for tag, _ in tags}


def test_metrics_or_figures_alone_make_the_section_too(trained, tmp_path):
    fields = {name: getattr(trained, name) for name in ("items", "levels", "confidence", "neighbors", "groups")}
    run = {"level": 0, "root": None}
    bare = Clusters(run=run, **fields)
    assert 'id="training"' not in written(bare, tmp_path)
    bare.metrics = [
        {"stage": "a", "epoch": 1, "loss": float("nan")},
        {"stage": "a", "epoch": 2, "loss": 2.0, "note": "x"},
    ]
    assert "How it was trained a 2 epochs · loss 2 " in words(written(bare, tmp_path))
    bare.metrics, bare.figures = [], trained.figures[:1]
    assert "How it was trained Learning curves" in words(written(bare, tmp_path))


def test_a_group_without_members_is_shown(trained, tmp_path):
    empty = {"level": 0, "group": K, "size": 0, "parent": None, "confidence": np.nan, "prototypes": [], "odd": []}
    trained = replace(trained, groups=[*trained.groups, empty])
    assert data_of(written(trained, tmp_path))["groups"][0][K]["size"] == 0


def test_info_of_a_trained_run(trained, tmp_path):
    trained.save(tmp_path / "run")
    result = CliRunner().invoke(main, ["info", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert "300 of 300 pictures from digits, train, scikit-learn's 8 x 8 digits" in result.output
    assert "groups: 10\nbelong nowhere: 0\nmethod: dec, seed 3, made 4 March 2026" in result.output
    facts = json.loads(CliRunner().invoke(main, ["info", str(tmp_path / "run"), "--json"]).output)
    assert facts["groups_per_level"] == [K]
    assert facts["data"] == RUN["data"]


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ({"level": 0}, ["from arrays", "method: None, seed None"]),
        ({"level": 0, "root": "/p", "method": "scan", "encoder": {"name": "dino"}}, ["files from /p", "method: scan"]),
        ({"level": 0, "method": "scan", "encoder": {"name": "dino"}}, ["method: scan, encoder: dino, seed"]),
        ({"level": 0, "method": "graph", "encoder": {"name": "lite"}}, ["\nencoder: lite, seed None"]),
    ],
)
def test_info_with_what_little_there_is(trained, tmp_path, run, expected):
    replace(trained, run={"schema": SCHEMA_VERSION} | run).save(tmp_path / "run")
    result = CliRunner().invoke(main, ["info", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert all(part in result.output for part in expected)


def test_a_trained_run_may_be_replaced_but_not_what_others_put_among_its_figures(trained, tmp_path):
    run = tmp_path / "run"
    trained.save(run)
    (run / "model.safetensors").touch()
    (run / "config.json").touch()
    check_target(run)
    (run / "figures" / "my thesis.png").touch()
    with pytest.raises(DataError, match=r"figures/my thesis\.png.*not replaced"):
        check_target(run)
    (run / "figures" / "my thesis.png").unlink()
    (run / "figures.json").write_text("[")
    with pytest.raises(DataError, match="not replaced"):
        check_target(run)


def test_a_run_of_arrays_has_no_files_to_export(trained, tmp_path):
    trained.save(tmp_path / "run")
    clusters = Clusters.load(tmp_path / "run")
    for mode in ("copy", "hardlink", "symlink"):
        with pytest.raises(DataError, match=r"made of arrays.*Use mode csv"):
            export(clusters, tmp_path / "out", mode=mode)
    assert not (tmp_path / "out").exists()
    export(clusters, tmp_path / "out", mode="csv")
    table = (tmp_path / "out" / "groups.csv").read_text().splitlines()
    assert table[0] == (
        "path,id,group,key,name,level_0,confidence,prototype_rank,placed,locked,hidden,width,height,kind,"
        "kind_probability,objects,objects_probability,taken,taken_offset,taken_source,taken_precision,"
        "latitude,longitude,place,flaws,text,faces,people"
    )
    assert table[43].startswith("digits/train/00042,")


def test_the_trained_page_in_a_browser(trained, tmp_path, browser):
    from selenium.webdriver.support.wait import WebDriverWait

    def run(script):
        return browser.execute_script(f"return {script}")

    write_report(trained, tmp_path / "report.html")
    browser.get((tmp_path / "report.html").as_uri())
    WebDriverWait(browser, 10, 0.05).until(lambda _: run("document.querySelectorAll('#wall .strip img').length") > 20)
    assert run("document.querySelectorAll('#wall > li').length") == K
    assert not browser.find_element("css selector", ".levels").is_displayed()  # one level is no choice
    run("document.querySelector('#wall h3 button').click()")
    run("document.querySelector('.tile').click()")
    shown = browser.find_element("id", "picture-body").text
    assert re.search(r"Path\ndigits/train/\d{5}\nSize\n8 × 8 pixels\nSure\n\d+ %\nGroup\ngroup-000", shown)
    assert run("[...document.querySelectorAll('#training img')].map(i => i.naturalWidth > 900)") == [True, True]
    assert run("document.documentElement.scrollWidth <= innerWidth")
    assert browser.get_log("browser") == []

    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    )
    WebDriverWait(browser, 10, 0.05).until(lambda _: run("innerWidth") == 390)
    assert run("document.documentElement.scrollWidth") == 390
    assert run("document.querySelector('#training img').width") >= 500  # legible: its frame is what moves sideways
    assert run("document.querySelector('#training .frame').clientWidth") < 390
