import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import selfsort
from selfsort.cli import _COMMANDS, main


@pytest.fixture(scope="module")
def run(library, tmp_path_factory):
    """A finished run; tests that change it copy it."""
    return selfsort.organize(library.root, tmp_path_factory.mktemp("runs") / "run").path


def call(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def ok(*arguments):
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    assert result.exception is None
    return result.stdout


def error(*arguments, code=1):
    """Call a command that fails and return its one line."""
    result = call(*arguments)
    assert isinstance(result.exception, SystemExit), f"{result.exception!r} instead of a message"
    assert result.exit_code == code, result.output
    lines = result.stderr.strip().splitlines()
    if code == 1:
        assert len(lines) == 1, lines
        assert lines[0].startswith("Error: ")
        assert result.stdout == ""
    return lines[-1]


# --- what works


def test_organize_prints_a_summary(library, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = ok("organize", library.root)
    assert "59 pictures in " in text
    assert "4 could not be read" in text
    assert (tmp_path / "pictures.selfsort" / "report.html").exists()
    assert (tmp_path / "pictures.selfsort" / "report.html").as_uri() in text


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("a.tar.gz", "a.selfsort"),
        ("a.zip", "a.selfsort"),
        ("list.txt", "list.selfsort"),
        ("one.png", "one.png.selfsort"),
    ],
)
def test_the_run_is_named_after_the_pictures(library, tmp_path, monkeypatch, name, output):
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(library.root / "disks/00.png", tmp_path / "one.png")
    (tmp_path / "list.txt").write_text("one.png\n")
    if name.startswith("a."):
        suffix = {"a.tar.gz": "gztar", "a.zip": "zip"}[name]
        shutil.make_archive("a", suffix, library.root / "disks")
    ok("organize", name)
    assert (tmp_path / output / "run.json").exists()


@pytest.mark.parametrize(
    ("argument", "output"), [(".", "folder.selfsort"), ("..", "above.selfsort"), ("./", "folder.selfsort")]
)
def test_the_run_of_a_relative_folder_has_a_name(library, tmp_path, monkeypatch, argument, output):
    folder = tmp_path / "above" / "folder"
    folder.mkdir(parents=True)
    shutil.copyfile(library.root / "disks/00.png", folder / "one.png")
    monkeypatch.chdir(folder)
    ok("organize", argument)
    assert (folder / output / "run.json").exists()


def test_organize_again_says_the_same_at_once(library, tmp_path):
    first = json.loads(ok("organize", library.root, "-o", tmp_path / "run", "--json"))
    again = json.loads(ok("organize", library.root, "-o", tmp_path / "run", "--json"))
    assert (first["unchanged"], again["unchanged"]) == (False, True)
    news = ("unchanged", "changes", "moved", "n_encoded", "seconds")
    assert {key: of for key, of in first.items() if key not in news} == {
        key: of for key, of in again.items() if key not in news
    }


def test_options_reach_the_settings(library, tmp_path):
    options = ["--groups", 3, "--granularity", 2, "--neighbors", 5, "--learn", "--seed", 9, "--labels", "folders"]
    result = json.loads(ok("organize", library.root, "-o", tmp_path / "run", "--json", *options))
    assert result["n_groups"] == 3
    assert result["run"] == str(tmp_path / "run")
    assert 0 <= result["scores"]["ami"] <= 1
    facts = json.loads(ok("info", tmp_path / "run", "--json"))
    assert facts["params"] == {
        "groups": 3,
        "granularity": 2.0,
        "encoder": "efficientnet-lite0",
        "n_neighbors": 5,
        "metadata": True,
        "looks": True,
        "text": False,
        "people": False,
        "learn": True,
        "seed": 9,
    }
    assert "Against the labels, which the grouping never saw" in ok(
        "organize", library.root, "-o", tmp_path / "run", *options
    )


def test_info(run, library):
    facts = json.loads(ok("info", run, "--json"))
    assert facts["n_items"] == len(library)
    assert sum(facts["unreadable"].values()) == len(library.broken)
    text = ok("info", run)
    assert "59 of 63 files" in text
    assert "empty file" in text


def test_evaluate(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    figure = tmp_path / "figure.png"
    result = json.loads(ok("evaluate", tmp_path / "run", "--labels", "folders", "--figure", figure, "--json"))
    assert result["scores"]["ami"] > 0.9
    assert result["figure"] == str(figure)
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before
    assert "confusion matrix" in ok("evaluate", tmp_path / "run", "--labels", "folders", "--level", 0)


def test_export_of_sidecars(own_library, tmp_path):
    ok("organize", own_library.root, "-o", tmp_path / "run")
    before = {path: path.read_bytes() for path in own_library.root.rglob("*") if path.is_file()}
    arguments = ["export", tmp_path / "run", "--mode", "xmp", "--beside-originals"]
    dry = json.loads(ok(*arguments, "--dry-run", "--json"))
    assert {path: path.read_bytes() for path in own_library.root.rglob("*") if path.is_file()} == before
    done = json.loads(ok(*arguments, "--json"))
    assert done["done"] == dry["planned"] == len(own_library.kinds)
    assert (own_library.root / "stripes/00.png.xmp").exists()
    ok("correct", tmp_path / "run", "rename", 0, "Round ones")
    assert "were there already" in ok(*arguments)
    assert (tmp_path / "run.catalog").exists()
    undone = json.loads(ok("undo", own_library.root, "--json"))
    assert (len(undone["removed"]), undone["restored"], undone["kept"]) == (done["done"], [], [])
    assert {path: path.read_bytes() for path in own_library.root.rglob("*") if path.is_file()} == before
    assert "--beside-originals" in error("export", tmp_path / "run", "--mode", "xmp")
    assert "either" in error("export", tmp_path / "run", tmp_path / "out", "--mode", "xmp", "--beside-originals")
    assert not (tmp_path / "out").exists()
    ok("export", tmp_path / "run", tmp_path / "out", "--mode", "symlink")
    assert (tmp_path / "out/Round ones").is_dir()
    counts = []
    for action in ("hide", "show"):
        ok("correct", tmp_path / "run", action, "stripes/00.png")
        ok("export", tmp_path / "run", tmp_path / action, "--mode", "symlink")
        counts.append(len(list((tmp_path / action).rglob("*.*"))))
    assert counts[0] < counts[1] == len(list((tmp_path / "out").rglob("*.*")))


def test_export_and_undo(run, tmp_path, library):
    out = tmp_path / "out"
    dry = json.loads(ok("export", run, out, "--mode", "copy", "--dry-run", "--json"))
    assert not out.exists()
    assert len(dry["operations"]) == dry["planned"] >= len(library.kinds)
    assert "nothing was" in ok("export", run, out, "--mode", "copy", "--dry-run")
    done = json.loads(ok("export", run, out, "--mode", "copy", "--json"))
    assert done["done"] == dry["planned"]
    assert "were there already" in ok("export", run, out, "--mode", "copy")
    dry = json.loads(ok("undo", out, "--dry-run", "--json"))
    assert len(dry["removed"]) == done["done"]
    undone = json.loads(ok("undo", out, "--json"))
    assert len(undone["removed"]) == done["done"]
    assert not out.exists() or not any(out.iterdir())


def test_the_console_script(library, tmp_path):
    """As people start it: output, error and exit code of the real process."""
    script = shutil.which("selfsort", path=str(Path(sys.executable).parent))
    if script is None:
        pytest.skip("the console script is not installed beside this Python")
    command = [script]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert selfsort.__version__ in done.stdout
    done = subprocess.run(
        [*command, "organize", str(tmp_path / "nowhere")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: There is nothing at ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("encoding", ["cp1252"])
def test_names_that_the_terminal_cannot_show(library, tmp_path, encoding):
    """A pipe on Windows has an encoding without emoji, and a name with one must not end the command."""
    (tmp_path / "雪 🌨").mkdir()
    shutil.copyfile(library.root / "disks/00.png", tmp_path / "雪 🌨" / "é ☃.png")
    (tmp_path / "雪 🌨" / "broken 雪.png").write_bytes(b"")
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    for arguments in (
        ["organize", tmp_path / "雪 🌨", "-o", tmp_path / "run 雪"],
        ["info", tmp_path / "run 雪"],
        ["export", tmp_path / "run 雪", tmp_path / "out", "--mode", "copy", "--dry-run"],
        ["info", tmp_path / "nowhere 雪"],
    ):
        command = [sys.executable, "-c", "from selfsort.cli import main; main()", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
        assert b"Traceback" not in done.stderr, done.stderr[-300:]
        assert done.returncode == ("nowhere" in str(arguments[1]))


def test_demo_also_after_a_kill(tmp_path):
    # what a killed demo leaves behind: a picture cut short, and no labels yet
    pictures = tmp_path / "demo" / "pictures"
    pictures.mkdir(parents=True)
    (tmp_path / "demo" / ".selfsort-demo").touch()
    (pictures / "digit-0007.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = json.loads(ok("demo", "-o", tmp_path / "demo", "--json"))
    assert result["n_items"] == result["n_ok"] == 1797
    assert result["scores"]["ami"] > 0.55
    assert 8 <= result["n_groups"] <= 40


def test_demo_leaves_a_folder_of_the_same_names_alone(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "labels.csv").write_text("mine")
    assert "other files" in error("demo", "-o", tmp_path)
    assert (tmp_path / "labels.csv").read_text() == "mine"


def test_demo_leaves_other_files_alone(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.doc").touch()
    assert "other files" in error("demo", "-o", tmp_path / "other")
    assert [p.name for p in tmp_path.rglob("*")] == ["other", "thesis.doc"]


# --- help


@pytest.mark.parametrize("command", _COMMANDS)
def test_every_command_explains_itself(command):
    text = ok(command, "--help")
    assert text.startswith("Usage: main " + command)
    assert ("--json" in text) == (command != "review")  # which answers in the browser
    assert text == ok(command, "-h")
    assert command in ok("--help")


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys\nfrom selfsort.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'onnxruntime', 'pyarrow', 'faiss', 'sklearn', 'matplotlib', 'torch', 'PIL'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    # the help lists every command, and so loads the modules of the commands, but not what they work with
    assert done.returncode == 0, done.stderr[-300:]


# --- what does not work


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sort"],
        ["organize"],
        ["organize", "a", "b"],
        ["organize", "a", "--groups", "many"],
        ["organize", "a", "--bad"],
        ["export", "run", "out"],
        ["export", "run", "out", "--mode", "move"],
        ["evaluate", "run"],
    ],
)
def test_wrong_usage_ends_with_2(arguments):
    assert call(*arguments).exit_code == 2


@pytest.mark.parametrize(
    "options",
    [
        ["--groups", "0"],
        ["--groups", "1000"],
        ["--granularity", "0"],
        ["--granularity", "nan"],
        ["--neighbors", "-1"],
        ["--seed", "-1"],
        ["--seed", "99999999999"],
        ["--encoder", "/nowhere.onnx"],
        ["--encoder", "nowhere.onnx"],
        ["--labels", "nowhere.csv"],
    ],
)
def test_settings_that_cannot_work_are_one_line(library, tmp_path, options):
    error("organize", library.root, "-o", tmp_path / "run", *options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["nowhere", "notes.jpg", "empty.png", "nowhere\nin two lines", "cut.tar"])
def test_pictures_that_are_not_there_are_one_line(library, tmp_path, name):
    (tmp_path / "cut.tar").write_bytes(bytes(100))
    root = library.root if name.endswith("g") else tmp_path
    error("organize", root / name, "-o", tmp_path / "run")


def test_an_encoder_that_is_no_model_is_one_line(library, tmp_path):
    error("organize", library.root, "-o", tmp_path / "run", "--encoder", library.root / "disks/00.png")


@pytest.mark.parametrize("command", ["info", "evaluate", "export"])
@pytest.mark.parametrize("kind", ["nowhere", "pictures", "file", "empty run.json", "cut", "foreign run.json"])
def test_what_is_no_run_is_one_line(library, run, tmp_path, command, kind):
    folder = tmp_path / "run"
    if kind == "pictures":
        folder = library.root
    elif kind == "file":
        folder.write_text("hello")
    elif kind == "empty run.json":
        folder.mkdir()
        (folder / "run.json").touch()
    elif kind == "cut":
        shutil.copytree(run, folder)
        (folder / "levels.npy").write_bytes(b"")
    elif kind == "foreign run.json":
        folder.mkdir()
        (folder / "run.json").write_text('{"experiment": 5}')
    options = {"info": [], "evaluate": ["--labels", "folders"], "export": [tmp_path / "out", "--mode", "copy"]}[command]
    error(command, folder, *options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("level", [-1, 4, 99])
def test_a_level_that_is_not_there_is_one_line(run, tmp_path, level):
    error("export", run, tmp_path / "out", "--mode", "csv", "--level", level)
    error("evaluate", run, "--labels", "folders", "--level", level, "--figure", tmp_path / "f.png")


@pytest.mark.parametrize(
    "content", [None, b"", b"a,b\n1,2\n", b"path,label\nnowhere.png,1\n", b"\xff\xfe\x00", b"path,label\n\0"]
)
def test_bad_labels_are_one_line(run, tmp_path, content):
    if content is not None:
        (tmp_path / "labels.csv").write_bytes(content)
    error("evaluate", run, "--labels", tmp_path / "labels.csv", "--figure", tmp_path / "f.png")
    assert not (tmp_path / "f.png").exists()


@pytest.mark.parametrize("figure", ["nowhere/f.png", "folder"])
def test_a_figure_that_cannot_be_written_is_one_line(run, tmp_path, figure):
    (tmp_path / "folder").mkdir()
    error("evaluate", run, "--labels", "folders", "--figure", tmp_path / figure)


def test_undo_where_nothing_was_exported_is_one_line(tmp_path):
    error("undo", tmp_path / "nowhere")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").touch()
    error("undo", tmp_path / "a")
    assert (tmp_path / "a" / "file").exists()


def test_exporting_onto_a_file_is_one_line(run, tmp_path):
    (tmp_path / "out").write_text("mine")
    error("export", run, tmp_path / "out", "--mode", "copy")
    assert (tmp_path / "out").read_text() == "mine"


def test_an_output_that_cannot_be_written_is_one_line(library, tmp_path):
    (tmp_path / "file").touch()
    error("organize", library.root, "-o", tmp_path / "file")
    error("organize", library.root, "-o", tmp_path / "file" / "run")
    error("organize", library.root, "-o", tmp_path / ("x" * 250))
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    error("organize", library.root, "-o", tmp_path / "link")


def test_a_damaged_cache_is_one_line(library, tmp_path, fresh_cache):
    (fresh_cache / "cache.sqlite").write_bytes(b"no database" * 999)
    assert "delete it" in error("organize", library.root, "-o", tmp_path / "run")


@pytest.mark.parametrize("command", [["info", "nowhere"], ["organize", "nowhere"], ["undo", "nowhere"]])
def test_errors_are_json_too(tmp_path, monkeypatch, command):
    """Whoever asks for JSON reads one object on standard output, also when it is an error."""
    monkeypatch.chdir(tmp_path)
    result = call(*command, "--json")
    assert result.exit_code == 1
    assert "nowhere" in json.loads(result.stdout)["error"]


def test_a_bug_keeps_its_traceback(monkeypatch, run):
    from selfsort import clusters

    def broken(folder):
        raise ZeroDivisionError

    monkeypatch.setattr(clusters.Clusters, "load", broken)
    assert isinstance(call("info", run).exception, ZeroDivisionError)
