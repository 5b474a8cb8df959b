import csv
import json
import os

import numpy as np
import pytest

from selfsort import evaluation
from selfsort.clusters import Clusters, items_table
from selfsort.errors import DataError
from selfsort.figures import confusion_png

PATHS = ["cats/a.jpg", "cats/b.jpg", "dogs/c.jpg", "dogs/d.jpg", "owls/deep/e.jpg", "top.jpg", "dogs/broken.jpg"]


def make_run(paths=PATHS, root="/pictures", broken=("dogs/broken.jpg",), raw=None):
    names = [os.fsencode(path) for path in paths] if raw is None else raw
    rows = [
        {
            "id": f"{i:032x}",
            "path": name.decode("utf-8", "backslashreplace"),
            "path_bytes": name,
            "size": 1,
            "width": 1,
            "height": 1,
            "format": "JPEG",
            "status": "truncated file" if path in broken else "ok",
        }
        for i, (path, name) in enumerate(zip(paths, names, strict=True))
    ]
    n = len(rows)
    ok = np.array([row["status"] == "ok" for row in rows])
    fine = np.where(ok, np.minimum(np.arange(n) // 2, 2), -1)
    levels = np.stack([np.where(ok, 0, -1), fine], axis=1).astype(np.int32)
    levels[min(5, n - 1), 1] = -1  # a picture that belongs nowhere
    neighbors = np.stack([(np.arange(n) + 1) % n, (np.arange(n) - 1) % n], axis=1).astype(np.int32)
    run = {"level": 1, "root": root, "method": "graph", "seed": 3, "encoder": {"name": "default"}}
    return Clusters(run, items_table(rows), levels, np.full(n, 0.5, np.float32), neighbors)


@pytest.fixture
def run():
    return make_run()


def write_csv(folder, rows, header=("path", "label"), encoding="utf-8"):
    path = folder / "labels.csv"
    with open(path, "w", newline="", encoding=encoding, errors="surrogateescape") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def test_folders_give_the_parent_folder_and_nothing_at_the_top(run):
    rows, labels = evaluation.read_labels("folders", run)
    assert rows.tolist() == [0, 1, 2, 3, 4, 6]
    assert labels.tolist() == ["cats", "cats", "dogs", "dogs", "deep", "dogs"]


def test_folders_without_folders_is_an_error():
    with pytest.raises(DataError, match="2 pictures lie directly in /pictures"):
        evaluation.read_labels("folders", make_run(["a.jpg", "b.jpg"]))


def test_every_way_to_write_a_path_is_understood(tmp_path, run):
    spellings = ["cats/a.jpg", "./cats/b.jpg", "dogs\\c.jpg", "/pictures/dogs/d.jpg", ".\\owls\\deep\\e.jpg"]
    source = write_csv(tmp_path, [(path, f"l{i}") for i, path in enumerate(spellings)], encoding="utf-8-sig")
    rows, labels = evaluation.read_labels(source, run)
    assert rows.tolist() == [0, 1, 2, 3, 4]
    assert labels.tolist() == ["l0", "l1", "l2", "l3", "l4"]


@pytest.mark.skipif(os.name == "nt", reason="file names are text there")
def test_paths_that_are_not_text_match_exactly_and_as_shown(tmp_path):
    run = make_run(["1", "2", "3"], raw=[b"caf\xe9.jpg", b"na\xefve.jpg", "雪 🌨.jpg".encode()], broken=())
    source = tmp_path / "labels.csv"
    source.write_bytes(b"file,label\ncaf\xe9.jpg,a\xff\nna\\xefve.jpg,b\n" + "雪 🌨.jpg,雪\n".encode())
    rows, labels = evaluation.read_labels(str(source), run)
    assert rows.tolist() == [0, 1, 2]
    assert labels.tolist() == ["a\\xff", "b", "雪"]


@pytest.mark.skipif(os.name == "nt", reason="a backslash is a separator there")
def test_a_backslash_in_a_name_is_not_a_separator_if_the_name_exists(tmp_path):
    run = make_run(["a\\b.jpg", "a/b.jpg"], broken=())
    rows, labels = evaluation.read_labels(write_csv(tmp_path, [("a\\b.jpg", "x"), ("a/b.jpg", "y")]), run)
    assert labels[np.argsort(rows)].tolist() == ["x", "y"]


def test_protocol_counts_every_picture_once(tmp_path, run):
    rows = [
        ("cats/a.jpg", "cat", "1"),
        ("cats/b.jpg", "cat", "0"),
        ("dogs/c.jpg", "dog", "1"),
        ("dogs/d.jpg", "dog", "no"),
        ("top.jpg", "cat", "yes"),
        ("dogs/broken.jpg", "dog", "1"),
        ("not/there.jpg", "dog", "1"),
    ]
    result = evaluation.evaluate(run, write_csv(tmp_path, rows, ("path", "label", "eval")))
    protocol = result.protocol
    assert protocol["left_out"] == {"eval=0": 2, "no label": 1, "unreadable": 1}
    assert (protocol["n_items"], protocol["n_scored"], protocol["labels_without_picture"]) == (7, 3, 1)
    assert protocol["n_items"] == protocol["n_scored"] + sum(protocol["left_out"].values())
    assert (protocol["level"], protocol["seed"], protocol["data"]) == (1, 3, "/pictures")
    assert result.scores["n_unassigned"] == 1
    assert result.clusters[-1] == -1
    assert "labels were not seen" in protocol["fit"]


def test_json_has_scores_and_protocol(run):
    data = json.loads(evaluation.evaluate(run, "folders").to_json())
    assert set(data) == {"scores", "protocol"}
    assert {"ami", "ari", "acc", "acc_many_to_one", "nmi", "nmi_geometric", "ece"} <= set(data["scores"])
    assert data["scores"]["ami"] == pytest.approx(1.0)


def test_another_level_has_its_own_scores_and_no_calibration(run):
    coarse = evaluation.evaluate(run, "folders", level=0)
    assert coarse.scores["n_clusters"] == 1
    assert coarse.scores["ami"] == pytest.approx(0)
    assert "ece" not in coarse.scores  # the confidence is of the default level
    assert coarse.protocol["level_chosen"] == "asked for"
    with pytest.raises(DataError, match="levels 0 to 1: got level 2"):
        evaluation.evaluate(run, "folders", level=2)


def test_neighbors_without_label_are_not_counted(tmp_path, run):
    source = write_csv(tmp_path, [("cats/a.jpg", "x"), ("cats/b.jpg", "x"), ("dogs/d.jpg", "y")])
    # Nearest: a -> b (same), b -> c (no label), d -> e (no label).
    assert evaluation.evaluate(run, source).scores["neighbor_purity_1"] == 1.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,class\na,b\n", "'name', 'class'"),
        ("path,class\na,b\n", "'path', 'class'"),
        ("", r"it has \[\]"),
        ("path,label\n", "the file has no row with a label"),
        ("path,label\nelsewhere/a.jpg,cat\n", "has 'elsewhere/a.jpg', the run has 'cats/a.jpg'"),
        ("path,label\ncats/a.jpg,cat\n./cats/a.jpg,dog\n", "two labels, 'cat' and 'dog'"),
        ("path,label,eval\ncats/a.jpg,cat,0\n", "None of the 0 labeled"),
        ("path,label\ndogs/broken.jpg,cat\n", "None of the 1 labeled"),
        ("path,label\ncats/a.jpg,\n", "has no row with a label"),
    ],
)
def test_wrong_label_files_are_named(tmp_path, run, content, message):
    source = tmp_path / "labels.csv"
    source.write_text(content)
    with pytest.raises(DataError, match=message):
        evaluation.evaluate(run, source)


def test_missing_label_file_is_named(tmp_path, run):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        evaluation.read_labels(tmp_path / "none.csv", run)


def test_the_same_label_twice_is_no_conflict(tmp_path, run):
    source = write_csv(tmp_path, [("cats/a.jpg", "cat"), ("cats/a.jpg", "cat"), ("dogs/c.jpg", "dog")])
    assert evaluation.read_labels(source, run)[0].tolist() == [0, 2]


def test_confusion_figure_is_a_picture_of_any_size(run, recwarn):
    small = confusion_png(evaluation.evaluate(run, "folders"))
    rng = np.random.default_rng(0)
    matrix = rng.dirichlet(np.ones(170), 180)
    names = [f"{i} $x$ 雪 with a very long name" for i in range(180)]
    base = evaluation.evaluate(run, "folders")
    large = confusion_png(evaluation.Evaluation(base.scores, base.protocol, matrix, names, list(range(170))))
    assert small.startswith(b"\x89PNG")
    assert large.startswith(b"\x89PNG")
    assert not recwarn
