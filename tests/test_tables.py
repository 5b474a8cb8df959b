import csv
import io
import json
import os

import pyarrow.parquet as pq
import pytest

from exports import KEYS, catalogued, correct, folder_of_run, hide  # noqa: F401
from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.photos import kind
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.corrected import Corrected
from selfsort.photos.export import export, undo
from selfsort.photos.objects import hints
from selfsort.photos.places import are_known
from test_export import FILES, make_run, posix, tree, write_files


def rows_of(path):
    text = os.fsdecode(path.read_bytes())
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_csv_and_parquet_say_the_same(tmp_path, folder):
    correct(folder, ("rename", [0], [], 'Snow, "ice"\n'), ("lock", [], ["a/one.jpg"], None))
    hide(folder, "b/one.jpg")
    export(folder, tmp_path / "csv", mode="csv")
    export(folder, tmp_path / "parquet", mode="parquet")
    rows, table = rows_of(tmp_path / "csv/groups.csv"), pq.read_table(tmp_path / "parquet/groups.parquet")
    assert list(rows[0]) == [name for name in table.column_names if name != "path_bytes"]
    assert [row["path"] for row in rows] == table.column("path").to_pylist()
    assert "b/one.jpg" not in table.column("path").to_pylist()
    first = table.to_pylist()[0]
    assert (first["group"], first["key"], first["name"], first["locked"]) == (0, KEYS[0], 'Snow, "ice"', True)
    assert (first["level_0"], first["level_1"], first["prototype_rank"]) == (0, 0, 0)
    assert [first[name] for name in ("kind", "objects", "flaws", "text", "faces", "people")] == [None] * 6
    assert (first["taken"].isoformat(), first["taken_offset"]) == ("2019-06-01T12:33:10", 120)
    assert (first["taken_source"], first["taken_precision"]) == ("exif", "second")
    assert (first["latitude"], first["longitude"]) == (48.8584, 2.2945)
    if are_known():
        assert first["place"].endswith("France")
    as_text = {"group": "0", "name": 'Snow, "ice"', "locked": "true", "hidden": "false", "confidence": "0.75"}
    as_text |= {"taken": "2019-06-01T12:33:10", "latitude": "48.8584", "key": str(KEYS[0])}
    assert {name: rows[0][name] for name in as_text} == as_text
    nowhere = rows[-1]
    assert (nowhere["path"], nowhere["group"], nowhere["name"], nowhere["taken_source"]) == (
        "nowhere.jpg",
        "-1",
        "",
        "file",
    )
    export(folder, tmp_path / "all", mode="csv", hidden=True)
    assert [row["path"] for row in rows_of(tmp_path / "all/groups.csv") if row["hidden"] == "true"] == ["b/one.jpg"]


def test_what_was_read_of_pictures(tmp_path, own_run):
    with Catalog(catalog_path(own_run)) as catalog:
        looks = catalog.facts("looks")
        paths = {path: content for content in looks for path in catalog.paths(content)}
        read = {"text": {"text": "one\ntwo"}, "people": {"faces": [[0, 0, 1, 1, 1]] * 2}, "persons": [1, 1]}
        for name, fact in read.items():
            catalog.add_facts(name, 1, {paths["noise/00.png"]: fact})
        dark = {**looks[paths["disks/02.png"]], "light": 0.0, "contrast": 0.1}
        catalog.add_facts("looks", 2, {paths["disks/02.png"]: dark})
    export(own_run, tmp_path / "json", mode="json")
    document = json.loads((tmp_path / "json/groups.json").read_text())
    found = {
        p["path"]: p for part in [*document["groups"], {"pictures": document["nowhere"]}] for p in part["pictures"]
    }
    clusters = Clusters.load(own_run)
    rows = {path: row for row, path in enumerate(clusters.items.column("path").to_pylist())}
    for path, content in paths.items():
        probable = kind.probabilities(clusters.embedding[[rows[path]]], [looks[content]])[0]
        if path != "disks/02.png":  # which was made dark
            assert found[path]["kind"] == kind.kinds()[probable.argmax()]
            assert found[path]["kind_probability"] == pytest.approx(probable.max(), abs=1e-4)
        hinted = hints(clusters.embedding[[rows[path]]])[0]
        assert found[path]["objects"] == [term for term, _ in hinted]
        assert found[path]["objects_probability"] == pytest.approx([share for _, share in hinted], abs=1e-4)
    noise, disks, page = found["noise/00.png"], found["disks/02.png"], found["pages/02.png"]
    assert (noise["text"], noise["faces"], noise["people"]) == ("one\ntwo", 2, ["person 1"])
    assert "dark" in disks["flaws"]
    assert "flaws" in page
    assert not {"text", "faces", "people"} & page.keys()


def test_the_json_document(tmp_path, folder):
    correct(
        folder, ("split", [], ["b/one.jpg"], None), ("rename", [1], [], "Snow"), ("move", [1], ["nowhere.jpg"], None)
    )
    export(folder, tmp_path / "out", mode="json")
    document = json.loads((tmp_path / "out/groups.json").read_text())
    assert (document["format"], document["version"], document["n_corrections"]) == ("selfsort groups", 1, 3)
    assert document["run"]["fingerprint"] == "f1"
    groups = {group["group"]: group for group in document["groups"]}
    assert {n: len(group["pictures"]) for n, group in groups.items()} == {0: 2, 1: 3, 2: 1}
    assert (groups[1]["name"], groups[1]["key"], groups[0]["name"]) == ("Snow", KEYS[1], None)
    assert [group["made_by_hand"] for group in groups.values()] == [False, False, True]
    moved = {
        p["path"]: p["moved_from"] for g in document["groups"] for p in g["pictures"] if p["moved_from"] is not None
    }
    assert moved == {"b/one.jpg": 0, "nowhere.jpg": -1}
    assert document["nowhere"] == []
    correct(folder, ("merge", [0, 1], [], None))
    export(folder, tmp_path / "merged", mode="json")
    document = json.loads((tmp_path / "merged/groups.json").read_text())
    assert [(group["group"], group["merged_from"]) for group in document["groups"]] == [(0, [1]), (2, [])]


def test_fiftyone_files(tmp_path, folder):
    correct(folder, ("rename", [0], [], "Snow"))
    result = export(folder, tmp_path / "out", mode="fiftyone")
    assert result.done == ["data.json", "labels.json"]
    files = json.loads((tmp_path / "out/data.json").read_text())
    labels = json.loads((tmp_path / "out/labels.json").read_text())
    assert labels["classes"] == ["Snow", "group-001"]
    assert set(files) == set(labels["labels"])
    by_path = {files[key]: label for key, label in labels["labels"].items()}
    assert set(by_path) == {str(tmp_path / "pictures" / name) for name, content in FILES.items() if content}
    snow = by_path[str(tmp_path / "pictures/a/one.jpg")]
    assert (snow["label"], snow["confidence"], snow["attributes"]["width"]) == ("Snow", 0.75, 1)
    assert not {"id", "_id", "tags", "label", "confidence", "logits"} & set(snow["attributes"])  # are the label's own
    assert by_path[str(tmp_path / "pictures/nowhere.jpg")] is None


@posix
def test_paths_that_are_no_text(tmp_path):
    files = {os.fsdecode(b"caf\xe9.jpg"): b"1", "b\n.jpg": b"2", "-rf": b"3"}
    write_files(tmp_path / "pictures", files)
    run = make_run(tmp_path / "pictures", files)
    run.levels[:] = 0
    result = export(run, tmp_path / "fiftyone", mode="fiftyone")
    assert result.skipped == [("caf\\xe9.jpg", "its path is no UTF-8, which FiftyOne cannot hold")]
    assert len(json.loads((tmp_path / "fiftyone/data.json").read_text())) == 2
    export(run, tmp_path / "json", mode="json")
    pictures = json.loads((tmp_path / "json/groups.json").read_text())["groups"][0]["pictures"]
    assert [picture.get("path_base64") for picture in pictures] == ["Y2Fm6S5qcGc=", None, None]
    export(run, tmp_path / "parquet", mode="parquet")
    table = pq.read_table(tmp_path / "parquet/groups.parquet")
    assert table.column("path_bytes").to_pylist() == [os.fsencode(name) for name in files]
    export(run, tmp_path / "csv", mode="csv")
    paths = [os.fsdecode(b"caf\xe9.jpg"), "b\n.jpg", "./-rf"]  # no spreadsheet takes that for a formula
    assert [row["path"] for row in rows_of(tmp_path / "csv/groups.csv")] == paths


@pytest.mark.parametrize("mode", ["csv", "parquet", "json", "fiftyone"])
def test_tables_are_taken_back_and_replace_nothing(tmp_path, folder, mode):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    before = tree(tmp_path)
    planned = export(folder, tmp_path / "out", mode=mode, dry_run=True)
    assert tree(tmp_path) == before
    made = export(folder, tmp_path / "out", mode=mode)
    assert made.done == [operation.target for operation in planned.operations]
    assert export(folder, tmp_path / "out", mode=mode).already_done == made.done
    assert undo(tmp_path / "out").removed == made.done[::-1]
    after = tree(tmp_path)
    before.pop("out"), after.pop("out")  # the folder's own time
    assert after == before
    (tmp_path / "out" / made.done[-1]).write_text("mine")
    with pytest.raises(DataError, match="never replaced"):
        export(folder, tmp_path / "out", mode=mode)


def test_arrays_have_tables_but_no_files(tmp_path):
    run = make_run("", source="array")
    for mode in ("csv", "parquet", "json"):
        assert export(run, tmp_path / mode, mode=mode).done
    with pytest.raises(DataError, match="made of arrays"):
        export(run, tmp_path / "x", mode="fiftyone")


def test_a_run_may_be_given_as_it_is_or_with_its_catalog(tmp_path, folder):
    correct(folder, ("rename", [0], [], "Snow"))
    with Corrected(folder) as corrected:
        export(corrected, tmp_path / "corrected", mode="csv")
    export(corrected.clusters, tmp_path / "as it is", mode="csv")
    names = [{row["name"] for row in rows_of(tmp_path / of / "groups.csv")} for of in ("corrected", "as it is")]
    assert names == [{"Snow", ""}, {""}]
    (tmp_path / "run.catalog").unlink()
    export(folder, tmp_path / "no catalog", mode="csv")
    assert rows_of(tmp_path / "no catalog/groups.csv")[0]["taken_source"] == ""
    with pytest.raises(DataError, match="not a finished run"):
        export(tmp_path / "nowhere", tmp_path / "x", mode="csv")


def test_a_run_that_was_fitted_has_no_confidence(tmp_path):
    write_files(tmp_path / "pictures")
    run = make_run(tmp_path / "pictures", run_folder=tmp_path / "run")
    run = Clusters(run.run, run.items, run.levels, run.confidence * float("nan"), run.neighbors, run.groups)
    export(run, tmp_path / "out", mode="json")
    assert "confidence" not in json.loads((tmp_path / "out/groups.json").read_text())["groups"][0]["pictures"][0]
