"""The commands ``methods``, ``fit``, ``resume`` and ``predict``: output, exit codes, and what does not work."""

import csv
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from selfsort import Clusters
from selfsort.cli.parameters import allowed, parse
from selfsort.errors import DataError
from selfsort.methods import METHODS
from selfsort.methods.kmeans import KMeans
from selfsort.publish import workplace_of
from test_cli import call, error, ok

pytest.importorskip("torch")

from selfsort.methods.dec import DEC

QUICK = [
    "n_clusters=10",
    "network=dense",
    "hidden=32",
    "n_codes=4",
    "n_epochs=3",
    "max_steps=20",
    "graph_steps=21",
    "update_interval=10",
]


def settings(*pairs):
    return [part for pair in pairs for part in ("--set", pair)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """K-means of the digits; tests that change it copy it."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    ok("fit", "kmeans", "digits", "-o", folder, *settings("n_clusters=10"))
    return folder


# --- what works


def test_methods_lists_them_without_importing_any():
    text = ok("methods")
    lines = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert list(lines) == list(METHODS)
    assert lines["dec"].startswith("Deep embedded clustering")
    assert json.loads(ok("methods", "--json")) == lines
    code = "import sys; from selfsort.cli import main\ntry: main(['methods'])\nexcept SystemExit: pass\n"
    code += "assert not {'torch', 'sklearn', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("method", METHODS)
def test_methods_explains_every_parameter_of_every_method(method):
    facts = json.loads(ok("methods", method, "--json"))
    text = ok("methods", method)
    assert facts["page"] == f"docs/methods/{method}.md"
    assert facts["page"] in text
    assert "n_clusters" in facts["parameters"]
    assert "random_state" not in facts["parameters"]
    for name, parameter in facts["parameters"].items():
        assert name in text
        assert parameter["allowed"] in text
        assert "<" not in parameter["allowed"]  # no object shows through


def test_fit_prints_a_summary_and_names_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = ok("fit", "dec", "Digits", "--device", "cpu", *settings(*QUICK))
    run = tmp_path / "digits-dec.selfsort"
    assert "1,797 samples in " in text
    assert "groups by dec (" in text
    assert "Against the labels, which the method never saw: ami 0." in text
    assert (run / "report.html").as_uri() in text
    assert f"The model: {run / 'model.safetensors'}" in text
    assert f"selfsort predict {run} PICTURES" in text
    assert Clusters.load(run).run["params"].items() >= {"n_codes": 4, "hidden": [32], "device": "cpu"}.items()
    assert ok("resume", run) == f"{run} is complete; there is nothing to resume.\n"
    assert json.loads(ok("resume", run, "--json"))["resumed"] is False
    again = ok("fit", "dec", "digits", *settings(*QUICK))  # at once
    assert again.startswith("Nothing has changed since ")
    assert again.split("\n")[1:] == text.split("\n")[1:]


def test_warnings_are_part_of_the_result(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(30):
        Image.new("RGB", (8, 8), (number // 29 * 200, 0, 0)).save(folder / f"{number:02d}.png")
    result = call("fit", "kmeans", folder, "-o", tmp_path / "run", "--pixels", 4, *settings("n_clusters=2"))
    assert result.exit_code == 0
    assert "Warning: KMeans collapsed: the largest of 2 clusters holds 97%" in result.stdout
    assert "CollapseWarning" not in result.stderr
    assert len(json.loads(ok("info", tmp_path / "run", "--json"))["warnings"]) == 1


def test_fit_of_own_pictures(library, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--labels", "folders", "--pixels", 16, "--seed", 4, "--json"]
    result = json.loads(ok("fit", "kmeans", library.root, *options, *settings("n_clusters=5", "spherical=yes")))
    assert result["run"] == str(tmp_path / "pictures-kmeans.selfsort")
    assert result["n_items"] == len(library)
    assert result["n_ok"] == len(library.kinds)
    assert 0 < result["scores"]["ami"] <= 1
    facts = json.loads(ok("info", result["run"], "--json"))
    assert facts["params"]["spherical"] is True
    assert facts["seed"] == 4
    text = ok("fit", "kmeans", library.root, *options[:-1], *settings("n_clusters=5", "spherical=yes"))
    assert "4 files could not be read" in text


def test_predict_prints_a_table(run, tmp_path, library):
    clusters = Clusters.load(run)
    rows = list(csv.DictReader(ok("predict", run, "digits").splitlines()))
    assert [int(row["group"]) for row in rows] == clusters.labels.tolist()
    assert rows[42]["path"] == "digits/00042"
    text = ok("predict", run, library.root, "-o", tmp_path / "groups.csv")
    assert "59 pictures in " in text
    assert "4 could not be read" in text
    with open(tmp_path / "groups.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert {row["path"] for row in table if row["status"] != "ok"} == set(library.broken)
    result = json.loads(ok("predict", run, library.root, "--json"))
    assert (result["n_items"], result["n_ok"]) == (63, 59)
    assert {row["path"]: str(row["group"]) for row in result["rows"]} == {row["path"]: row["group"] for row in table}


def test_predict_gives_probabilities_where_there_are_some(tmp_path):
    ok("fit", "idec", "digits", "-o", tmp_path / "run", *settings(*QUICK))
    rows = json.loads(ok("predict", tmp_path / "run", "digits", "--json"))["rows"]
    assert all(0 < row["probability"] <= 1 for row in rows)


@pytest.mark.parametrize("options", [[], ["--learn"]])
def test_a_run_of_organize_predicts_too(library, tmp_path, options):
    ok("organize", library.root, "-o", tmp_path / "run", *options)
    rows = json.loads(ok("predict", tmp_path / "run", library.root, "--json"))["rows"]
    labels = Clusters.load(tmp_path / "run").labels
    agree = [row["group"] == label for row, label in zip(rows, labels.tolist(), strict=True)]
    assert np.mean(agree) > 0.9


# --- values of parameters


@pytest.mark.parametrize(
    ("kind", "pair", "value"),
    [
        (KMeans, "n_clusters=7", 7),
        (KMeans, " n_clusters = 7 ", 7),
        (KMeans, "n_clusters=none", None),
        (KMeans, "tol=0", 0.0),
        (KMeans, "tol=1e-3", 1e-3),
        (KMeans, "spherical=True", True),
        (KMeans, "spherical=off", False),
        (KMeans, "init=k-means++", "k-means++"),
        (KMeans, "init=[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        (DEC, "hidden=64,32", [64, 32]),
        (DEC, "hidden=[64, 32]", [64, 32]),
        (DEC, "hidden=64", [64]),
        (DEC, "hidden=", []),
        (DEC, "device=cuda:1", "cuda:1"),
        (DEC, "tol=1", 1.0),
    ],
)
def test_values_become_what_the_method_takes(kind, pair, value):
    ((_, found),) = parse(kind, "a", [pair]).items()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "pair", "message"),
    [
        (KMeans, "k=7", "a has no parameter 'k'. It has: n_clusters, init, n_init, max_iter, tol, spherical."),
        (KMeans, "n_clusters", "--set n_clusters has no value. Write --set n_clusters=VALUE, a whole number from 1 or"),
        (KMeans, "n_clusters=many", "n_clusters of a must be a whole number from 1 or none: got 'many'."),
        (KMeans, "n_clusters=0", "must be a whole number from 1 or none: got '0'"),
        (KMeans, "n_clusters=2.5", "must be a whole number from 1 or none: got '2.5'"),
        (KMeans, "tol=-1", "must be a number from 0: got '-1'"),
        (KMeans, "tol=nan", "must be a number from 0: got 'nan'"),
        (KMeans, "tol=inf", "must be a number from 0: got 'inf'"),
        (KMeans, "spherical=maybe", "must be true or false: got 'maybe'"),
        (KMeans, "init=best", "must be graph, k-means++, random or numbers separated by commas: got 'best'"),
        (KMeans, "random_state=1", "Give it with --seed"),
        (DEC, "hidden=64,-1", "must be numbers separated by commas: got '64,-1'"),
        (DEC, "hidden=64,1.5", "must be numbers separated by commas: got '64,1.5'"),
        (DEC, "tol=1.1", "must be a number from 0 to 1: got '1.1'"),
        (DEC, "learning_rate=0", "must be a number above 0: got '0'"),
        (DEC, "device=", "must be text: got ''"),
        (DEC, "=3", "a has no parameter ''"),
    ],
)
def test_values_that_are_not_allowed_are_explained(kind, pair, message):
    with pytest.raises(DataError, match=re.escape(message)):
        parse(kind, "a", [pair])


def test_a_value_is_given_once():
    with pytest.raises(DataError, match="tol is set twice"):
        parse(KMeans, "a", ["tol=1", "tol=2"])


def test_limits_are_said_in_words():
    from numbers import Real

    from sklearn.utils._param_validation import Interval, StrOptions

    assert allowed([Interval(Real, 0, 1, closed="right")]) == "a number above 0 to 1"
    assert allowed([Interval(Real, 0, 1, closed="left")]) == "a number from 0 and below 1"
    assert allowed([StrOptions({"b", "a"}), None]) == "a, b or none"


# --- what does not work


@pytest.mark.parametrize("arguments", [["fit"], ["fit", "dec"], ["predict"], ["predict", "run"], ["resume"]])
def test_wrong_usage_ends_with_2(arguments):
    assert call(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["methods", "deep"], "There is no method 'deep'. Choose one of: graph, kmeans, ae-kmeans"),
        (["fit", "deep", "digits"], "There is no method 'deep'"),
        (["fit", "kmeans", "digitz"], "'digitz' is neither a data set (digits, mnist"),
        (["fit", "kmeans", "digits", "--set", "k=3"], "kmeans has no parameter 'k'. It has: n_clusters"),
        (["fit", "kmeans", "digits", "--set", "n_clusters=two"], "must be a whole number from 1 or none: got 'two'"),
        (["fit", "kmeans", "digits", "--set", "n_clusters=2000"], "n_samples=1797 and n_clusters=2000"),
        (["fit", "kmeans", "digits", "--split", "test"], "no splits in digits"),
        (["fit", "kmeans", "digits", "--pixels", "0"], "from 1 to 4096"),
        (["fit", "kmeans", "digits", "--seed", "-1"], "from 0 to 4294967295"),
        (["fit", "kmeans", "digits", "--labels", "nowhere.csv"], "nowhere.csv cannot be read"),
        (["fit", "kmeans", "digits", "--device", "cpu"], "kmeans has no parameter 'device'"),
        (["fit", "dec", "digits", "--device", "cuda:77"], "'cuda:77' is not available here"),
        (["fit", "kmeans", "empty"], "no files in"),
        (["fit", "kmeans", "digits", "-o", "file"], "file is a file"),
        (["fit", "kmeans", "digits", "-o", "file/run"], "cannot be made"),
        (["fit", "kmeans", "digits", "-o", "thesis"], "'thesis.doc', which no run does"),
        (["fit", "simclr", "digits", "--device", "cpu", "--set", "precision=16-mixed"], "needs a GPU"),
        (["fit", "simclr", "digits", "--set", "width=1000000000"], "does not fit into the memory"),
        (["resume", "nowhere"], "There is nothing to resume at nowhere"),
        (["resume", "thesis"], "There is nothing to resume at thesis"),
        (["predict", "nowhere", "digits"], "not a finished run"),
    ],
)
def test_what_cannot_work_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.doc").write_text("years of work")
    (tmp_path / "file").write_text("mine")
    assert message in error(*arguments)
    result = call(*arguments, "--json")
    assert message in json.loads(result.stdout)["error"]
    assert {path.name for path in tmp_path.rglob("*")} == {"empty", "thesis", "thesis.doc", "file"}


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("nowhere", "'nowhere' is neither a data set"),
        ("empty", "no files in"),
        ("broken", "None of 1 files is a readable picture"),
    ],
)
def test_pictures_that_cannot_be_placed_are_one_line(run, tmp_path, monkeypatch, images, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"")
    assert message in error("predict", run, images)
    assert "there is no folder" in error("predict", run, "digits", "-o", tmp_path / "nowhere" / "a.csv")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "run.json"])
def test_a_run_from_a_newer_selfsort_or_damaged_is_one_line(run, tmp_path, file):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / file).write_text('{"schema": 99, "level": 0}')
    assert "Update selfsort" in error("predict", tmp_path / "run", "digits") or file == "model.safetensors"


def test_an_interrupt_before_there_is_a_job_asks_for_the_same_command(tmp_path, monkeypatch):
    from selfsort.learn import fit as module

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "check_target", interrupt)
    result = call("fit", "kmeans", "digits", "-o", tmp_path / "run")
    assert result.exit_code == 130
    assert "run the same command again" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_before_training_can_be_resumed(tmp_path, monkeypatch):
    from selfsort.learn import fit as module

    read = module.read_samples

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "read_samples", interrupt)
    result = call("fit", "kmeans", "digits", "-o", tmp_path / "run", *settings("n_clusters=3"))
    assert result.exit_code == 130
    assert f"run selfsort resume {tmp_path / 'run'} to continue" in result.stderr
    assert workplace_of(tmp_path / "run").exists()
    monkeypatch.setattr(module, "read_samples", read)
    assert json.loads(ok("resume", tmp_path / "run", "--json"))["n_groups"] == 3


def test_without_torch_one_line_says_what_to_install(tmp_path):
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "lightning_fabric"):
            raise ModuleNotFoundError(f"no {name} here", name=name.partition(".")[0])
sys.meta_path.insert(0, Refuse())
import selfsort
try:
    selfsort.DEC
except ModuleNotFoundError as error:
    print(error)
from selfsort.cli import main
for command in ("fit dec digits", "fit kmeans digits -o run", "predict run digits -o groups.csv"):
    try:
        main(command.split())
    except SystemExit as end:
        print(end.code)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["selfsort.DEC trains a network. Install: pip install 'selfsort[learn]'", "1"]
    assert done.stderr == "Error: The method 'dec' trains a network. Install: pip install 'selfsort[learn]'.\n"
    assert [line for line in lines[2:] if line.isdigit()] == ["0", "0"]  # the others need none
