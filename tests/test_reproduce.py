"""Published rows: the machinery on scikit-learn's digits, and what every recipe must state."""

import itertools
import json
import sys
import time
import types
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from selfsort.cli.reproduce import reproduce as command
from selfsort.datasets import DATASETS
from selfsort.errors import DataError
from selfsort.methods import METHODS
from selfsort.methods.saving import method_class
from selfsort.reproduce import RECIPES
from selfsort.reproduce import recipe as machinery
from selfsort.reproduce.recipe import PROTOCOLS, Recipe, Row, Variant, load_recipe, reproduce

TINY = Recipe(
    title="K-means on pixels",
    method="kmeans",
    data="digits",
    rows=(
        Row("pooled", {"acc": 0.79, "nmi": 0.74}),
        Row("source"),
        Row("pooled", name="k 9", params={"n_clusters": 9}),
    ),
    source="nobody",
    params={"n_clusters": 10},
    full=Variant(minutes=9, params={"n_init": 20}),
    cpu=Variant(minutes=0.1, params={"n_init": 3}),
    note="small",
)


@pytest.fixture
def tiny(monkeypatch):
    module = types.ModuleType("tiny_recipe")
    module.RECIPE = TINY
    monkeypatch.setitem(sys.modules, "tiny_recipe", module)
    monkeypatch.setitem(RECIPES, "tiny", "tiny_recipe")


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_recipe_can_run(name):
    recipe = load_recipe(name)
    known = recipe.method in METHODS
    assert known == (recipe.data in DATASETS) == (recipe.method != "mutual-information")
    assert recipe.title
    assert recipe.source
    assert len({row.key for row in recipe.rows}) == len(recipe.rows) > 0
    for row, variant in itertools.product(recipe.rows, (recipe.full, recipe.cpu)):
        assert row.protocol in PROTOCOLS
        assert all(0 < number <= 1 for number in row.published.values())
        assert variant.minutes > 0
        if known:
            method_class(recipe.method)(**{**recipe.params, **variant.params, **row.params})._validate_params()


def test_ours_stands_beside_what_was_published(tiny, tmp_path):
    results = reproduce("tiny", tmp_path, n_seeds=3, device="cpu")
    pooled, source, fewer = results
    assert (pooled["published"], source["published"]) == ({"acc": 0.79, "nmi": 0.74}, {})
    assert pooled["seeds"] == [0, 1, 2]
    assert 0.65 < pooled["mean"]["acc"] < 0.9
    assert pooled["worst"]["acc"] <= pooled["mean"]["acc"]
    assert "1,797 and 1,797 images" in pooled["protocol"]
    assert "881 and 377 images" in source["protocol"]
    assert (fewer["row"], fewer["mean"]["n_clusters"]) == ("k 9", 9)
    assert json.loads((tmp_path / "tiny-cpu/results.json").read_text()) == results


def test_a_seed_that_is_done_is_not_run_again(tiny, tmp_path, monkeypatch):
    first = reproduce("tiny", tmp_path, n_seeds=2, device="cpu")
    kind = method_class("kmeans")
    monkeypatch.setattr(kind, "_learn", lambda *a, **k: pytest.fail("run again"))
    assert reproduce("tiny", tmp_path, n_seeds=2, device="cpu") == first
    changed = Recipe(**{**vars(TINY), "params": {"n_clusters": 9}})
    monkeypatch.setattr(sys.modules["tiny_recipe"], "RECIPE", changed)
    with pytest.raises(pytest.fail.Exception, match="run again"):
        reproduce("tiny", tmp_path, n_seeds=2, device="cpu")


def test_what_was_measured_on_other_files_is_measured_again(tiny, tmp_path, monkeypatch):
    reproduce("tiny", tmp_path, n_seeds=1, device="cpu")
    monkeypatch.setattr(machinery, "as_published", lambda *_: False)
    monkeypatch.setattr(method_class("kmeans"), "_learn", lambda *a, **k: pytest.fail("run again"))
    with pytest.raises(pytest.fail.Exception, match="run again"):
        reproduce("tiny", tmp_path, n_seeds=1, device="cpu")


def test_a_recipe_may_be_about_features(tiny, tmp_path, monkeypatch):
    changed = Recipe(**{**vars(TINY), "encoded": True, "rows": TINY.rows[1:2]})
    monkeypatch.setattr(sys.modules["tiny_recipe"], "RECIPE", changed)
    (of_features,) = reproduce("tiny", tmp_path / "features", n_seeds=1, device="cpu")
    monkeypatch.setattr(sys.modules["tiny_recipe"], "RECIPE", Recipe(**{**vars(changed), "encoded": False}))
    (of_pixels,) = reproduce("tiny", tmp_path / "pixels", n_seeds=1, device="cpu")
    assert of_features["protocol"] == of_pixels["protocol"]
    assert of_features["mean"]["acc"] != of_pixels["mean"]["acc"]


def test_the_parts_of_the_source_split_are_apart():
    fitted, scored = machinery._parts("source", 70_000, 0, 1)
    assert (len(fitted), len(scored)) == (34_300, 14_700)
    assert not np.intersect1d(fitted, scored).size
    assert not np.array_equal(fitted, machinery._parts("source", 70_000, 0, 2)[0])


def test_the_budget_stops_before_a_seed_that_would_exceed_it(tiny, tmp_path, monkeypatch):
    now = iter(range(0, 10_000, 60))  # every look at the clock is a minute later
    monkeypatch.setattr(machinery.time, "monotonic", lambda: float(next(now)))
    results = reproduce("tiny", tmp_path, n_seeds=50, device="cpu", budget=5)
    n_seeds = [len(row["seeds"]) for row in results]
    assert 1 <= n_seeds[0] < 10
    assert n_seeds[0] - n_seeds[-1] in (0, 1)  # every row has a number before one has two
    with pytest.raises(DataError, match=r"takes about 0\.1 minutes, more than the budget of 0\.05"):
        reproduce("tiny", tmp_path / "other", device="cpu", budget=0.05)


def test_rows_that_there_was_no_time_for_are_said(tiny, tmp_path, monkeypatch):
    measured = machinery._measured
    monkeypatch.setattr(machinery, "_measured", lambda job: measured(job) | {"slept": time.sleep(0.7)})
    few = CliRunner().invoke(command, ["tiny", "--device", "cpu", "--budget", "0.11", "-o", str(tmp_path)])
    assert few.exit_code == 0, few.output
    assert "2 rows not begun: the budget is over." in few.output


def test_which_variant(monkeypatch):
    monkeypatch.setattr(machinery, "_has_gpu", lambda: True)
    assert machinery._choose(TINY, "auto", None, 5)[1] == "full"
    assert machinery._choose(TINY, "cuda", 134, 5)[1] == "cpu"
    assert machinery._choose(TINY, "cuda", 135, 5)[1] == "full"
    assert machinery._choose(TINY, "cpu", None, 5)[1] == "cpu"
    monkeypatch.setattr(machinery, "_has_gpu", lambda: False)
    assert machinery._choose(TINY, "auto", None, 5)[1] == "cpu"


def test_the_command_prints_the_table(tiny, tmp_path):
    result = CliRunner().invoke(command, ["tiny", "--seeds", "2", "--device", "cpu", "-o", str(tmp_path)])
    assert result.exit_code == 0, result.output
    for text in ("published", "0.790", "worst seed", "protocol: fitted and scored on all", "note: small", "seed 1:"):
        assert text in result.output
    as_json = CliRunner().invoke(command, ["tiny", "--seeds", "2", "--device", "cpu", "-o", str(tmp_path), "--json"])
    assert json.loads(as_json.stdout)["results"][0]["seeds"] == [0, 1]


def test_the_list(tiny):
    result = CliRunner().invoke(command, ["list"])
    assert result.exit_code == 0
    assert all(name in result.output for name in RECIPES)


def test_wrong_input(tmp_path):
    with pytest.raises(DataError, match="no recipe 'dek'"):
        reproduce("dek", tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="cannot be made"):
        reproduce("kmeans-mnist", tmp_path / "file" / "x")


def test_a_recipe_goes_on_from_the_one_that_it_begins_as(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    from selfsort.methods.ae_kmeans import AEKMeans
    from selfsort.methods.dec import DEC
    from selfsort.methods.pretrain import AutoencoderClusterer

    shared = {"n_clusters": 10, "init": "kmeans", "network": "dense", "hidden": [32], "n_codes": 4, "n_epochs": 2}
    first = Recipe(
        title="first",
        method="ae-kmeans",
        data="digits",
        rows=(Row("pooled"),),
        source="nobody",
        params=shared,
        full=Variant(minutes=1),
        cpu=Variant(minutes=1),
    )
    rows = (Row("pooled", begins_as="first/pooled"),)
    params = shared | {"max_steps": 10, "update_interval": 5, "tol": 0.0}
    then = replace(first, method="dec", params=params, rows=rows)
    for name, recipe in (("first", first), ("then", then), ("alone", replace(then, rows=first.rows))):
        module = types.ModuleType(name)
        module.RECIPE = recipe
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setitem(RECIPES, name, name)
    options = {"device": "cpu", "n_seeds": 1}
    trained = []

    def counted(number):
        def view(self, name):
            seen = AutoencoderClusterer._view(self, name)
            return lambda x: trained.append(number) or seen(x)

        return view

    monkeypatch.setattr(AEKMeans, "_view", counted(1))
    monkeypatch.setattr(DEC, "_view", counted(2))
    reproduce("first", tmp_path, **options)
    n_steps = 2 * (1797 // 256)
    assert trained == [1] * n_steps
    seconds = json.loads((tmp_path / "first-cpu" / "pooled-0" / "metrics.jsonl").read_text().splitlines()[0])["seconds"]
    (after,) = reproduce("then", tmp_path, **options)
    assert trained == [1] * n_steps + [2] * 10  # the second stage only
    (alone,) = reproduce("alone", tmp_path, **options)
    assert len(trained) == n_steps + 10 + n_steps + 10
    assert after["mean"] == alone["mean"]
    assert after["seconds"] >= seconds


def test_a_row_may_begin_with_one_stage_of_another(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    passes = {"pretext_epochs": 2, "n_epochs": 1, "label_epochs": 0}
    tiny = Variant(minutes=1, params={"backbone": "mlp", "width": 8, **passes})
    rows = (Row("pooled"), Row("pooled", name="random", params={"init": "random"}, begins_as="tiny/pooled/pretext"))
    recipe = Recipe("tiny", "scan", "digits", rows, "nobody", {"n_clusters": 10}, full=tiny, cpu=tiny)
    alone = replace(recipe, rows=(replace(rows[1], begins_as=""),))
    for name, made in (("tiny", recipe), ("alone", alone)):
        module = types.ModuleType(name)
        module.RECIPE = made
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setitem(RECIPES, name, name)
    _, after = reproduce("tiny", tmp_path, device="cpu", n_seeds=1)
    folders = [tmp_path / "tiny-cpu" / f"{key}-0" for key in ("pooled", "pooled-random")]
    first, then = (
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()] for folder in folders
    )
    assert [row for row in then if row["stage"] == "pretext"] == [row for row in first if row["stage"] == "pretext"]
    assert {row["stage"] for row in then} == {"pretext", "scan"}  # nothing of the graph's start
    (apart,) = reproduce("alone", tmp_path, device="cpu", n_seeds=1)
    assert after["mean"] == apart["mean"]


ROWS = [(name, row) for name in RECIPES for row in load_recipe(name).rows if row.begins_as]


@pytest.mark.parametrize(("name", "row"), ROWS, ids=lambda value: getattr(value, "key", value))
def test_what_a_row_begins_as_has_the_same_first_stage(name, row):
    from selfsort.methods.pretrain import _AUTOENCODER
    from selfsort.methods.scan import _PRETEXT

    recipe = load_recipe(name)
    of, key, *_ = row.begins_as.split("/")
    first = load_recipe(of)
    (before,) = (other for other in first.rows if other.key == key)
    assert recipe.data == first.data
    assert row.protocol == before.protocol
    for variant in ("full", "cpu"):
        ours = recipe.params | getattr(recipe, variant).params | row.params
        theirs = first.params | getattr(first, variant).params | before.params
        for first_stage in (_AUTOENCODER, _PRETEXT):
            assert {key: ours.get(key) for key in first_stage} == {key: theirs.get(key) for key in first_stage}
