"""The command ``choose-k``: output, exit codes, and what does not work."""

import json

import numpy as np
import pytest
from PIL import Image

import selfsort
from selfsort import Clusters
from test_cli import call, error, ok


def test_digits(tmp_path):
    text = ok("choose-k", "digits", "--k", "2-16,20", "-o", tmp_path / "curve.png")
    lines = text.splitlines()
    assert lines[0] == "digits, 1,797 samples"
    assert [int(line.split()[0]) for line in lines[2:-2]] == [*range(2, 17), 20]
    best = [line for line in lines if line.endswith("<")]
    assert len(best) == 1
    assert lines[-2].startswith(f"{best[0].split()[0]} clusters; ")
    assert 9 <= int(best[0].split()[0]) <= 13
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.format == "PNG"
        assert np.asarray(picture.convert("L")).std() > 5
    facts = json.loads(ok("choose-k", "digits", "--k", "2-16,20", "--json"))
    assert facts["k"] == int(best[0].split()[0])
    assert len(facts["ks"]) == len(facts["stability"]) == len(facts["modularity"]) == 16


def test_a_run_that_learned_is_compared_by_both_layers(library, tmp_path):
    ok("organize", library.root, "-o", tmp_path / "run", "--learn")
    facts = json.loads(ok("choose-k", tmp_path / "run", "--k", "2-8", "--json"))
    assert facts["n"] == Clusters.load(tmp_path / "run").ok.sum()


def test_a_run_is_compared_by_its_own_features(tmp_path):
    run = tmp_path / "run"
    selfsort.fit("kmeans", "digits", run, params={"n_clusters": 10})
    facts = json.loads(ok("choose-k", run, "--k", "5-15", "--json"))
    pixels = json.loads(ok("choose-k", "digits", "--k", "5-15", "--json"))
    assert facts["data"] == "run, features"
    np.testing.assert_allclose(facts["stability"], pixels["stability"], atol=0.02)
    assert "leave out --split" in error("choose-k", run, "--split", "test")


def test_the_run_that_agrees_best_is_chosen(tmp_path):
    runs = [tmp_path / name for name in ("ten", "again", "fifty")]
    for run, (k, seed) in zip(runs, ((10, 0), (10, 1), (50, 0)), strict=True):
        selfsort.fit("kmeans", "digits", run, params={"n_clusters": k}, seed=seed)
    facts = json.loads(ok("choose-run", *runs, "--json"))
    assert facts["n"] == 1797
    assert [row["n_clusters"] for row in facts["runs"]] == [10, 10, 50]
    scores = [row["consensus"] for row in facts["runs"]]
    assert facts["best"] == str(runs[int(np.argmax(scores))])
    assert scores == pytest.approx(selfsort.consensus([Clusters.load(run).labels for run in runs]))
    text = ok("choose-run", *runs).splitlines()
    assert text[-1] == f"{facts['best']} agrees best with the others."
    assert facts["best"] in text[2]
    assert "three runs or more" in error("choose-run", *runs[:2])
    assert "given twice" in error("choose-run", *runs, f"{runs[0]}/")
    others = [tmp_path / f"other{seed}" for seed in range(3)]  # the same paths, and other samples
    for seed, run in enumerate(others):
        samples = np.random.default_rng(seed).random((50, 4)).astype(np.float32)
        selfsort.fit("kmeans", samples, run, params={"n_clusters": 3})
    assert "No sample is in all" in error("choose-run", *others)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["digits", "--k", "2-x"], "such as 2-40"),
        (["digits", "--k", "7"], "two or more"),
        (["digits", "--k", "2-1000"], "from 2 to 359"),
        (["digits", "--k", "9-3"], "smaller to its larger"),
        (["no-such-thing"], "neither a data set"),
        (["digits", "--k", "2-5", "-o", "/no/such/place/x.png"], "there is no folder"),
    ],
)
def test_what_does_not_work(options, message):
    assert message in error("choose-k", *options)


def test_help_names_what_is_needed():
    assert "run folder" in call("choose-k", "--help").output
