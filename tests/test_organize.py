import json
import os
import tarfile
import zipfile

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import adjusted_mutual_info_score

from conftest import KINDS, RUN_FILES, draw
from selfsort import Clusters, DataError, Settings, organize
from selfsort.features.layers import margin
from selfsort.learn.predict import predict

RUN_KEYS = {
    "schema",
    "selfsort",
    "method",
    "params",
    "seed",
    "level",
    "root",
    "source",
    "encoder",
    "n_items",
    "n_ok",
    "n_groups",
    "created",
    "seconds",
    "warnings",
    "versions",
    "fingerprint",
}


def paths(clusters):
    return clusters.items.column("path").to_pylist()


def assert_whole(clusters, n):
    """Check what holds for every result."""
    assert len(clusters.items) == n
    for name, dtype, shape in [
        ("labels", np.int64, (n,)),
        ("levels", np.int32, (n, 3 if clusters.run["level"] == 1 else 4)),
        ("confidence", np.float32, (n,)),
        ("map", np.float32, (n, 2)),
        ("embedding", np.float16, (n, clusters.embedding.shape[1])),
        ("neighbors", np.int32, (n, clusters.neighbors.shape[1])),
    ]:
        value = getattr(clusters, name)
        assert (value.dtype, value.shape) == (dtype, shape), name
    ok = clusters.ok
    assert (clusters.levels[~ok] == -1).all()
    assert (clusters.confidence[~ok] == 0).all()
    assert (clusters.neighbors[~ok] == -1).all()
    assert np.isnan(clusters.map[~ok]).all()
    assert np.isfinite(clusters.map[ok]).all()
    assert (clusters.embedding[~ok] == 0).all()
    assert ((clusters.confidence >= 0) & (clusters.confidence <= 1 + 1e-6)).all()
    assert not (clusters.neighbors == np.arange(n)[:, None]).any()
    assert np.isin(clusters.neighbors[ok], np.flatnonzero(ok)).all()
    assert [clusters.thumbnail(i) is not None for i in range(n)] == ok.tolist()
    facts = clusters.run
    assert (facts["n_items"], facts["n_ok"]) == (n, ok.sum())
    assert facts["n_groups"] == clusters.labels.max(initial=-1) + 1
    assert facts["n_nowhere"] == ((clusters.labels < 0) & ok).sum()
    json.dumps(facts)
    for g in clusters.groups:
        members = np.flatnonzero(clusters.levels[:, g["level"]] == g["group"])
        assert g["size"] == len(members) > 0
        assert set(g["prototypes"]) <= set(members.tolist())
        assert g["prototypes"]
        assert set(g["odd"]) <= set(members.tolist())
        parents = set(clusters.levels[members, g["level"] - 1].tolist()) if g["level"] else {None}
        assert parents == {g["parent"]}
    wanted = {(level, int(x)) for level, col in enumerate(clusters.levels.T) for x in set(col.tolist()) - {-1}}
    assert {(g["level"], g["group"]) for g in clusters.groups} == wanted
    for level in clusters.levels.T:
        sizes = np.bincount(level[level >= 0])
        assert (np.diff(sizes) <= 0).all()


# --- the run folder


def test_the_run_folder_holds_everything(run, library):
    assert {p.name for p in run.path.iterdir()} == RUN_FILES
    loaded = Clusters.load(run.path)
    assert_whole(loaded, len(library))
    assert_whole(run, len(library))
    assert np.array_equal(np.load(run.path / "labels.npy"), loaded.labels)
    assert loaded.run.keys() >= RUN_KEYS
    assert loaded.run["params"] == {
        "groups": None,
        "granularity": 1.0,
        "encoder": "efficientnet-lite0",
        "n_neighbors": None,
        "metadata": True,
        "looks": True,
        "text": False,
        "people": False,
        "learn": False,
        "seed": 0,
    }
    assert (loaded.run["root"], loaded.run["source"]) == (str(library.root), "folder")
    assert set(loaded.run["seconds"]) == {"find", "embed", "look", "neighbors", "groups", "map", "name", "report"}
    assert loaded.run["n_distinct"] == len(library.kinds) - len(library.copies)
    assert pq.read_table(run.path / "thumbnails.parquet").column_names == ["jpeg"]


def test_items_say_what_was_found(run, library):
    items = {row["path"]: row for row in run.items.to_pylist()}
    assert list(items) == sorted(items, key=os.fsencode)
    assert set(items) == set(library.kinds) | set(library.broken)
    from selfsort.files import content_id

    for name, row in items.items():
        content = (library.root / name).read_bytes()
        assert row["path_bytes"] == os.fsencode(name)
        assert row["size"] == len(content)
        assert row["id"] == content_id(content)
        if name in library.kinds:
            assert (row["status"], row["width"], row["height"]) == ("ok", 96, 96)
            assert row["format"] in ("JPEG", "PNG")
        else:
            assert row["status"] not in ("ok", "")
            assert "\n" not in row["status"]
            assert (row["width"], row["format"]) == (0, "")


def test_kinds_are_told_apart(run, library):

    rows = [i for i, path in enumerate(paths(run)) if path in library.kinds]
    truth = [library.kinds[paths(run)[i]] for i in rows]
    assert adjusted_mutual_info_score(truth, run.labels[rows]) > 0.9


def test_copies_share_everything(run, library):
    for a, b in library.copies:
        i, j = paths(run).index(a), paths(run).index(b)
        assert (run.levels[i] == run.levels[j]).all()
        for name in ("embedding", "map", "confidence"):
            assert np.array_equal(getattr(run, name)[i], getattr(run, name)[j])
        assert run.thumbnail(i) == run.thumbnail(j)


def test_the_result_in_memory_is_that_of_the_folder(run, library):
    memory = organize(library.root)
    assert memory.path is None
    for name in ("labels", "levels", "neighbors", "map", "confidence", "embedding"):
        assert np.array_equal(getattr(memory, name), getattr(run, name), equal_nan=True)


def test_the_same_seed_gives_the_same_result_in_one_process(library):
    first, again = (organize(library.root, settings=Settings(seed=7, granularity=2)) for _ in range(2))
    assert np.array_equal(first.levels, again.levels)
    assert np.array_equal(first.map, again.map, equal_nan=True)


# --- what cannot work is said before any work


@pytest.mark.parametrize(
    "settings",
    [
        {"groups": 0},
        {"groups": -3},
        {"groups": 2.5},
        {"groups": "3"},
        {"granularity": 0.0},
        {"granularity": float("nan")},
        {"granularity": 21},
        {"granularity": "fine"},
        {"n_neighbors": 0},
        {"n_neighbors": 1.5},
        {"seed": -1},
        {"seed": 2**32},
        {"seed": None},
    ],
)
def test_settings_that_cannot_work(settings):
    with pytest.raises(DataError):
        Settings(**settings)


def test_settings_may_be_numpy_numbers(library, tmp_path):
    settings = Settings(
        groups=np.int64(4),
        granularity=np.float32(1),
        n_neighbors=np.int32(5),
        seed=np.random.default_rng(0).integers(9),
    )
    clusters = organize(library.root, tmp_path / "run", settings=settings)
    assert Clusters.load(tmp_path / "run").run["params"]["groups"] == clusters.run["n_groups"] == 4


@pytest.mark.parametrize("groups", [1, 2, 5, 17, 55])
def test_the_number_of_groups_asked_for(library, groups):
    clusters = organize(library.root, settings=Settings(groups=groups))
    assert_whole(clusters, len(library))
    assert clusters.run["n_groups"] == groups
    assert clusters.run["n_nowhere"] == 0


def test_labels_without_their_column_are_refused_before_the_work(library, tmp_path):
    (tmp_path / "labels.csv").write_text("name,kind\n1,2\n")
    seen = set()
    with pytest.raises(DataError):
        organize(
            library.root, tmp_path / "run", labels=tmp_path / "labels.csv", progress=lambda *call: seen.add(call[0])
        )
    assert not seen & {"neighbors", "groups", "map"}


def test_labels_score_and_steer_nothing(library, tmp_path, run):
    clusters = organize(library.root, tmp_path / "run", labels="folders")
    assert np.array_equal(clusters.levels, run.levels)
    assert clusters.run["scores"]["ami"] > 0.9
    assert "protocol" in Clusters.load(tmp_path / "run").run


# --- learning how much an earlier layer counts


def test_what_is_learned_is_kept_only_where_it_groups_better(library, tmp_path, run, monkeypatch):
    learned = organize(library.root, tmp_path / "learned", settings=Settings(learn=True))
    assert_whole(learned, len(library))
    facts = learned.run["learned"]
    assert list(facts["modularity"]) == ["0.0", "0.5", "1.0"]
    gain = facts["modularity"][str(facts["weight"])] - facts["modularity"]["0.0"]
    assert gain > margin(learned.run["n_distinct"]) if facts["weight"] else gain == 0
    monkeypatch.setattr("selfsort.photos.pipeline.margin", lambda n: 1.0)
    kept = organize(library.root, settings=Settings(learn=True))
    assert kept.run["learned"]["weight"] == 0
    for name in ("levels", "neighbors", "map", "confidence"):
        assert np.array_equal(getattr(kept, name), getattr(run, name), equal_nan=True)


def test_the_best_weight_above_the_margin_is_taken(library, run, monkeypatch, tmp_path):
    monkeypatch.setattr("selfsort.photos.pipeline.margin", lambda n: -1.0)
    learned = organize(library.root, tmp_path / "run", settings=Settings(learn=True))
    weights = {float(weight): value for weight, value in learned.run["learned"]["modularity"].items()}
    assert learned.run["learned"]["weight"] == max((0.5, 1.0), key=weights.get)
    assert not np.array_equal(learned.neighbors, run.neighbors)
    groups = predict(tmp_path / "run", library.root).labels
    assert np.mean(groups == learned.labels) > 0.9  # by votes in the same space


def test_a_killed_run_goes_on_between_weights(library, tmp_path):
    expected = organize(library.root, settings=Settings(learn=True))

    begun, again = [], []

    def stop(stage, done, total):
        begun.append(stage)
        if begun.count("groups") == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        organize(library.root, tmp_path / "run", settings=Settings(learn=True), progress=stop)
    found = organize(
        library.root, tmp_path / "run", settings=Settings(learn=True), progress=lambda *call: again.append(call[0])
    )
    assert again.count("groups") == 2  # of the second weight and the third
    assert found.run["learned"] == expected.run["learned"]
    assert np.array_equal(found.levels, expected.levels)


def test_few_pictures_ask_for_a_larger_margin():
    assert margin(5000) == margin(1000) == 0.01
    assert margin(10) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "settings",
    [{"learn": True, "encoder": "model.onnx"}, {"learn": 1}, {"encoder": "efficientnet-lite0-layers"}],
)
def test_learning_that_cannot_work(settings):
    with pytest.raises(DataError, match="learn"):
        Settings(**settings)


# --- how many pictures there are


@pytest.mark.filterwarnings("error:invalid value")
@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_a_handful_of_pictures(tmp_path, n, learn):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(n):
        draw(KINDS[i], i).save(folder / f"{i}.png")
    clusters = organize(folder, tmp_path / "run", settings=Settings(learn=learn))
    assert_whole(clusters, n)
    assert_whole(Clusters.load(tmp_path / "run"), n)
    assert clusters.run["n_groups"] >= 1


@pytest.mark.filterwarnings("error:invalid value")
def test_many_copies_of_one_picture(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(25):
        draw("disks", 1).save(folder / f"{i}.png")
    clusters = organize(folder, tmp_path / "run")
    assert_whole(clusters, 25)
    assert clusters.labels.tolist() == [0] * 25


def test_pictures_that_look_the_same_and_differ_in_bytes(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(25):
        draw("checks", 0).save(folder / f"{i}.png")
        with (folder / f"{i}.png").open("ab") as file:
            file.write(b"%d" % i)
    clusters = organize(folder, tmp_path / "run")
    assert_whole(clusters, 25)
    assert clusters.run["n_distinct"] == 25


def test_a_collapse_is_a_warning(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 255, (40, 24, 24, 3), dtype=np.uint8)
    clusters = organize(pictures, settings=Settings(granularity=0.05))
    assert any("The largest of" in warning for warning in clusters.run["warnings"])


# --- where pictures come from


def content_of(clusters):
    return sorted(
        zip(clusters.items.column("id").to_pylist(), clusters.items.column("status").to_pylist(), strict=True)
    )


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip", "txt", "list"])
def test_every_source_gives_the_same_pictures(library, run, tmp_path, kind):
    names = sorted([*library.kinds, *library.broken])
    data = tmp_path / f"data.{kind}"
    if kind.startswith("tar"):
        with tarfile.open(data, "w:gz" if kind == "tar.gz" else "w") as archive:
            for name in names:
                archive.add(library.root / name, name)
    elif kind == "zip":
        with zipfile.ZipFile(data, "w") as archive:
            for name in names:
                archive.write(library.root / name, name)
    elif kind == "txt":
        data.write_text("\n".join(str(library.root / name) for name in names))
    else:
        data = [library.root / name for name in names]
    clusters = organize(data, tmp_path / "run")
    assert content_of(clusters) == content_of(run)
    assert np.array_equal(clusters.labels, run.labels)  # the rows have the same order
    assert clusters.run["source"] == ("list" if kind == "txt" else kind.split(".")[0])


def test_one_picture(library, tmp_path):
    clusters = organize(library.root / "disks/00.png", tmp_path / "run")
    assert_whole(clusters, 1)
    assert paths(clusters) == ["00.png"]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(12, 28, 28), (12, 28, 28, 1), (12, 20, 30, 3)])
def test_arrays(tmp_path, dtype, shape):
    pictures = np.random.default_rng(0).random(shape)
    pictures = (pictures * 255).astype(np.uint8) if dtype == np.uint8 else pictures.astype(dtype)
    clusters = organize(pictures, tmp_path / "run")
    assert_whole(clusters, 12)
    assert (clusters.run["source"], clusters.run["root"]) == ("array", "")
    assert clusters.ok.all()
