"""Files that commands write by -o: they replace only their own, and say before work starts what cannot be written."""

import csv
import os

import numpy as np
import pytest
from PIL import Image

from test_cli import error, ok

FIT = ("--set", "n_clusters=3")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A folder of pictures, a run with a space in its name, a table and labels."""
    root = tmp_path_factory.mktemp("outputs")
    rng = np.random.default_rng(0)
    (root / "own").mkdir()
    for i in range(20):
        Image.fromarray(rng.integers(0, 256, (9, 9, 3)).astype(np.uint8)).save(root / "own" / f"{i:02d}.png")
    with (root / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("a", "b"), *rng.normal(size=(60, 2)).round(3).tolist()])
    (root / "labels.csv").write_text("path,label\n00.png,x\n01.png,y\n")
    ok("fit", "kmeans", root / "own", "--pixels", 8, "-o", root / "a run", *FIT)
    return root


def commands(root):
    return {
        "predict": ("predict", root / "a run", root / "own", "-o"),
        "choose-k": ("choose-k", root / "own", "--pixels", 8, "--k", "2-3", "-o"),
        "evaluate": ("evaluate", root / "a run", "--labels", root / "labels.csv", "--figure"),
        "mi": ("mi", "--csv", root / "table.csv", "--x", "a", "--y", "b", "--estimator", "dv", "-o"),
    }


NAMES = ("predict", "choose-k", "evaluate", "mi")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["own/00.png", "a run/run.json", "table.csv", "labels.csv"])
def test_a_file_of_others_is_not_replaced(scene, name, place):
    before = (scene / place).read_bytes()
    assert "is no table or figure of selfsort: it stays" in error(*commands(scene)[name], scene / place)
    assert (scene / place).read_bytes() == before


@pytest.mark.parametrize("name", NAMES)
def test_where_nothing_can_be_written_is_said_before_work_starts(scene, name, monkeypatch):
    for target in ("selfsort.learn.samples.open_source", "selfsort.clusters.Clusters.load"):
        monkeypatch.setattr(target, lambda *_, **__: pytest.fail("work has started"))
    assert "there is no folder" in error(*commands(scene)[name], scene / "nowhere" / "x")
    assert "is a folder. Give a file" in error(*commands(scene)[name], scene / "own")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mi"])
def test_what_the_same_command_wrote_is_replaced(scene, tmp_path, name):
    ok(*commands(scene)[name], tmp_path / "x")
    first = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(first[:300])
    ok(*commands(scene)[name], tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == first


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_changed_is_not_found_out_after_training(scene, tmp_path):
    (tmp_path / "run").mkdir(mode=0o555)
    assert "may not be changed" in error("fit", "kmeans", scene / "own", "--pixels", 8, "-o", tmp_path / "run", *FIT)


def test_commands_that_are_printed_can_be_pasted(scene, tmp_path):
    said = ok("fit", "kmeans", scene / "own", "--pixels", 8, "-o", tmp_path / "my run", *FIT)
    assert f"selfsort predict '{tmp_path / 'my run'}' PICTURES" in said


def test_scores_say_how_many_pictures_have_a_label(scene, tmp_path):
    fit = ("fit", "kmeans", scene / "own", "--pixels", 8, "--labels", scene / "labels.csv", *FIT)
    assert "(2 of 20 pictures have one)" in ok(*fit, "-o", tmp_path / "run")
    said = error("fit", "kmeans", "digits", "-o", tmp_path / "digits", "--labels", scene / "labels.csv", *FIT)
    assert said.endswith("Name them as the run does.")
