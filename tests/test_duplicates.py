import csv
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from conftest import draw, snapshot
from selfsort import Settings, organize
from selfsort.cli import main
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.corrected import Corrected
from selfsort.photos.duplicates import described, find_same


def found(run):
    with Corrected(run) as corrected, Catalog(catalog_path(run)) as catalog:
        clusters = corrected.clusters
        return {
            (same.level, tuple(picture["path"] for picture in described(clusters, same)))
            for same in find_same(clusters, catalog)
        }


def scene(number, side=400):
    """A picture with something of its own everywhere."""
    rng = np.random.default_rng(number)
    small = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    return small.resize((side, side), Image.Resampling.BICUBIC)


def shot(path, image, date=None, model="X", **options):
    exif = Image.Exif()
    if date:
        exif[0x0110] = model
        exif.get_ifd(0x8769)[0x9003] = date
    image.save(path, exif=exif, **options)


@pytest.fixture
def album(tmp_path):
    """Seven scenes that differ; some of them more than once."""
    root = tmp_path / "pictures"
    root.mkdir()
    for number in range(7):
        shot(root / f"scene{number}.png", scene(number))
    shutil.copy(root / "scene0.png", root / "copy.png")
    shot(root / "small.jpg", scene(1).resize((200, 200)), quality=70)
    shot(root / "worse.jpg", scene(1), quality=35)
    for number in range(8):
        draw("pages", number, 300).save(root / f"page{number}.png")
    near = scene(20)
    for second in range(3):
        moved = Image.fromarray(np.roll(np.asarray(near), 6 * second, axis=1))
        shot(root / f"burst{second}.jpg", moved, f"2020:01:01 10:00:0{second}", quality=90)
    shot(root / "other camera.jpg", Image.fromarray(np.roll(np.asarray(near), 30, 0)), "2020:01:01 10:00:02", model="Y")
    organize(root, tmp_path / "run")
    return root, tmp_path / "run"


def test_three_levels(album):
    _, run = album
    sets = found(run)
    assert ("identical", ("copy.png", "scene0.png")) in sets
    assert ("same shot", ("scene1.png", "worse.jpg", "small.jpg")) in sets  # the most pixels first, then bytes
    assert {paths for level, paths in sets if level == "same shot"} == {("scene1.png", "worse.jpg", "small.jpg")}
    (burst,) = [paths for level, paths in sets if level == "burst"]
    assert sorted(burst) == ["burst0.jpg", "burst1.jpg", "burst2.jpg"]


def test_what_is_not_the_same_does_not_come_up_again(album):
    root, run = album
    with Corrected(run) as corrected:
        corrected.correct("not-the-same", paths=["scene1.png", "small.jpg"])
        corrected.correct("not-the-same", paths=["worse.jpg", "small.jpg"])
        corrected.correct("not-the-same", paths=["burst0.jpg", "burst1.jpg"])
    sets = found(run)
    assert ("same shot", ("scene1.png", "worse.jpg")) in sets
    assert not any("small.jpg" in paths for _, paths in sets)  # also not by way of a third
    assert sorted(next(paths for level, paths in sets if level == "burst")) == ["burst1.jpg", "burst2.jpg"]
    organize(root, run)
    assert found(run) == sets


def test_the_command(album):
    root, run = album
    before = snapshot(root)
    text = CliRunner().invoke(main, ["duplicates", str(run)])
    assert text.exit_code == 0
    assert "same shot: 1 set," in text.output
    result = json.loads(CliRunner().invoke(main, ["duplicates", str(run), "--json"]).output)
    assert {one["level"] for one in result["sets"]} == {"identical", "same shot", "burst"}
    assert snapshot(root) == before


@pytest.mark.parametrize(("lacking", "level"), [("looks", "same shot"), ("metadata", "burst")])
def test_what_is_found_without_a_facet(album, lacking, level):
    root, run = album
    organize(root, run.with_name(lacking), settings=Settings(**{lacking: False}))
    assert {level for level, _ in found(run.with_name(lacking))} == {"identical", "same shot", "burst"} - {level}


def test_tiny_pictures_hold_too_little_to_tell(tmp_path):
    root = tmp_path / "pictures"
    root.mkdir()
    for number, side in enumerate((31, 30, 29)):
        scene(1).resize((side, side)).save(root / f"{number}.png")
    organize(root, tmp_path / "run")
    assert found(tmp_path / "run") == set()


def test_nothing_the_same(tmp_path):
    root = tmp_path / "pictures"
    root.mkdir()
    scene(0).save(root / "a.png")
    organize(root, tmp_path / "run")
    assert found(tmp_path / "run") == set()


def test_near_copies_of_real_pictures(data, tmp_path):
    """Photo library: all marked near-copies are found, and hardly anything else."""
    run = tmp_path / "run"
    clusters = organize(data / "photos/f1_library.tar", run)
    with open(data / "photos/f1_library_labels.csv", encoding="utf-8") as file:
        marked = {frozenset((row["file"], row["near_dup_of"])) for row in csv.DictReader(file) if row["near_dup_of"]}
    sets = found(run)
    together = {frozenset((a, b)) for _, paths in sets for a in paths for b in paths if a != b}
    assert len(marked) == 18
    assert marked <= together
    assert len(sets) <= len(marked)
    assert clusters.run["n_items"] == 907
