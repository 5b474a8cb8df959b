import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageFilter

from selfsort import organize
from selfsort.app import facts
from selfsort.cli import main
from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.photos.quality import flaws_of_run
from selfsort.photos.settings import Settings

WANTED = {
    "blurred": ["blurred.png"],
    "dark": ["black.png", "dark.png"],
    "empty": ["black.png", "white.png"],
    "cut": ["cut.jpg"],
}


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    fine = Image.fromarray(noise).resize((400, 300), Image.Resampling.NEAREST)
    fine.save(folder / "fine.png")
    fine.resize((80, 60), Image.Resampling.BILINEAR).save(folder / "small.png")
    fine.filter(ImageFilter.GaussianBlur(20)).save(folder / "blurred.png")
    fine.point(lambda v: v // 16).save(folder / "dark.png")
    Image.new("RGB", (300, 200), "white").save(folder / "white.png")
    Image.new("RGB", (300, 200)).save(folder / "black.png")
    (folder / "broken.png").write_bytes(b"broken")
    fine.save(folder / "cut.jpg")
    whole = (folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    return folder


def test_flaws_of_a_run(photos, tmp_path):
    clusters = organize(photos, tmp_path / "run")
    facts = flaws_of_run(tmp_path / "run")
    assert (facts["n_pictures"], facts["flaws"]) == (7, WANTED)
    assert facts["rows_there"] == {"cut.jpg": pytest.approx(0.5, abs=0.1)}
    assert [warning for warning in clusters.run["warnings"] if "1 picture cut short" in warning]


def test_the_page_has_the_same(photos, tmp_path):
    organize(photos, tmp_path / "run")
    clusters = Clusters.load(tmp_path / "run")
    paths = clusters.items.column("path").to_pylist()
    flawed = facts.read(clusters, tmp_path / "run").flaws.tolist()
    for bit, name in enumerate(facts.FLAWS):
        assert [path for path, bits in zip(paths, flawed, strict=True) if bits >> bit & 1] == WANTED[name]


def test_the_command(photos, tmp_path):
    organize(photos, tmp_path / "run")
    text = CliRunner().invoke(main, ["flaws", str(tmp_path / "run")]).stdout
    assert "blurred: 1 of 7 pictures\n  blurred.png\ndark: 2 of 7" in text
    assert re.search(r"cut: 1 of 7 pictures\n  cut.jpg \(\d\d% of its rows are there\)", text)
    assert json.loads(CliRunner().invoke(main, ["flaws", str(tmp_path / "run"), "--json"]).stdout)["flaws"] == WANTED


def test_pictures_that_were_not_looked_at(photos, tmp_path):
    organize(photos, tmp_path / "run", settings=Settings(looks=False))
    with pytest.raises(DataError, match="without --no-looks"):
        flaws_of_run(tmp_path / "run")
