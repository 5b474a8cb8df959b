"""Faces of the same person, with small networks that are written here: none that knows faces comes along."""

import contextlib
import csv
import json
import shutil
import tarfile

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image, ImageEnhance
from scipy.cluster.hierarchy import fcluster, linkage

from conftest import draw
from selfsort import DataError, organize
from selfsort.cli import main
from selfsort.photos import naming, persons, same_face
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.export import export
from selfsort.photos.persons import find_persons, forget_persons, persons_of_run
from selfsort.photos.recognizer import FaceModel
from selfsort.photos.same_face import least_similarity
from test_people import needs_networks, portrait
from test_recognizer import write_model

# --- groups of vectors


def vectors_of(rng, sizes, n_strangers, d=64, spread=0.6, shift=0.0):
    """Vectors of people with so many faces each, and of strangers; all of them shifted to one side."""
    centers = rng.normal(size=(len(sizes), d))
    rows = np.repeat(centers, sizes, 0)
    vectors = np.concatenate([rows + spread * rng.normal(size=rows.shape), rng.normal(size=(n_strangers, d))])
    vectors[:, 0] += shift * np.sqrt(d)
    whose = np.concatenate([np.repeat(np.arange(len(sizes)), sizes), np.full(n_strangers, -1)])
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), whose


@pytest.mark.parametrize("shift", [0.0, 1.5])
@pytest.mark.parametrize(
    ("sizes", "n_strangers"),
    [([20, 12, 5, 3], 30), ([6, 5, 4], 0), ([40], 5), ([4], 200), ([30] * 10, 100), ([], 150)],
)
def test_people_are_found_whatever_recognizers_call_alike(sizes, n_strangers, shift):
    vectors, whose = vectors_of(np.random.default_rng(1), sizes, n_strangers, shift=shift)
    found = same_face.same_face(vectors, least_similarity(vectors))
    np.testing.assert_array_equal(found[whose < 0], -1)
    groups = {int(np.bincount(found[whose == person] + 1).argmax()) - 1 for person in range(len(sizes))}
    assert groups == set(range(len(sizes)))
    assert found.max() + 1 == len(sizes)
    for person in range(len(sizes)):
        assert len(set(found[whose == person]) - {-1}) == 1
        assert (found[whose == person] >= 0).mean() > 0.9
    assert (np.diff(np.bincount(found[found >= 0])) <= 0).all()  # the largest first


def test_too_few_faces_do_not_tell():
    assert least_similarity(np.eye(9, dtype=np.float32)) is None
    assert same_face.same_face(np.zeros((0, 1), np.float32), 0.5).tolist() == []


def test_groups_are_those_of_average_linkage():
    vectors, _ = vectors_of(np.random.default_rng(2), [9, 7, 4, 4], 20, d=8, spread=1)
    for least in (0.2, 0.5, 0.8):
        whole = fcluster(linkage(vectors, "average", metric="cosine"), 1 - least, "distance")
        whole = np.where(np.bincount(whole)[whole] >= 3, whole, -1)
        found = same_face.same_face(vectors, least)
        pairs = {(a, b) for a, b in zip(whole.tolist(), found.tolist(), strict=True)}
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
        assert (-1, -1) in pairs


def test_many_faces_that_hang_together_are_compared_with_groups(monkeypatch):
    vectors, whose = vectors_of(np.random.default_rng(3), [60, 40], 0, d=16, spread=0.5)
    mixed = np.random.default_rng(4).permutation(len(vectors))
    monkeypatch.setattr(same_face, "_hanging_together", lambda vectors, least: np.zeros(len(vectors), np.int64))
    monkeypatch.setattr(same_face, "MOST_TOGETHER", 30)
    found = same_face.same_face(vectors[mixed], 0.5)
    np.testing.assert_array_equal(found, whose[mixed])


@pytest.mark.parametrize("mixed", [False, True])
def test_persons_beyond_the_first_faces_that_can_be_compared_are_found(monkeypatch, mixed):
    """Whether one comes after another, or so mixed that hardly three faces of anybody are among those."""
    vectors, whose = vectors_of(np.random.default_rng(5), [6] * 40, 30, spread=0.3)
    order = np.random.default_rng(6).permutation(len(vectors)) if mixed else np.arange(len(vectors))
    monkeypatch.setattr(same_face, "_hanging_together", lambda vectors, least: np.zeros(len(vectors), np.int64))
    monkeypatch.setattr(same_face, "MOST_TOGETHER", 50)
    found, whose = same_face.same_face(vectors[order], 0.5), whose[order]
    assert set(found[whose < 0]) == {-1}
    groups = [set(found[whose == person]) for person in range(40)]
    assert all(len(of) == 1 for of in groups)
    assert set.union(*groups) == set(range(40))


# --- a run

TINTS = {"red": (1.0, 0.55, 0.55), "green": (0.5, 1.0, 0.6), "blue": (0.5, 0.55, 1.0)}


def tinted(tint, number):
    """The portrait as if of somebody else: the networks of these tests tell people by the colors of their skin."""
    rng = np.random.default_rng([list(TINTS).index(tint), number])
    picture = portrait().resize((300, 352))
    colored = np.asarray(picture) * np.array(TINTS[tint]) * rng.uniform(0.97, 1.03, 3)
    picture = Image.fromarray(colored.clip(0, 255).astype(np.uint8)).rotate(rng.uniform(-8, 8), expand=True)
    return ImageEnhance.Brightness(picture).enhance(rng.uniform(0.9, 1.1))


@pytest.fixture
def library(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for tint, n in (("red", 6), ("green", 4), ("blue", 3)):
        for number in range(n):
            tinted(tint, number).save(folder / f"{tint} {number}.png")
    shutil.copy(folder / "red 0.png", folder / "red again.png")
    both = Image.new("RGB", (700, 400))
    both.paste(tinted("red", 8), (0, 0))
    both.paste(tinted("green", 8), (350, 0))
    both.save(folder / "both.png")
    portrait().resize((40, 47)).save(folder / "small.png")
    draw("pages", 0).save(folder / "nobody.png")
    organize(folder, tmp_path / "run")
    return folder


@pytest.fixture
def model(tmp_path):
    return FaceModel(write_model(tmp_path / "faces.onnx", dtype="UINT8", pool=112, less_mean=False))


def numbers_by_path(run):
    with Catalog(catalog_path(run)) as catalog:
        known = persons.persons(catalog)
    return {
        item["path"]: known[item["id"]]
        for item in pq.read_table(run / "items.parquet").to_pylist()
        if item["id"] in known
    }


@needs_networks
def test_people_of_a_run(library, tmp_path, model):
    run, calls = tmp_path / "run", []
    facts = find_persons(run, model, progress=lambda *call: calls.append(call))
    assert (facts["n_compared"], facts["n_faces"]) == (15, 16)  # that of small.png is too small
    assert calls[-1] == ("same face", 14, 14)
    found = numbers_by_path(run)
    numbers = [{found[f"{tint} {number}.png"][0] for number in range(3)} for tint in TINTS]
    assert numbers == [{1}, {2}, {3}]
    assert sorted(found["both.png"]) == [1, 2]
    assert found["red again.png"] == [1]
    first, *others = persons_of_run(run)
    assert (first["person"], first["n_faces"], first["n_pictures"]) == (1, 7, 7)  # copies are one picture
    assert [(person["n_faces"], person["n_pictures"]) for person in others] == [(5, 5), (3, 3)]
    assert len(first["largest"]) == 3
    assert all(face["path"].startswith(("red", "both")) for face in first["largest"])


@needs_networks
def test_it_goes_on_where_it_was_stopped_and_numbers_stay(library, tmp_path, model):
    run = tmp_path / "run"

    def stop(stage, done, total):
        if stage == "same face" and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_persons(run, model, progress=stop)
    calls = []
    find_persons(run, model, progress=lambda *call: calls.append(call))
    assert next(done for stage, done, _ in calls if stage == "same face") >= 4
    before = numbers_by_path(run)
    for number in range(10, 18):  # now there are more blue ones than others
        tinted("blue", number).save(library / f"blue {number}.png")
    organize(library, run)
    find_persons(run, model)
    after = numbers_by_path(run)
    assert {path: after[path] for path in before} == before
    assert after["blue 12.png"] == [3]
    assert persons_of_run(run)[0]["person"] == 3


@needs_networks
def test_vectors_of_another_recognizer_are_deleted_and_all_can_be_forgotten(library, tmp_path, model):
    run = tmp_path / "run"
    find_persons(run, model)
    catalog = catalog_path(run)

    def named_by():
        with Catalog(catalog) as opened:
            return naming.digest(opened)

    def stored():
        with Catalog(catalog) as opened:
            return [fact["vectors"] for fact in opened.facts(persons.VECTORS).values()]

    def anywhere(text):
        return any(text.encode() in path.read_bytes() for path in tmp_path.glob("run.catalog*"))

    first, names = stored(), named_by()
    assert all(map(anywhere, first))
    find_persons(run, FaceModel(model.path, "bgr"))
    assert not any(map(anywhere, first))
    second = stored()
    assert len(second) == len(first)
    assert forget_persons(run) == 14
    assert not any(map(anywhere, second))
    assert numbers_by_path(run) == {}
    assert persons_of_run(run) == []
    with Catalog(catalog) as opened:
        assert len(opened.facts("people")) == 16  # where faces are is still known
        assert opened.check() == []
    assert forget_persons(run) == 0
    assert named_by() == names  # groups are not named anew for it


@needs_networks
def test_the_command(library, tmp_path, model):
    def say(*arguments):
        return CliRunner().invoke(main, ["people", str(tmp_path / "run"), *arguments])

    assert "person 1" not in say().stdout
    done = say("--face-model", str(model.path))
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert "15 of 16 faces are large enough to compare." in lines
    assert any(line.split()[:4] == ["person", "1", "7", "7"] for line in lines)
    facts = json.loads(say("--json").stdout)
    assert [person["n_faces"] for person in facts["persons"]] == [7, 5, 3]
    for wrong, message in {
        ("--face-threshold", "0.5"): "no use for --face-threshold: give --face-model too",
        ("--face-colors", "rgb"): "no use for --face-colors: give --face-model too",
        ("--forget", "--face-colors", "rgb", "--face-model", "x"): "leave out --face-model and --face-colors.",
    }.items():
        refused = say(*wrong)
        assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
        assert message in refused.stderr
    assert len(persons_of_run(tmp_path / "run")) == 3
    nobody = json.loads(say("--face-model", str(model.path), "--face-threshold", "1", "--json").stdout)
    assert (nobody["persons"], nobody["least"]) == ([], 1)
    failed = say("--face-model", str(model.path), "--face-threshold", "2")
    assert "is a cosine, above -1 and up to 1: got 2.0" in failed.stderr
    assert "Forgot whose faces are in 14 pictures." in say("--forget").stdout
    missing = say("--face-model", str(tmp_path / "none.onnx"))
    assert missing.exit_code == 1
    assert "There is no file" in missing.stderr


@needs_networks
def test_too_few_faces_for_a_threshold(tmp_path, model):
    folder = tmp_path / "few"
    folder.mkdir()
    for number in range(4):
        tinted("red", number).save(folder / f"{number}.png")
    organize(folder, tmp_path / "run")
    done = CliRunner().invoke(main, ["people", str(tmp_path / "run"), "--face-model", str(model.path)])
    assert "too few to find out how alike different people are: give --face-threshold" in done.stdout
    find_persons(tmp_path / "run", model, least=0.9)
    found = persons_of_run(tmp_path / "run")
    assert [(person["person"], person["n_faces"]) for person in found] == [(1, 4)]
    assert find_persons(tmp_path / "run", model)["least"] is None
    assert persons_of_run(tmp_path / "run") == found
    find_persons(tmp_path / "run", model, least=1)
    assert persons_of_run(tmp_path / "run") == []
    find_persons(tmp_path / "run", model, least=0.9)
    assert [person["person"] for person in persons_of_run(tmp_path / "run")] == [1]  # the number comes with its faces


@needs_networks
def test_people_in_tables(library, tmp_path, model):
    run = tmp_path / "run"
    export(run, tmp_path / "before", mode="parquet")
    assert set(pq.read_table(tmp_path / "before/groups.parquet").column("people").to_pylist()) == {None}
    find_persons(run, model)
    for mode in ("csv", "parquet", "json"):
        export(run, tmp_path / mode, mode=mode)
    table = pq.read_table(tmp_path / "parquet/groups.parquet").to_pylist()
    people = {row["path"]: row["people"] for row in table}
    assert people["both.png"] == ["person 1", "person 2"]
    assert (people["blue 1.png"], people["nobody.png"]) == (["person 3"], None)
    with open(tmp_path / "csv/groups.csv", encoding="utf-8", newline="") as file:
        rows = {row["path"]: row["people"] for row in csv.DictReader(file)}
    assert (rows["both.png"], rows["nobody.png"]) == ("person 1; person 2", "")
    document = json.loads((tmp_path / "json/groups.json").read_text())
    pictures = {p["path"]: p.get("people") for g in document["groups"] for p in g["pictures"]}
    assert pictures["red 2.png"] == ["person 1"]


@needs_networks
def test_people_on_the_page(library, tmp_path, model):
    from selfsort.app import facts
    from selfsort.app.review import Review

    run = tmp_path / "run"
    find_persons(run, model)
    review = Review(run)
    known = facts.read(review.clusters, run)
    paths = review.clusters.items.column("path").to_pylist()
    both = review.described_picture(paths.index("both.png"), known)
    assert (both["faces"], both["people"]) == (2, [{"person": n, "name": f"person {n}"} for n in (1, 2)])
    nobody = review.described_picture(paths.index("nobody.png"), known)
    assert (nobody["faces"], nobody["people"]) == (0, [])
    found = {paths[row] for row in review.search("Person 2", paths)}
    assert found == {"both.png", *(f"green {number}.png" for number in range(4))}
    called = [path.replace("nobody", "person 2") for path in paths]
    assert {paths[row] for row in review.search("Person 2", called)} == {"nobody.png", *found}
    assert review.search("person 9", paths) == []
    review.name_person(2, " A\u030asa\tBerg ")  # as a Mac types it
    for words in ("åsa", "berg åsa", "person 2"):
        assert {paths[row] for row in review.search(words, paths)} == found
    assert review.described_picture(paths.index("both.png"), known)["people"][1]["name"] == "Åsa Berg"
    forget_persons(run)
    assert review.search("åsa", paths) == []
    assert review.described_picture(paths.index("both.png"), known)["people"] == []
    assert review.search("person 2", paths) == []
    review.close()


@needs_networks
def test_names_of_persons(library, tmp_path, model):
    run = tmp_path / "run"

    def say(*arguments):
        return CliRunner().invoke(main, ["people", str(run), *arguments])

    assert "There is no person 1 in this run" in say("--name", "1", "Ann").stderr
    find_persons(run, model)
    done = say("--name", "1", " Ann ", "--name", "3", "Ann", "--name", "2", "Bogumila")
    assert done.exit_code == 0
    assert [line.split()[:5] for line in done.stdout.splitlines()[1:]] == [
        ["person", "1", "Ann", "7", "7"],
        ["person", "2", "Bogumila", "5", "5"],
        ["person", "3", "Ann", "3", "3"],
    ]
    export(run, tmp_path / "csv", mode="csv")
    with open(tmp_path / "csv/groups.csv", encoding="utf-8", newline="") as file:
        rows = {row["path"]: row["people"] for row in csv.DictReader(file)}
    assert (rows["both.png"], rows["blue 1.png"], rows["red 1.png"]) == ("Ann; Bogumila", "Ann", "Ann")
    for number in range(10, 18):
        tinted("blue", number).save(library / f"blue {number}.png")
    organize(library, run)
    find_persons(run, model)  # names go with the faces
    assert [(of["person"], of["name"]) for of in persons_of_run(run)] == [(3, "Ann"), (1, "Ann"), (2, "Bogumila")]
    assert "There is no person 9" in say("--name", "3", "Cy", "--name", "9", "X").stderr  # then none is named
    find_persons(run, model, least=1)  # too strict, for once
    assert persons_of_run(run) == []
    find_persons(run, model)
    assert [(of["person"], of["name"]) for of in persons_of_run(run)] == [(3, "Ann"), (1, "Ann"), (2, "Bogumila")]
    assert say("--name", "3", "").exit_code == 0
    assert [of["name"] for of in persons_of_run(run)] == [None, "Ann", "Bogumila"]
    for wrong, message in {
        ("--name", "9", "X"): "There is no person 9 in this run",
        ("--name", "0", "X"): "There is no person 0",
        ("--name", "1", "x" * 201): "A name has at most 200 characters: got 201.",
        ("--name", "1", "Person 2"): "is what a person without a name is called",
        ("--name", "1", "A", "--name", "1", "B"): "Each person takes one --name: got 1, 1.",
        ("--name", "1", "X", "--forget"): "--name names and does nothing else: leave out --forget.",
    }.items():
        refused = say(*wrong)
        assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
        assert message in refused.stderr
    assert say("--forget").exit_code == 0
    with Catalog(catalog_path(run)) as catalog:
        assert catalog.person_names() == {}
    assert not any(b"Bogumila" in path.read_bytes() for path in tmp_path.glob("run.catalog*"))


@needs_networks
def test_vectors_stay_until_pictures_were_read_with_another_recognizer(library, tmp_path, model):
    run = tmp_path / "run"
    find_persons(run, model)
    with Catalog(catalog_path(run)) as catalog:
        before, known = catalog.facts(persons.VECTORS), persons.persons(catalog)
    (tmp_path / "pictures").rename(tmp_path / "moved")
    (tmp_path / "pictures").mkdir()
    shutil.copy(tmp_path / "moved/nobody.png", tmp_path / "pictures")
    parts = FaceModel(write_model(tmp_path / "parts.onnx"))  # of more dimensions
    with contextlib.suppress(DataError):  # pictures are not there
        find_persons(run, parts, least=0.9)
    with Catalog(catalog_path(run)) as catalog:
        assert (catalog.facts(persons.VECTORS), persons.persons(catalog)) == (before, known)
    shutil.copy(tmp_path / "moved/both.png", tmp_path / "pictures")
    find_persons(run, parts, least=0.9)  # vectors of both recognizers are there until it is done
    with Catalog(catalog_path(run)) as catalog:
        assert len(catalog.facts(persons.VECTORS)) == 1


@needs_networks
def test_real_people(data, tmp_path):
    """Caltech-101 shows one person after another: a man, another, a third in few pictures, a fourth, by eye."""
    folder = tmp_path / "faces"
    folder.mkdir()
    with tarfile.open(data / "caltech101/caltech101_160.tar") as tar:
        for name in sorted(name for name in tar.getnames() if name.startswith("Faces/image"))[:64]:
            (folder / name.split("/")[1]).write_bytes(tar.extractfile(name).read())
    organize(folder, tmp_path / "run")
    find_persons(tmp_path / "run", FaceModel(write_model(tmp_path / "parts.onnx", pool=7)), least=0.9)
    of_person = {}
    for path, numbers in numbers_by_path(tmp_path / "run").items():
        if numbers[0]:
            whose = int(np.searchsorted([21, 41, 46], int(path[6:10])))
            of_person.setdefault(numbers[0], []).append(whose)
    assert len(of_person) >= 3
    assert sum(map(len, of_person.values())) >= 20  # pixels alone know a face again only in the same light
    assert all(len(set(whose)) == 1 for whose in of_person.values())
