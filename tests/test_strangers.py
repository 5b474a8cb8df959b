"""Runs that somebody else made: no traceback, no connection, and nothing that a terminal obeys."""

import dataclasses
import json
import os
import random
import shutil
import sqlite3

import pytest
from click.testing import CliRunner

import damage
import selfsort
from selfsort.cli import main
from selfsort.errors import DataError, ModelError
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.report import write_report
from selfsort.run_folder import seal_run


@pytest.fixture(scope="module")
def few(library, tmp_path_factory):
    folder = tmp_path_factory.mktemp("few")
    for name in ("noise/00.png", "pages/01.jpg"):
        shutil.copy(library.root / name, folder)
    return folder


@pytest.fixture(scope="module")
def fitted(library, tmp_path_factory):
    run = tmp_path_factory.mktemp("fitted") / "run"
    selfsort.fit("kmeans", library.root, run, params={"n_clusters": 4})
    return run


def call(*words):
    """Run a command; anything but a result or an error in one line is a failure of the test."""
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exception is None or isinstance(done.exception, SystemExit), (words, repr(done.exception))
    if done.exit_code and words[0] != "check":  # which prints a line for each problem
        lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        assert done.exit_code == 1, (words, done.output)
        assert len(lines) == 1, (words, done.output)
    return done


def use(run, few, out):
    """Do with a run all that reads one."""
    codes = [
        call("info", run).exit_code,
        call("info", run, "--json").exit_code,
        call("groups", run).exit_code,
        call("evaluate", run, "--labels", "folders").exit_code,
        call("export", run, out, "--mode", "copy", "--dry-run").exit_code,
        call("predict", run, few).exit_code,
    ]
    if codes[0] == 0:
        write_report(selfsort.Clusters.load(run), out.with_suffix(".html"))
        if (app := pytest.importorskip("selfsort.app.server")) and not (run / "config.json").exists():
            app.create_app(run, token="t", port=1)
    return codes


def forged(original, tmp_path, few, seeds):
    counts = {"refused": 0, "used": 0}
    for seed in seeds:
        run = tmp_path / str(seed)
        shutil.copytree(original, run)
        if (beside := catalog_path(original)).exists():
            shutil.copy(beside, catalog_path(run))
        what = damage.forge(run, seed)
        try:
            codes = use(run, few, tmp_path / f"{seed}-out")
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {what}: {error!r}") from error
        counts["refused" if codes[0] else "used"] += 1
        shutil.rmtree(run)
    return counts


def test_a_forged_run_is_refused_or_works(reviewed, fitted, tmp_path, few):
    counts = forged(reviewed / "run", tmp_path, few, range(8))
    assert counts["refused"] > 2
    forged(fitted, tmp_path, few, range(100, 104))


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 1200, 50))
def test_many_forged_runs_are_refused_or_work(reviewed, fitted, tmp_path, few, start):
    print(forged(reviewed / "run", tmp_path, few, range(start, start + 50)))
    print(forged(fitted, tmp_path, few, range(start + 1000, start + 1020)))


def said(run, **facts):
    path = run / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    seal_run(run)


@pytest.mark.parametrize("name", ["owner/model", "//192.0.2.1/share/m.onnx", "\\\\192.0.2.1\\share\\m.onnx"])
def test_a_run_does_not_decide_where_selfsort_connects(own_run, few, name, monkeypatch):
    import socket

    def refuse(*_):
        raise AssertionError("it asked for the network")

    for call_ in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, call_, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    params = json.loads((own_run / "run.json").read_text())["params"]
    said(own_run, params=params | {"encoder": name})
    with pytest.raises(ModelError, match=r"does not decide|not a Hugging|--encoder"):
        selfsort.predict(own_run, few)
    settings = dataclasses.replace(selfsort.Settings.of_run(selfsort.Clusters.load(own_run).run), groups=None)
    with pytest.raises(ModelError, match=r"does not decide|--encoder"):
        selfsort.organize(few, settings=settings)


def test_the_encoder_that_is_named_must_be_that_of_the_run(own_run, few, tmp_path):
    assert len(selfsort.predict(own_run, few, encoder="efficientnet-lite0").labels) == 2
    said(own_run, encoder={"name": "another", "key": "x", "preprocessing": "y"})
    with pytest.raises(ModelError, match="another encoder"):
        selfsort.predict(own_run, few, encoder="efficientnet-lite0")


HARMFUL = [f"{damage.ESCAPES}\nspoofed line", "[bold red]markup[/]"]


def test_no_command_prints_what_a_terminal_obeys(own_library, tmp_path, few):
    root = own_library.root
    names = {f"{damage.ESCAPES}.png": "noise/00.png", "two\nlines.png": "noise/03.png", "[red]x.png": "noise/06.png"}
    (root / "\x1b[2Jfolder").mkdir()
    for name, source in names.items():
        shutil.copy(root / source, root / "\x1b[2Jfolder" / name)
    (root / "\x1b[5mbroken\u202e.jpg").write_bytes(b"nothing")
    run = tmp_path / "\x1b[31mrun\u202e"
    outputs = [call("organize", root, "-o", run)]
    facts = json.loads((run / "run.json").read_text())
    text = HARMFUL[0]
    said(
        run, warnings=HARMFUL, created=text, method=text, versions={text: text}, seconds={text: 1.0},
        encoder=facts["encoder"] | {"name": text}, data={"name": text, "split": text, "n": 1},
    )  # fmt: skip
    groups = json.loads((run / "groups.json").read_text())
    for group in groups:
        group["name"] = text
        group["suggested"] = {
            "name": text,
            "evidence": [{"source": text, "term": text, "share": 0.5, "elsewhere": 0.1}],
            "alternatives": [text],
        }
    (run / "groups.json").write_text(json.dumps(groups))
    seal_run(run)
    out = tmp_path / "\x1b[31mout"
    commands = [
        ("info", run), ("groups", run), ("check", run), ("catalog", run), ("duplicates", run), ("events", run),
        ("flaws", run), ("evaluate", run, "--labels", "folders"), ("export", run, out, "--mode", "copy"),
        ("undo", out, "--dry-run"), ("predict", run, root / "\x1b[2Jfolder"), ("correct", run, "rename", "0", text),
        ("correct", run, "log"), ("search", run, "word"), ("info", tmp_path / text), ("organize", tmp_path / text),
        ("predict", run, tmp_path / text), ("export", tmp_path / text, out, "--mode", "csv"), ("undo", tmp_path / text),
        ("check", tmp_path / text), ("resume", tmp_path / text), ("review", tmp_path / text, "--no-open"),
        ("duplicates", tmp_path / text), ("info", run, "--json"), ("groups", run, "--json"), ("check", run, "--json"),
    ]  # fmt: skip
    for command in commands:
        done = CliRunner().invoke(main, list(map(str, command)))
        assert done.exception is None or isinstance(done.exception, SystemExit), (command, repr(done.exception))
        outputs.append(done)
    for command, done in zip([("organize",), *commands], outputs, strict=True):
        for line in (done.stdout + done.stderr).split("\n"):
            assert line.isprintable() or not line.replace("\u00a0", "").strip(), (command[0], line)
            assert not line.startswith("spoofed"), (command[0], line)


CATALOGS = {
    "trigger": "CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM pictures; END",
    "view": "CREATE VIEW v AS SELECT 1",
    "table": "CREATE TABLE other (a)",
    "virtual table": "CREATE VIRTUAL TABLE other USING fts5 (a)",
    "replaced trigger": "DROP TRIGGER entries_stay; CREATE TRIGGER entries_stay BEFORE DELETE ON entries BEGIN "
    "SELECT load_extension('x'); END",
    "pictures are a view": "ALTER TABLE pictures RENAME TO kept; CREATE VIEW pictures AS SELECT * FROM kept",
}


@pytest.mark.parametrize("script", CATALOGS.values(), ids=CATALOGS)
def test_a_catalog_with_more_than_selfsort_puts_into_it_is_refused(own_run, script):
    path = catalog_path(own_run)
    with sqlite3.connect(path) as db:
        db.executescript(script)
    db.close()
    for read_only in (True, False):
        with pytest.raises(DataError, match="did not make"):
            Catalog(path, read_only=read_only)
    assert "did not make" in call("groups", own_run).stderr or call("groups", own_run).exit_code == 0


def test_a_catalog_opens_no_other_database(own_run, tmp_path):
    with Catalog(catalog_path(own_run)) as catalog:
        assert catalog._db.execute("PRAGMA trusted_schema").fetchone() == (0,)
        assert catalog._db.execute("PRAGMA cell_size_check").fetchone() == (1,)
        with pytest.raises(sqlite3.OperationalError, match="too many attached"):
            catalog._db.execute("ATTACH ? AS other", (os.fspath(tmp_path / "other"),))


ENTRIES = [
    "[" * 100_000,
    "null",
    "{}",
    "{",
    "NaN",
    '{"do": 3}',
    '{"do": "hide", "pictures": 3}',
    '{"do": "x", "undo": 1}',
    '{"do": "move", "pictures": [3], "group": 1}',
    '{"undo": "1"}',
    '{"do": "rename", "group": "a", "name": "b"}',
]


@pytest.mark.parametrize("body", ENTRIES)
def test_a_log_of_corrections_of_another_shape_is_said_to_be_damaged(own_run, body):
    with sqlite3.connect(catalog_path(own_run)) as db:
        db.execute("INSERT INTO entries (at, body) VALUES ('2026-01-01', ?)", (body,))
    db.close()
    assert "damaged" in call("groups", own_run).stderr
    assert "damaged" in call("check", own_run).stdout


def test_damage_by_chance_is_said_or_does_not_matter(reviewed, tmp_path):
    rng = random.Random(0)
    assert harmless_or_said(reviewed / "run", tmp_path, rng, 20) > 10


@pytest.mark.slow
def test_much_damage_by_chance_is_said_or_does_not_matter(reviewed, tmp_path):
    print(harmless_or_said(reviewed / "run", tmp_path, random.Random(1), 300))


def harmless_or_said(original, tmp_path, rng, n):
    """Return how many of `n` damaged copies of a run were refused; the others must load as the original does."""
    from test_clusters import assert_same

    expected = selfsort.Clusters.load(original)
    n_said = 0
    for i in range(n):
        run = tmp_path / str(i)
        shutil.copytree(original, run)
        path = rng.choice(sorted(run.iterdir()))
        path.write_bytes(damage.damaged(path.read_bytes(), rng))
        changed = path.read_bytes() != (original / path.name).read_bytes()
        try:
            assert_same(selfsort.Clusters.load(run), expected)
        except DataError as error:
            n_said += "\n" not in str(error)
        assert call("check", run).exit_code == changed, path.name
        shutil.rmtree(run)
    return n_said
