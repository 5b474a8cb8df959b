"""A full disk, a library that cannot be written, files of every odd kind: nothing crashes, and nothing is lost."""

import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile

import pytest

import selfsort
from answers import HOME, PORT, TOKEN
from conftest import KINDS, draw, snapshot
from selfsort import Clusters, DataError, organize
from selfsort.photos.corrected import Corrected

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


def modes(folder):
    """Return what `snapshot` says and who may do what, of folders too: also that nothing came and went in them."""
    facts = {path: path.stat() for path in [folder, *folder.rglob("*")]}
    return snapshot(folder), {path: (stat.st_mode, stat.st_mtime_ns) for path, stat in facts.items()}


def pages_of(run):
    """Return the answers of the page for every picture of a run, small, middle and large."""
    server, testing = pytest.importorskip("selfsort.app.server"), pytest.importorskip("fastapi.testclient")
    with testing.TestClient(server.create_app(run, token=TOKEN, port=PORT), base_url=HOME) as page:
        page.get(f"/?token={TOKEN}")
        page.headers["x-selfsort-token"] = TOKEN
        n = len(Clusters.load(run).items)
        return {
            size: [page.get(f"/picture/{row}/{size}").status_code for row in range(n)]
            for size in ("small", "tile", "large")
        }


def command(*words, largest):
    """Run the command; no file may grow beyond `largest` bytes, as on a full disk."""
    return subprocess.run(
        [sys.executable, "-m", "selfsort.cli", *words],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest)),
    )


@posix
@pytest.mark.parametrize("largest", [1_000, 30_000, 100_000])  # cache, catalog, run
def test_a_full_disk_costs_no_correction(library, tmp_path, fresh_cache, largest):
    pictures, run = tmp_path / "pictures", tmp_path / "run"
    shutil.copytree(library.root, pictures)
    made = organize(pictures, run).run["created"]
    with Corrected(run) as corrected:
        corrected.correct("rename", groups=[0], name="Mine")
        corrected.correct("lock", paths=["disks/03.png"])
        entries, before = corrected.log.entries(), corrected.state()
    draw("disks", 50, 200).save(pictures / "new.png")
    originals = modes(pictures)
    result = command("organize", str(pictures), "-o", str(run), largest=largest)
    assert result.returncode == 1, result.stdout
    assert "Traceback" not in result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith("Error: ")]) == 1
    assert Clusters.load(run).run["created"] == made
    with Corrected(run) as corrected:
        assert corrected.log.entries() == entries
        assert corrected.state() == before
    assert modes(pictures) == originals
    clusters = organize(pictures, run)
    assert clusters.run["n_corrections"] == 2
    with Corrected(run) as corrected:
        after = corrected.state()
        assert after.locked == before.locked
        (locked,) = before.locked
        assert after.groups[locked] == before.groups[locked]
        assert "Mine" in after.names.values()


@posix
def test_a_correction_for_which_there_is_no_room_is_refused(own_run, tmp_path):
    result = command("correct", str(own_run), "rename", "0", "Mine", largest=10_000)
    assert result.returncode == 1
    assert "The catalog" in result.stderr
    assert "Nothing in it is lost" in result.stderr
    with Corrected(own_run) as corrected:
        assert corrected.log.entries() == []
    assert command("correct", str(own_run), "rename", "0", "Mine", largest=1 << 30).returncode == 0


def test_nothing_is_written_into_a_library(own_library, tmp_path):
    """Not even where it could be: as on a disk that may only be read, everything else works."""
    for path in [*own_library.root.rglob("*"), own_library.root]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    originals, run = modes(own_library.root), tmp_path / "run"
    try:
        organize(own_library.root, run)
        with Corrected(run) as corrected:
            corrected.correct("lock", paths=["disks/03.png"])
        clusters = organize(own_library.root, run)
        assert set(pages_of(run)["large"]) == {200, 404}
        for mode in ("copy", "symlink", "xmp", "csv"):
            selfsort.export(clusters, tmp_path / mode, mode=mode)
            selfsort.undo(tmp_path / mode)
        assert modes(own_library.root) == originals
    finally:
        for path in [own_library.root, *own_library.root.rglob("*")]:
            path.chmod(0o755)


def test_real_odd_files(data, tmp_path):
    """As a folder and as an archive: those that can be read are grouped, shown and handed out, the others explained."""
    with open(data / "photos/f1_edge_cases.csv", encoding="utf-8") as file:
        readable = {row["file"]: row["pillow_result"] == "ok" for row in csv.DictReader(file)}
    readable["made/truncated.jpg"] = True  # what is there of it is shown
    folder, run = tmp_path / "pictures", tmp_path / "run"
    with tarfile.open(data / "photos/f1_edge_cases.tar") as archive:
        archive.extractall(folder, filter="data")
    originals = modes(folder)
    clusters = organize(folder, run)
    status = dict(zip(*(clusters.items.column(name).to_pylist() for name in ("path", "status")), strict=True))
    assert {path: why == "ok" for path, why in status.items()} == readable
    assert all(why and "\n" not in why for why in status.values())
    answers = pages_of(run)
    assert answers["small"] == [200 if ok else 404 for ok in map(readable.get, status)]
    assert answers["tile"] == answers["large"] == answers["small"]
    result = selfsort.export(clusters, tmp_path / "out", mode="copy")
    assert {path for path, _ in result.skipped} == {path for path, ok in readable.items() if not ok}
    assert len(result.done) == sum(readable.values())
    assert modes(folder) == originals
    packed = organize(data / "photos/f1_edge_cases.tar")
    assert packed.items.column("status").to_pylist() == list(status.values())
    assert (packed.labels == clusters.labels).all()


def test_nothing_but_broken_files(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.jpg").write_bytes(b"x" * i)
    with pytest.raises(DataError, match=r"3 files could not be read \(2 × not an image.*; 1 × empty file\)"):
        organize(folder, tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="needs file names of any bytes")
def test_names_of_any_bytes_from_end_to_end(tmp_path):
    """organize → report → evaluate → export → undo."""
    names = [
        b"caf\xe9.png",
        b"line\nend.png",
        "雪 🌨.png".encode(),
        b" space ",
        b"-rf.png",
        b"quote\"'<b>&.png",
        b"%41.png",
    ]
    names += [b"folder \xff/" + name for name in names[:4]] + [
        b"back\\slash.png",
        b"semi;colon.png",
        b"a" * 251 + b".png",
    ]
    root = tmp_path / os.fsdecode(b"pictures \xe9\n\xf0\x9f\x98\x80")
    originals = {}
    for i, name in enumerate(names):
        path = root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(KINDS[i % 2], i).save(path, "PNG")
        originals[name] = path.read_bytes()
    run = tmp_path / os.fsdecode(b"run \xe9\n")
    clusters = organize(root, run)
    assert clusters.ok.all()
    assert clusters.items.column("path_bytes").to_pylist() == sorted(names)
    loaded = Clusters.load(run)
    assert loaded.run["root"] == str(root)
    report = (run / "report.html").read_bytes().decode("utf-8")  # valid for browsers
    assert "<b>&" not in report
    labels = tmp_path / "labels.csv"
    with labels.open("wb") as file:
        file.write(b"path,label\n")
        for i, name in enumerate(names):
            file.write(b'"%s",%d\n' % (name.replace(b'"', b'""'), i % 2))
    evaluation = selfsort.evaluate(loaded, labels)
    assert evaluation.protocol is not None
    json.loads(evaluation.to_json())
    result = selfsort.export(loaded, tmp_path / "out", mode="copy")
    assert result.skipped == []
    copies = [p for p in (tmp_path / "out").rglob("*") if p.is_file() and p.read_bytes() in originals.values()]
    assert len(copies) == len(names)
    selfsort.undo(tmp_path / "out")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob("*.png"))
    assert {os.fsencode(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()} == originals
    before = snapshot(run)
    organize(root, run)
    assert snapshot(run) == before
