import json
import shutil
import sys

import numpy as np
import pytest

from selfsort.clusters import ARRAYS, SCHEMA_VERSION, Clusters, items_table, save_json
from selfsort.errors import DataError

N = 7


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
        "groups": [{"level": 1, "group": 0, "size": 2, "prototypes": [2, 3], "odd": []}],
        "map": rng.random((n, 2), dtype=np.float32),
        "embedding": rng.random((n, 5)).astype(np.float16),
        "thumbnails": [None, *(bytes([i]) * i for i in range(1, n))][:n],
    }
    return Clusters(**fields | changes)


def assert_same(a, b):
    assert a.run == b.run
    assert a.groups == b.groups
    assert a.items.equals(b.items)
    for name in ARRAYS:
        first, second = getattr(a, name), getattr(b, name)
        assert (first is None) == (second is None)
        if first is not None:
            assert first.dtype == second.dtype
            assert np.array_equal(first, second)
    assert [a.thumbnail(i) for i in range(len(a.items))] == [b.thumbnail(i) for i in range(len(b.items))]


@pytest.mark.parametrize("n", [0, 1, N])
def test_what_is_saved_is_loaded(tmp_path, n):
    clusters = make(n)
    clusters.save(tmp_path / "a" / "run")
    loaded = Clusters.load(tmp_path / "a" / "run")
    assert_same(clusters, loaded)
    assert loaded.path == clusters.path == tmp_path / "a" / "run"
    assert not [p for p in (tmp_path / "a" / "run").iterdir() if p.name.startswith(".")]


def test_what_is_optional_may_be_missing(tmp_path):
    clusters = make(map=None, embedding=None, thumbnails=None)
    clusters.save(tmp_path / "run")
    loaded = Clusters.load(str(tmp_path / "run"))
    assert_same(clusters, loaded)
    assert loaded.thumbnail(3) is None


def test_labels_and_ok():
    clusters = make()
    assert clusters.labels.dtype == np.int64
    assert clusters.labels.tolist() == [-1, 0, 1, 1, 2, 2, 3]
    assert clusters.ok.tolist() == [False] + [True] * 6


@pytest.mark.parametrize("name", ["levels", "confidence", "neighbors", "map", "embedding", "thumbnails"])
def test_every_array_has_one_row_per_item(name):
    value = getattr(make(), name)
    with pytest.raises(DataError, match=f"7 items, but {name} has 6 rows"):
        make(**{name: value[:-1]})


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
    with pytest.raises(DataError, match="Update selfsort"):
        Clusters.load(tmp_path)


FILES = ["items.parquet", "groups.json", "levels.npy", "confidence.npy", "neighbors.npy", "map.npy", "embedding.npy"]


@pytest.mark.parametrize("name", [*FILES, "thumbnails.parquet"])
@pytest.mark.parametrize("damage", ["empty", "half", "noise", "other"])
def test_damaged_files_are_named_as_damage(tmp_path, name, damage):
    make().save(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    if damage == "other":  # a whole file of another run
        make(3).save(tmp_path / "other")
        if name == "groups.json":
            pytest.skip("may hold any groups")
        shutil.copyfile(tmp_path / "other" / name, path)
    else:
        path.write_bytes({"empty": b"", "half": content[: len(content) // 2], "noise": bytes(len(content))}[damage])
    with pytest.raises(DataError):
        Clusters.load(tmp_path)


@pytest.mark.parametrize("name", [f for f in FILES if f not in ("map.npy", "embedding.npy")])
def test_missing_files_are_named_as_damage(tmp_path, name):
    make().save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match="damaged"):
        Clusters.load(tmp_path)


def test_arrays_of_objects_are_never_unpickled(tmp_path):
    make().save(tmp_path)

    class Evil:
        def __reduce__(self):
            return (sys.exit, (7,))

    np.save(tmp_path / "map.npy", np.array([Evil()] * N, dtype=object), allow_pickle=True)
    with pytest.raises(DataError):
        Clusters.load(tmp_path)


def test_json_keeps_undecodable_names(tmp_path):
    value = {"root": "/caf\udce9/\n雪"}
    save_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == value
    save_json(tmp_path / "b.json", {"root": "雪"})
    assert "雪" in (tmp_path / "b.json").read_text(encoding="utf-8")
