"""Pictures by their paths and by what is known of them: `list`, `groups RUN N`, and paths as people have them."""

import base64
import csv
import errno
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from conftest import draw
from selfsort import Clusters, DataError, export, organize
from selfsort.cli import main
from selfsort.cli.output import shown
from selfsort.clusters import save_array
from selfsort.photos.corrected import Corrected
from selfsort.photos.locate import Locator
from selfsort.photos.selection import select
from selfsort.photos.trash import plan_trash
from test_cli import error, ok

NAMES = ["plain.png", "a/plain.png", "a/b c.png", "a/-rf.png", "line\nend.png", "caf\u00e9.png", "=1+1.png"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A library with names that are hard, two files that cannot be read, and its run."""
    folder = tmp_path_factory.mktemp("commands")
    names = [os.fsencode(name) for name in NAMES] + [b"caf\xe9.png"]
    for number, name in enumerate(names):
        path = folder / "pictures" / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(("stripes", "disks")[number % 2], number).save(path)
    (folder / "pictures/cut.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (folder / "pictures/a/text.jpg").write_bytes(b"hello")
    for day in (1, 2):
        draw("pages", day).save(folder / f"pictures/IMG_2021070{day}_120000.png")
    organize(folder / "pictures", folder / "run")
    return folder


@pytest.fixture
def own(made, tmp_path):
    """A copy of it that may be changed; the run knows the pictures in their first place."""
    for name in ("run", "run.catalog"):
        (shutil.copytree if (made / name).is_dir() else shutil.copy)(made / name, tmp_path / name)
    return tmp_path


def rows(run, *paths):
    return Locator(Clusters.load(run)).rows(paths)


def exact(run):
    return Clusters.load(run).items.column("path_bytes").to_pylist()


def test_every_spelling_of_a_path_is_taken(made, monkeypatch):
    run, root = made / "run", made / "pictures"
    for row, path in enumerate(exact(run)):
        name = os.fsdecode(path)
        monkeypatch.chdir(made)
        spellings = [name, f"{root}/{name}", f"pictures/{name}", f"./pictures/{name}", f"pictures/a/../{name}"]
        if path != b"caf\xe9.png":
            spellings.append(shown(name))
        monkeypatch.chdir(made)
        assert rows(run, *spellings) == [row] * len(spellings), name
        monkeypatch.chdir(root)
        assert rows(run, f"./{name}", name) == [row] * 2
        monkeypatch.chdir(root / "a")
        assert rows(run, f"../{name}") == [row]


def test_a_library_reached_through_a_link(made, tmp_path):
    (tmp_path / "link").symlink_to(made / "pictures")
    assert rows(made / "run", str(tmp_path / "link/a/b c.png")) == rows(made / "run", "a/b c.png")


def test_a_name_that_could_be_two_pictures_is_refused(made, monkeypatch):
    run = made / "run"
    monkeypatch.chdir(made / "pictures/a")
    with pytest.raises(DataError, match="could be two pictures"):
        rows(run, "plain.png")
    names = [os.fsdecode(path) for path in exact(run)]
    assert rows(run, "./plain.png") == [names.index("a/plain.png")]
    assert rows(run, str(made / "pictures/plain.png")) == [names.index("plain.png")]


@pytest.mark.parametrize("path", ["", "no.png", "/etc/passwd", "..", "pictures", "a"])
def test_what_is_no_picture_is_said(made, path):
    with pytest.raises(DataError, match="selfsort list RUN"):
        rows(made / "run", path)


def test_corrections_and_the_trash_take_any_path(own, made, monkeypatch):
    monkeypatch.chdir(made)
    ok("correct", own / "run", "hide", "pictures/a/b c.png")
    ok("correct", own / "run", "hide", made / "pictures/plain.png")
    assert {of["path"] for of in select(own / "run") if of["hidden"]} == {"a/b c.png", "plain.png"}
    assert [of.path for of in plan_trash(Clusters.load(own / "run"), ["./pictures/a/plain.png"]).files] == [
        "a/plain.png"
    ]


def test_list_gives_exact_paths_to_pipes(made):
    run, root = made / "run", made / "pictures"
    call = [sys.executable, "-m", "selfsort.cli", "list", str(run), "-0"]
    relative = subprocess.run(call, capture_output=True, check=True).stdout
    assert relative.split(b"\0") == [*exact(run), b""]
    absolute = subprocess.run([*call, "--absolute"], capture_output=True, check=True).stdout
    assert all(os.path.lexists(path) for path in absolute.split(b"\0")[:-1])
    assert len(ok("list", run).splitlines()) == len(exact(run))  # one line each, whatever is in the name
    found = {of["path_bytes"]: of for of in select(run)}
    as_json = json.loads(ok("list", run, "--json"))["pictures"]
    assert {base64.b64decode(of["path_base64"]) for of in as_json if "path_base64" in of} == {b"caf\xe9.png"}
    assert len(as_json) == len(found)
    assert root.exists()


def test_list_by_what_is_known(own):
    run = own / "run"
    unreadable = ok("list", run, "--unreadable").splitlines()
    assert [line.split(": ")[0] for line in unreadable] == ["a/text.jpg", "cut.jpg"]
    assert "not an image" in unreadable[0]
    assert "selfsort list" in ok("info", run)
    assert [of["path"] for of in select(run, after="2021", before="2022")] == [
        "IMG_20210701_120000.png",
        "IMG_20210702_120000.png",
    ]
    assert [of["path"] for of in select(run, after="2021-07-02")] == ["IMG_20210702_120000.png"]
    assert [of["path"] for of in select(run, before="2021-07-01T12:01")] == ["IMG_20210701_120000.png"]
    assert select(run, before="1900") == []
    kinds = {of["kind"] for of in select(run) if of["kind"]}
    assert sum(len(select(run, kind=[kind])) for kind in kinds) == len(exact(run)) - 2
    for wrong in (
        ("--kind", "x"),
        ("--before", "soon"),
        ("--after", "2021-13"),
        ("--group", "77"),
        ("-0", "--absolutely"),
    ):
        error("list", run, *wrong, code=2 if "-0" in wrong else 1)


def test_pictures_of_a_group_are_those_after_corrections(own):
    run = own / "run"
    with Corrected(run) as corrected:
        corrected.correct("split", paths=["plain.png", "a/plain.png"])
        number = max(corrected.numbers(corrected.state()).values())
    assert ok("groups", run, str(number)).splitlines() == [
        f"Group {number}: 2 pictures",
        "  a/plain.png",
        "  plain.png",
    ]
    assert [of["path"] for of in select(run, groups=[number])] == ["a/plain.png", "plain.png"]
    facts = json.loads(ok("groups", run, str(number), "--json"))
    assert facts["group"] == number
    assert len(facts["pictures"]) == facts["size"] == 2
    assert "There is no group 99" in error("groups", run, "99")
    with Corrected(run) as corrected:
        corrected.correct("not-this", paths=["plain.png"])
    assert [of["path"] for of in select(run, groups=[-1])] == ["plain.png"]


def test_no_cell_of_a_csv_is_a_formula(own):
    run = own / "run"
    with Corrected(run) as corrected:
        for number, name in zip(list(Clusters.load(run).numbers.values()), ["=1+1", "@x", " +2", "-3"], strict=False):
            corrected.correct("rename", groups=[number], name=name)
    export(run, own / "out", mode="csv")
    data = (own / "out/groups.csv").read_bytes()
    table = list(csv.DictReader(io.StringIO(os.fsdecode(data), newline="")))
    assert any(row["name"].startswith("'") for row in table)
    for row in table:
        assert not any(str(row[column]).lstrip().startswith(("=", "+", "@")) for column in row)
        assert not row["name"].startswith("-")
    assert "./=1+1.png" in {row["path"] for row in table}
    assert rows(run, "./=1+1.png")


@pytest.mark.parametrize("command", ["info", "groups", "list"])
@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_standard_output_is_one_line(made, command, options):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "selfsort.cli", command, str(made / "run"), *options],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "standard output cannot be written: No space left" in done.stderr


@pytest.mark.parametrize("command", ["groups", "duplicates", "events", "flaws", "catalog", "list", "info"])
def test_what_only_reads_writes_nothing(own, command):
    before = {path: path.stat().st_mtime_ns for path in (own, *own.rglob("*"))}
    result = CliRunner().invoke(main, [command, str(own / "run")])
    assert result.exit_code == 0, result.output
    assert {path: path.stat().st_mtime_ns for path in (own, *own.rglob("*"))} == before


def test_a_library_that_was_moved_is_one_line(made, tmp_path):
    shutil.copytree(made / "pictures", tmp_path / "pictures")
    organize(tmp_path / "pictures", tmp_path / "run")
    (tmp_path / "pictures").rename(tmp_path / "photos")
    for command in (
        ("export", tmp_path / "run", tmp_path / "out", "--mode", "copy"),
        ("export", tmp_path / "run", tmp_path / "out", "--mode", "xmp"),
        ("trash", tmp_path / "run", "plain.png", "--yes"),
    ):
        said = error(*command)
        assert f"were in {tmp_path / 'pictures'}" in said
        assert "selfsort organize NEW_FOLDER -o" in said
        assert len(said) < 400
    (tmp_path / "pictures").mkdir()  # the place where a disk was mounted
    assert "they are not there now" in error("export", tmp_path / "run", tmp_path / "out", "--mode", "copy")
    (tmp_path / "pictures").rmdir()
    ok("export", tmp_path / "run", tmp_path / "table", "--mode", "csv")  # needs no pictures
    ok("organize", tmp_path / "photos", "-o", tmp_path / "run")  # the command that is named; no --replace
    ok("export", tmp_path / "run", tmp_path / "out", "--mode", "copy")


def test_long_lists_of_what_is_left_out_are_cut(tmp_path):
    (tmp_path / "pictures").mkdir()
    for number in range(30):
        draw("disks", number).save(tmp_path / f"pictures/{number:02}.png")
    organize(tmp_path / "pictures", tmp_path / "run")
    for number in range(25):
        (tmp_path / f"pictures/{number:02}.png").unlink()
    said = ok("export", tmp_path / "run", tmp_path / "out", "--mode", "copy")
    assert said.count("left out: ") == 10
    file = tmp_path / "run.left-out.txt"
    assert f"... and 15 more: {file} lists all 25." in said
    assert len(file.read_text().splitlines()) == 26
    facts = json.loads(ok("export", tmp_path / "run", tmp_path / "out2", "--mode", "copy", "--json"))
    assert len(facts["skipped"]) == 25
    file.write_text("mine")
    ok("export", tmp_path / "run", tmp_path / "out3", "--mode", "copy")
    assert file.read_text() == "mine"


def test_evaluate_prints_a_table(made, tmp_path):
    said = ok("evaluate", made / "run", "--labels", "folders", "--figure", tmp_path / "x.png")
    assert "{" not in said
    assert any(line.startswith("  unreadable") for line in said.splitlines())


def test_arrays_are_saved_without_the_word_of_numpy(tmp_path):
    save_array(tmp_path / "x.npy", np.arange(5))
    assert np.load(tmp_path / "x.npy").tolist() == [0, 1, 2, 3, 4]
    if os.name == "posix":
        code = (
            "import resource, numpy as np; from pathlib import Path; from selfsort.clusters import save_array\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            "try: save_array(Path('big.npy'), np.zeros(10000))\n"
            "except OSError as error: print(error.errno, error.filename)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
        assert done.stdout.split()[0] == str(errno.EFBIG), done.stdout
