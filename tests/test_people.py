import csv
import io
import json
import sys
import tarfile

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib import cbook
from PIL import Image, ImageOps

from conftest import KINDS, draw, pixels
from selfsort import organize
from selfsort.cli import main
from selfsort.errors import DataError, ModelError
from selfsort.images import Unreadable
from selfsort.photos import faces, people
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.faces import find_faces, is_installed
from selfsort.photos.people import read_people, read_people_of_run
from selfsort.photos.settings import Settings

needs_networks = pytest.mark.skipif(not is_installed(), reason="needs the package mtcnn")


def portrait():
    """A photograph of one person that comes with matplotlib."""
    return Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")


def file_of(picture, **how):
    out = io.BytesIO()
    picture.save(out, "PNG", **how)
    return out.getvalue()


def beside(n):
    """The portrait n times, each half as large."""
    one = portrait().resize((256, 303))
    row = Image.new("RGB", (256 * n, 303))
    for i in range(n):
        row.paste(one, (256 * i, 0))
    return row


def center(box):
    return box[0] + box[2] / 2, box[1] + box[3] / 2


# --- one picture


@needs_networks
def test_a_portrait_has_one_face_where_it_is():
    (face,) = read_people(file_of(portrait()))["faces"]
    assert center(face) == pytest.approx((0.52, 0.37), abs=0.03)
    assert 0.25 < face[2] < 0.5
    assert face[4] > 0.95


@needs_networks
def test_eyes_nose_and_mouth_of_a_portrait():
    """Where they were seen to be, by eye."""
    (points,) = read_people(file_of(portrait()))["points"]
    wanted = [(0.44, 0.325), (0.6, 0.315), (0.525, 0.405), (0.46, 0.465), (0.59, 0.455)]
    np.testing.assert_allclose(np.reshape(points, (5, 2)), wanted, atol=0.02)


@needs_networks
@pytest.mark.parametrize("n", [2, 3])
def test_faces_are_told_apart(n):
    found = read_people(file_of(beside(n)))["faces"]
    (alone,) = read_people(file_of(portrait()))["faces"]
    x, y = center(alone)
    assert sorted(center(face)[0] for face in found) == pytest.approx([(i + x) / n for i in range(n)], abs=0.03)
    assert [center(face)[1] for face in found] == pytest.approx([y] * n, abs=0.03)
    scores = [face[4] for face in found]
    assert scores == sorted(scores, reverse=True)


@needs_networks
def test_boxes_are_those_of_the_upright_picture():
    (wanted,) = read_people(file_of(portrait()))["faces"]
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter to the right to see it upright
    turned = portrait().transpose(Image.Transpose.ROTATE_90)
    assert ImageOps.exif_transpose(turned).size == turned.size
    (found,) = read_people(file_of(turned, exif=exif))["faces"]
    assert found == pytest.approx(wanted, abs=0.02)


@needs_networks
def test_drawings_and_noise_have_no_faces():
    for picture in [draw(kind, number) for kind in KINDS for number in range(2)]:
        assert read_people(file_of(picture))["faces"] == []


@needs_networks
@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 11), (40, 13)])
def test_sizes_at_the_edge(shape):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = find_faces(picture)
    assert found.dtype == np.float32
    assert found.shape[1] == 15
    read_people(file_of(Image.fromarray(picture)))


@needs_networks
def test_a_face_at_the_edge_stays_inside():
    left, top, width, height, _ = read_people(file_of(portrait()))["faces"][0]
    w, h = portrait().size
    cut = portrait().crop((int((left + 0.1 * width) * w), int((top + 0.1 * height) * h), w, h))
    found = read_people(file_of(cut))["faces"]
    assert found
    for x, y, right, below, _ in found:
        assert min(x, y) >= 0
        assert max(x + right, y + below) <= 1.0001


def test_what_is_no_picture():
    with pytest.raises(Unreadable):
        read_people(b"no picture")


def test_at_most_fifty_faces(monkeypatch):
    many = np.tile(np.array([0, 0, 100, 100, 0.9, *range(10, 20)], np.float32), (70, 1))
    monkeypatch.setattr(people, "find_faces", lambda pixels: many)
    found = read_people(file_of(draw("checks", 0)))["faces"]
    assert len(found) == 50
    assert found[0] == [0, 0, 0.1953, 0.1953, 0.9]


@needs_networks
def test_the_second_network_is_that_of_its_weights():
    """Compared with the layers written down in torch: order, sides of pools, and how Keras flattens."""
    torch = pytest.importorskip("torch")
    import joblib

    (folder,) = faces.importlib.util.find_spec("mtcnn").submodule_search_locations
    weights = iter([torch.from_numpy(np.array(w)) for w in joblib.load(f"{folder}/assets/weights/rnet.lz4")])

    def conv(x):
        x = torch.nn.functional.conv2d(x, next(weights).permute(3, 2, 0, 1), next(weights))
        return torch.nn.functional.prelu(x, next(weights).flatten())

    picture = np.ascontiguousarray(faces._normal(pixels(8, 24)).transpose(0, 3, 1, 2)[:1])
    half = 0.5 / 24
    box = np.array([[half * 24, half * 24, 24 - half * 24, 24 - half * 24, 1]], np.float32)  # centers of its pixels
    moves, scores, _ = faces._asked(faces._networks().second, picture, box, 24)
    x = conv(torch.from_numpy(picture))
    x = conv(torch.nn.functional.max_pool2d(torch.nn.functional.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2))
    x = conv(torch.nn.functional.max_pool2d(x, 3, 2)).permute(0, 3, 2, 1).flatten(1)
    x = torch.nn.functional.prelu(x @ next(weights) + next(weights), next(weights))
    wanted = x @ next(weights) + next(weights)
    np.testing.assert_allclose(moves, wanted, atol=1e-4)
    wanted = (x @ next(weights) + next(weights)).softmax(1)[:, 1]
    np.testing.assert_allclose(scores, wanted, atol=1e-4)


def test_boxes_that_are_one_become_one():
    boxes = np.array([[0, 0, 10, 10, 0.8], [1, 0, 11, 10, 0.9], [30, 0, 40, 10, 0.7], [2, 2, 6, 6, 0.6]], np.float32)
    assert faces._apart(boxes, 0.5)[:, 4].tolist() == pytest.approx([0.9, 0.7, 0.6])
    assert faces._apart(boxes, 0.5, of_smaller=True)[:, 4].tolist() == pytest.approx([0.9, 0.7])


# --- a run


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    portrait().resize((256, 303)).save(folder / "one.png")
    (folder / "one again.png").write_bytes((folder / "one.png").read_bytes())
    beside(2).save(folder / "two.png")
    beside(4).save(folder / "four.png")
    draw("pages", 0).save(folder / "none.png")
    (folder / "broken.png").write_bytes(b"broken")
    return folder


@needs_networks
def test_a_run_is_read_once(photos, tmp_path):
    run = tmp_path / "run"
    organize(photos, run)
    facts = read_people_of_run(run)
    assert (facts["n_pictures"], facts["n_read"], facts["n_known"]) == (4, 4, 4)
    assert facts["n_by_faces"] == {"0": 1, "1": 1, "2": 1, "3+": 1}
    numbers = {picture["path"]: len(picture["faces"]) for picture in facts["pictures"]}
    assert numbers == {"four.png": 4, "none.png": 0, "one again.png": 1, "one.png": 1, "two.png": 2}
    assert read_people_of_run(run) == facts | {"n_read": 0}


@needs_networks
def test_organize_counts_faces_where_asked_and_groups_are_the_same(photos, tmp_path):
    calls = []
    read = organize(photos, tmp_path / "a", settings=Settings(people=True), progress=lambda *call: calls.append(call))
    plain = organize(photos, tmp_path / "b")
    np.testing.assert_array_equal(read.levels, plain.levels)
    assert ("people", 4, 4) in calls
    known = []
    for name in ("a", "b"):
        with Catalog(catalog_path(tmp_path / name)) as catalog:
            known.append(catalog.facts("people"))
    assert (len(known[0]), known[1]) == (4, {})


def test_people_are_a_facet():
    with pytest.raises(DataError, match="people must be True or False"):
        Settings(people="yes")


@needs_networks
def test_the_command(photos, tmp_path):
    run = tmp_path / "run"
    organize(photos, run)
    done = CliRunner().invoke(main, ["people", str(run)])
    assert done.exit_code == 0
    assert "1 with three faces or more" in done.stdout
    (photos / "two.png").unlink()
    draw("disks", 0).save(photos / "new.png")
    organize(photos, run)
    facts = json.loads(CliRunner().invoke(main, ["people", str(run), "--json"]).stdout)
    assert (facts["n_pictures"], facts["n_read"]) == (4, 1)
    assert facts["n_by_faces"] == {"0": 2, "1": 1, "2": 0, "3+": 1}


def test_without_the_extra_it_says_what_to_install(monkeypatch, photos):
    faces._networks.cache_clear()
    monkeypatch.setitem(sys.modules, "lz4", None)
    with pytest.raises(DataError, match=r"pip install 'selfsort\[photos\]'"):
        organize(photos, settings=Settings(people=True))


@needs_networks
def test_other_weights_are_not_opened(monkeypatch):
    faces._networks.cache_clear()
    monkeypatch.setitem(faces._WEIGHTS, "onet", "0" * 64)
    with pytest.raises(ModelError, match="not the file of mtcnn"):
        faces.check_installed()


@needs_networks
def test_real_faces(data):
    with open(data / "caltech101/labels.csv", encoding="utf-8") as file:
        labels = {row["path"]: row["label"] for row in csv.DictReader(file)}
    numbers = {}
    with tarfile.open(data / "caltech101/caltech101_160.tar") as tar:
        for category in ("Faces", "car_side", "pizza", "watch"):
            paths = [path for path, label in labels.items() if label == category][:12]
            numbers[category] = [len(read_people(tar.extractfile(path).read())["faces"]) for path in paths]
    assert sum(n == 1 for n in numbers.pop("Faces")) >= 10
    assert sum(n > 0 for of in numbers.values() for n in of) <= 2
