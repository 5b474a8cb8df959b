"""A small run with its catalog, for the tests of what is handed out."""

import os

import pytest

from selfsort.clusters import Clusters
from selfsort.files import content_id
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.changes import Scanned
from selfsort.photos.corrected import Corrected
from test_export import FILES, make_run, tree, write_files

#: Key of each group of `FILES`: of 0 (a/one.jpg, b/ONE.jpg, b/one.jpg) and 1 (the emoji, no suffix).
KEYS = (1 << 20, (1 << 20) + 1)


def catalogued(tmp_path, files=FILES, **options):
    """Write pictures, their run and its catalog; return the run's folder."""
    root, folder = tmp_path / "pictures", tmp_path / "run"
    if not root.exists():
        write_files(root, files)
    made = make_run(root, files, **options)
    made.run |= {"n_corrections": 0, "kinds": {"photo": 5}, "selfsort": "0"}
    for group in made.groups:
        group["key"] = KEYS[0] + group["group"]
    made.groups.append(
        {
            "level": 0,
            "group": 0,
            "size": min(5, len(made.items)),
            "parent": None,
            "confidence": 1.0,
            "prototypes": [],
            "odd": [],
        }
        | {"kind": "photo", "suggested": {"name": "Photos", "evidence": []}}
    )
    made.save(folder)
    ids, paths = made.items.column("id").to_pylist(), made.items.column("path_bytes").to_pylist()
    columns = (paths, ids, made.items.column("size").to_pylist(), made.items.column("status").to_pylist())
    with Catalog(catalog_path(folder)) as catalog:
        catalog.scan(str(root), [Scanned(os.fsdecode(p), i, size, 10**18, s) for p, i, size, s in zip(*columns)])  # noqa: B905
        keys = {i: KEYS[0] + int(g) if g >= 0 else -1 for i, g in zip(ids, made.labels, strict=True) if i}
        catalog.add_grouping("f1", {content: (key, key) for content, key in keys.items()})
        first = content_id(files[next(iter(files))])
        facts = {"date": "2019-06-01T12:33:10", "offset": 120, "latitude": 48.8584, "longitude": 2.2945}
        catalog.add_facts("metadata", 1, {first: facts})
    return folder


def correct(folder, *corrections):
    """Make corrections: each an action, its groups, its paths, and a name."""
    with Corrected(folder) as corrected:
        for do, groups, paths, name in corrections:
            corrected.correct(do, groups=groups, paths=paths, name=name)


def hide(folder, *paths):
    with Corrected(folder) as corrected:
        corrected.log.add("hide", pictures=corrected.pictures(paths))


def files(folder):
    """What `tree` says of all but the folders, whose times tell that something was made and removed in them."""
    return {name: facts for name, facts in tree(folder).items() if facts[0] is not None}


def originals(root):
    """Return the content hash of every file below a folder."""
    return {str(path): content_id(path.read_bytes()) for path in root.rglob("*") if path.is_file()}


@pytest.fixture(name="folder")
def folder_of_run(tmp_path):
    """A run with its catalog; the originals must be the same after the test."""
    made = catalogued(tmp_path)
    before = originals(tmp_path / "pictures")
    yield made
    after = originals(tmp_path / "pictures")
    assert {path: after.get(path) for path in before} == before


def load(folder):
    return Clusters.load(folder)
