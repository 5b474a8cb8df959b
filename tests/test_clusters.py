import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from selfsort.clusters import Clusters, Figure, items_table
from selfsort.errors import DataError
from selfsort.run_folder import SCHEMA_VERSION, save_json, seal_run
from selfsort.run_schema import ARRAYS

N = 7
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="  # one pixel
)


def rows(n=N):
    return [
        {
            "id": f"{i:032x}" if i else "",
            "path": f"folder/é {i}.png",
            "path_bytes": b"folder/\xe9\n%d.png" % i,
            "size": i * 2**33,
            "width": i,
            "height": 2 * i,
            "format": "PNG",
            "status": "ok" if i else "empty file",
        }
        for i in range(n)
    ]


def make(n=N, **changes):
    rng = np.random.default_rng(0)
    levels = np.column_stack([np.zeros(n), np.arange(n) // 2]).astype(np.int32)
    levels[:1] = -1
    fields = {
        "run": {"schema": SCHEMA_VERSION, "level": 1, "root": "/pictures", "seed": 3},
        "items": items_table(rows(n)),
        "levels": levels,
        "confidence": rng.random(n, dtype=np.float32),
        "neighbors": rng.integers(0, max(n, 1), (n, 3), dtype=np.int32),
        "groups": [group_of(levels, level, number) for level in (0, 1) for number in set(levels[1:, level].tolist())],
        "map": rng.random((n, 2), dtype=np.float32),
        "embedding": rng.random((n, 5)).astype(np.float16),
        "thumbnails": [None, *(bytes([i]) * i for i in range(1, n))][:n],
    }
    return Clusters(**fields | changes)


def group_of(levels, level, number):
    rows = np.flatnonzero(levels[:, level] == number).tolist()
    parent = None if level == 0 else int(levels[rows[0], level - 1])
    return {
        "level": level,
        "group": number,
        "size": len(rows),
        "parent": parent,
        "confidence": 0.5,
        "prototypes": rows[:2],
        "odd": rows[2:],
    }


def make_trained(n=N, **changes):
    fields = {
        "probabilities": np.random.default_rng(0).random((n, 4), dtype=np.float32),
        "metrics": [{"stage": "été\u2028", "epoch": epoch, "lr": 1e-3, "loss": 1 / epoch} for epoch in (1, 2, 3)],
        "figures": [Figure("curves", "Curves", "They <fall>.", PNG), Figure("A-2_b", "雪", "été", PNG)],
    }
    return make(n, **fields | changes)


def assert_same(a, b):
    assert a.run == b.run
    assert (a.groups, a.metrics, a.figures) == (b.groups, b.metrics, b.figures)
    assert a.items.equals(b.items)
    for name in ARRAYS:
        first, second = getattr(a, name), getattr(b, name)
        assert (first is None) == (second is None)
        if first is not None:
            assert first.dtype == second.dtype
            assert np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
    assert [a.thumbnail(i) for i in range(len(a.items))] == [b.thumbnail(i) for i in range(len(b.items))]


@pytest.mark.parametrize("made", [make, make_trained])
@pytest.mark.parametrize("n", [0, 1, N])
def test_what_is_saved_is_loaded(tmp_path, n, made):
    clusters = made(n)
    clusters.save(tmp_path / "a" / "run")
    loaded = Clusters.load(tmp_path / "a" / "run")
    assert_same(clusters, loaded)
    assert loaded.path == clusters.path == tmp_path / "a" / "run"
    assert not [p for p in (tmp_path / "a" / "run").rglob("*") if p.name.startswith(".")]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted as Linux lists them")
def test_loading_leaves_no_thread_behind(tmp_path):
    """One that still holds a file when Python ends aborts the process, now and then."""
    make(200).save(tmp_path / "run")
    code = (
        "import os, sys, pyarrow.parquet; from selfsort.clusters import Clusters; count = lambda: "
        "len(os.listdir('/proc/self/task')); before = count(); Clusters.load(sys.argv[1]); print(count() - before)"
    )
    run = [sys.executable, "-c", code, tmp_path / "run"]
    assert subprocess.run(run, capture_output=True, check=True, text=True).stdout == "0\n"


def test_what_is_optional_may_be_missing(tmp_path):
    clusters = make(map=None, embedding=None, thumbnails=None)
    clusters.save(tmp_path / "run")
    loaded = Clusters.load(str(tmp_path / "run"))
    assert_same(clusters, loaded)
    assert loaded.thumbnail(3) is None
    assert (loaded.metrics, loaded.figures, loaded.probabilities) == ([], [], None)
    assert not {"metrics.jsonl", "figures.json", "figures"} & {path.name for path in (tmp_path / "run").iterdir()}


def test_metrics_are_strict_json_and_one_line_each(tmp_path):
    rows = [{"epoch": 1, "loss": float("nan"), "kl": np.float32(0.5)}, {"epoch": np.int64(2), "loss": float("inf")}]
    make(metrics=rows).save(tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert lines == ['{"epoch": 1, "loss": null, "kl": 0.5}', '{"epoch": 2, "loss": null}']
    assert Clusters.load(tmp_path).metrics == [{"epoch": 1, "loss": None, "kl": 0.5}, {"epoch": 2, "loss": None}]


def test_figures_are_files_with_a_list_of_them(tmp_path):
    make_trained().save(tmp_path)
    assert (tmp_path / "figures" / "curves.png").read_bytes() == PNG
    entries = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert entries[0] == {"name": "curves", "title": "Curves", "caption": "They <fall>."}


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a.png", ".a", "a b", "a\n"])
def test_the_name_of_a_figure_leads_nowhere_else(tmp_path, name):
    with pytest.raises(DataError, match="name"):
        Figure(name, "", "", PNG)
    make_trained().save(tmp_path)
    (tmp_path / "figures.json").write_text(json.dumps([{"name": name, "title": "", "caption": ""}]))
    seal_run(tmp_path)
    with pytest.raises(DataError, match="damaged"):
        Clusters.load(tmp_path)


def test_figures_are_whole_and_have_names_of_their_own():
    for png in (b"", b"\xff\xd8\xff", PNG[:-1], PNG[1:]):
        with pytest.raises(DataError, match="not a whole PNG"):
            Figure("a", "", "", png)
    with pytest.raises(DataError, match="name of its own: got a, a"):
        make(figures=[Figure("a", "", "", PNG), Figure("a", "", "", PNG)])


def test_labels_and_ok():
    clusters = make()
    assert clusters.labels.dtype == np.int64
    assert clusters.labels.tolist() == [-1, 0, 1, 1, 2, 2, 3]
    assert clusters.ok.tolist() == [False] + [True] * 6


@pytest.mark.parametrize("name", [*(name for name in ARRAYS if name not in ("labels", "merges")), "thumbnails"])
def test_every_array_has_one_row_per_item(name):
    value = getattr(make_trained(), name)
    with pytest.raises(DataError, match=f"7 items, but {name} has 6 rows"):
        make(**{name: value[:-1]})


def test_merges_fit_the_finest_groups():
    n_finest = int(make().levels[:, -1].max()) + 1
    merges = np.array([[0, group] for group in range(1, n_finest)], np.int32)
    assert make(merges=merges).merges is merges
    for wrong in (merges[:-1], merges[:, :1], merges + n_finest):
        with pytest.raises(DataError, match="merges"):
            make(merges=wrong)


@pytest.mark.parametrize("level", [-1, 2])
def test_the_default_level_is_one_of_the_levels(level):
    with pytest.raises(DataError, match=f"level {level}"):
        make(run={"level": level})


def test_a_run_without_schema_columns_is_refused():
    with pytest.raises(KeyError):
        items_table([{"path": "a"}])


@pytest.mark.parametrize("content", [None, "", "{", "[1, 2]", "null", '"text"', "{}", '{"schema": "one", "level": 0}'])
def test_what_is_no_run(tmp_path, content):
    make().save(tmp_path)
    if content is None:
        (tmp_path / "run.json").unlink()
    else:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(DataError, match="run"):
        Clusters.load(tmp_path)


def test_a_run_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        Clusters.load(tmp_path / "nowhere")


def test_a_run_of_a_newer_selfsort(tmp_path):
    make().save(tmp_path)
    run = json.loads((tmp_path / "run.json").read_text()) | {"schema": SCHEMA_VERSION + 1}
    (tmp_path / "run.json").write_text(json.dumps(run))
    (tmp_path / "SHA256SUMS").unlink()  # which it may write in another way
    with pytest.raises(DataError, match="Update selfsort"):
        Clusters.load(tmp_path)


FILES = ["items.parquet", "groups.json", "levels.npy", "confidence.npy", "neighbors.npy", "map.npy", "embedding.npy"]
TRAINED = ["probabilities.npy", "metrics.jsonl", "figures.json", "figures/A-2_b.png"]


@pytest.mark.parametrize("name", [*FILES, "thumbnails.parquet", *TRAINED])
@pytest.mark.parametrize("damage", ["empty", "half", "noise", "other"])
@pytest.mark.parametrize("by", ["chance", "somebody"])
def test_damaged_files_are_named_as_damage(tmp_path, name, damage, by):
    make_trained().save(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    if damage == "other":  # a whole file of another run
        make_trained(3).save(tmp_path / "other")
        if name in ("groups.json", *TRAINED[1:]):
            pytest.skip("may hold any groups, metrics and figures")
        shutil.copyfile(tmp_path / "other" / name, path)
    else:
        path.write_bytes({"empty": b"", "half": content[: len(content) // 2], "noise": bytes(len(content))}[damage])
    if by == "somebody":
        seal_run(tmp_path)
    with pytest.raises(DataError) as caught:
        Clusters.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["[1]\n", "{}\nnull\n", "{} {}\n", "\n"])
def test_metrics_of_another_shape_are_damage(tmp_path, content):
    make_trained().save(tmp_path)
    (tmp_path / "metrics.jsonl").write_text(content)
    seal_run(tmp_path)
    with pytest.raises(DataError, match="damaged"):
        Clusters.load(tmp_path)


@pytest.mark.parametrize("content", ["null", "3", '{"a": 1}', "[1]", '["a"]', '[{"name": "curves"}]', '[{"name": 3}]'])
def test_a_list_of_figures_of_another_shape_is_damage(tmp_path, content):
    make_trained().save(tmp_path)
    (tmp_path / "figures.json").write_text(content)
    seal_run(tmp_path)
    with pytest.raises(DataError, match="damaged"):
        Clusters.load(tmp_path)


@pytest.mark.parametrize("name", [*(f for f in FILES if f not in ("map.npy", "embedding.npy")), TRAINED[-1]])
def test_missing_files_are_named_as_damage(tmp_path, name):
    make_trained().save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match="damaged"):
        Clusters.load(tmp_path)
    seal_run(tmp_path)
    with pytest.raises(DataError, match="damaged"):
        Clusters.load(tmp_path)


def test_arrays_of_objects_are_never_unpickled(tmp_path):
    make().save(tmp_path)

    class Evil:
        def __reduce__(self):
            return (sys.exit, (7,))

    np.save(tmp_path / "map.npy", np.array([Evil()] * N, dtype=object), allow_pickle=True)
    seal_run(tmp_path)
    with pytest.raises(DataError):
        Clusters.load(tmp_path)


def test_json_keeps_undecodable_names(tmp_path):
    value = {"root": "/caf\udce9/\n雪"}
    save_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == value
    save_json(tmp_path / "b.json", {"root": "雪"})
    assert "雪" in (tmp_path / "b.json").read_text(encoding="utf-8")
