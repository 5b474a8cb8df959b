"""Files that the user names: of any kind, size and encoding."""

import os
import subprocess
import sys
import zipfile

import pytest

import selfsort
from conftest import draw
from selfsort.errors import DataError
from selfsort.given import read_given
from selfsort.sources import open_source
from source_files import paths, picture

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


@pytest.fixture
def names(tmp_path):
    found = ["a.png", "照片.png", "Größe.png", "sub/фото.png"]
    for i, name in enumerate(found):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(picture(i))
    return found


@pytest.mark.parametrize(
    ("encoding", "chosen"),
    [
        ("utf-8", [0, 1, 2, 3]),
        ("utf-8-sig", [0, 1, 2, 3]),
        ("utf-16", [0, 1, 2, 3]),
        ("utf-16-le", [0, 2]),
        ("utf-16-be", [0, 2]),
        ("utf-32", [0, 1, 2, 3]),
        ("gb18030", [0, 1]),
        ("cp1252", [0, 2]),
        ("cp850", [0, 2]),
        ("cp1251", [0, 3]),
        ("cp866", [0, 3]),
        ("cp932", [0, 1]),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\0"])
def test_lists_in_every_encoding(tmp_path, names, encoding, chosen, end):
    wanted = [names[i] for i in chosen]
    if encoding == "cp932":
        (tmp_path / "写真.png").write_bytes(picture(9))
        wanted = ["a.png", "写真.png"]
    (tmp_path / "list.txt").write_bytes("".join(name + end for name in wanted).encode(encoding))
    with open_source(tmp_path / "list.txt") as source:
        assert sorted(paths(source)) == sorted(wanted)
        assert not any(item.problem for item in source.items)


@posix
def test_lists_of_windows_and_names_that_are_no_text(tmp_path, names):
    strange = os.fsdecode(b"caf\xe9\\.png")
    (tmp_path / strange).write_bytes(picture(7))
    (tmp_path / "list.txt").write_bytes("sub\\фото.png\r\n.\\a.png\r\n".encode() + os.fsencode(strange) + b"\n")
    with open_source(tmp_path / "list.txt") as source:
        assert paths(source) == sorted(["a.png", strange, "sub/фото.png"], key=os.fsencode)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_labels_in_every_encoding(tmp_path, encoding):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(6):
        draw("disks" if i < 3 else "pages", i).save(folder / f"照片{i}.png")
    table = "path,label\n" + "".join(f"照片{i}.png,{'圆' if i < 3 else '字'}\n" for i in range(6))
    (tmp_path / "labels.csv").write_bytes(table.encode(encoding))
    clusters = selfsort.organize(folder)
    found = selfsort.evaluate(clusters, tmp_path / "labels.csv")
    assert found.protocol["n_scored"] == 6


@posix
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "missing", "huge"])
def test_what_is_no_file_is_refused(tmp_path, kind):
    path = tmp_path / "given"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = "/dev/zero"
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    with pytest.raises(DataError, match="The table"):
        read_given(path, "table")


@posix
@pytest.mark.parametrize(
    "words",
    [
        ["organize", "{pictures}", "-o", "{run}", "--labels", "{given}"],
        ["organize", "{pictures}", "-o", "{run}", "--encoder", "{given}.onnx"],
        ["organize", "{given}", "-o", "{run}"],
        ["mi", "--x", "a", "--y", "b", "--csv", "{given}"],
        ["evaluate", "{finished}", "--labels", "{given}"],
        ["evaluate", "{finished}", "--labels", "folders", "--figure", "{given}"],
    ],
    ids=lambda words: " ".join(words[:1] + words[-2:-1]),
)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_commands_say_so_at_once(library, run, tmp_path, words, kind):
    given = tmp_path / "given"
    for path in (given, tmp_path / "given.onnx"):
        os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    places = {"pictures": library.root, "run": tmp_path / "run", "given": given, "finished": run.path}
    command = [sys.executable, "-m", "selfsort.cli", *(word.format(**places) for word in words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(given) in done.stderr
    assert not (tmp_path / "run").exists()


@posix
def test_names_of_every_script_in_a_locale_that_has_none(tmp_path):
    with zipfile.ZipFile(tmp_path / "照片.zip", "w") as archive:
        for i in range(4):
            draw("disks", i).save(tmp_path / "one.png")
            archive.write(tmp_path / "one.png", f"сад/照片{i}.png")
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    def call(*words, code=0):
        command = [sys.executable, "-m", "selfsort.cli", *words]
        done = subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path)
        assert done.returncode == code, done
        assert b"Traceback" not in done.stderr
        return done.stdout.decode("utf-8")

    call("organize", "照片.zip", "-o", "run")
    assert selfsort.Clusters.load(tmp_path / "run").items.column("path").to_pylist()[0] == "сад/照片0.png"
    call("correct", "run", "rename", "0", "花园")
    assert "花园" in call("groups", "run")
    call("export", "run", "out", "--mode", "copy")
    assert len(list((tmp_path / "out").rglob("照片*.png"))) == 4
    code = "import glob, selfsort; selfsort.organize(glob.glob('*.zip')[0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, cwd=tmp_path)
    assert b"Start Python with -X utf8" in done.stderr.splitlines()[-1]
