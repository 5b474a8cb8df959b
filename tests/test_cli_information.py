"""The command ``mi``: output, exit codes, and what does not work."""

import json

import numpy as np
import pytest
from PIL import Image

from selfsort.errors import DataError
from test_cli import call, error, ok

pytest.importorskip("torch")

from selfsort.information import estimate, gaussian_mutual_information, gaussian_sample
from selfsort.information.table import read_columns


@pytest.fixture
def quick(monkeypatch):
    """Short training: the command has no option for it."""
    whole = estimate.mutual_information
    few = {"n_steps": 40, "hidden": (16,), "batch_size": 32}
    monkeypatch.setattr(estimate, "mutual_information", lambda **given: whole(**given, **few))


@pytest.fixture
def table(tmp_path):
    """Columns a, b, "the y" and a word; y knows a."""
    x, y = gaussian_sample(400, 0.8, dim=2, seed=1)
    path = tmp_path / "own table.csv"
    rows = [f"{a},{b},{c},word" for (a, b), (c, _) in zip(x, y, strict=True)]
    path.write_text("\n".join(["\ufeffa, b,the y,word", *rows]) + "\n\n", encoding="utf-8")
    return path


def test_a_gaussian_beside_the_exact_value(quick):
    text = ok("mi", "--rho", 0.5, "--samples", 20_000)
    lines = [line.split() for line in text.splitlines()]
    assert text.startswith("Gaussian, rho 0.5, 1 + 1 columns")
    assert [line[0] for line in lines[2:5]] == ["exact", "binned", "auto"]
    assert float(lines[2][1]) == pytest.approx(gaussian_mutual_information(0.5), abs=1e-5)
    assert float(lines[3][1]) == pytest.approx(gaussian_mutual_information(0.5), rel=0.2)
    assert lines[4][5] == "20,000"
    assert lines[4][-1].endswith("%")
    assert "auto: A lower bound" in text


def test_json_and_the_learning_curves(quick, tmp_path):
    options = ["--dim", 3, "--samples", 2000, "--estimator", "dv,info-nce", "--estimator", "dv", "--seed", 4]
    facts = json.loads(ok("mi", "--rho", -0.5, *options, "-o", tmp_path / "curves.png", "--json"))
    assert facts["exact"] == pytest.approx(gaussian_mutual_information(0.5, 3))
    assert facts["seed"] == 4
    assert [row["estimator"] for row in facts["estimates"]] == ["dv", "info-nce"]
    for row in facts["estimates"]:
        assert 0 <= row["low"] <= row["value"] <= row["high"]
        assert row["relative_error"] == pytest.approx(row["value"] / facts["exact"] - 1)
        assert row["n_samples"] == 2000
    assert facts["figure"] == str(tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG"
    again = json.loads(ok("mi", "--rho", -0.5, *options, "--json"))
    assert [row["value"] for row in again["estimates"]] == [row["value"] for row in facts["estimates"]]


def test_an_own_table(quick, table):
    text = ok("mi", "--csv", table, "--x", "a", "--y", "the y")
    assert "400 rows: a and the y" in text
    assert "exact" not in text
    assert "%" not in text.replace("95 %", "")
    assert [line.split()[0] for line in text.splitlines()[2:4]] == ["binned", "auto"]
    facts = json.loads(ok("mi", "--csv", table, "--x", "a,b", "--y", "the y", "--json"))
    assert facts["exact"] is None
    assert [row["estimator"] for row in facts["estimates"]] == ["auto"]
    both = json.loads(ok("mi", "--csv", table, "--x", "a", "--x", "b", "--y", "the y", "--json"))
    assert both["estimates"][0]["value"] == facts["estimates"][0]["value"]


def test_columns_are_read_as_they_stand(table):
    x, y = gaussian_sample(400, 0.8, dim=2, seed=1)
    assert np.array_equal(read_columns(table, ["b", "the y", "a"]), np.c_[x[:, 1], y[:, 0], x[:, 0]])


def test_warnings_are_part_of_the_result(quick, monkeypatch):
    monkeypatch.setattr(estimate, "_NEAR_LIMIT", 0.01)
    result = call("mi", "--rho", 0.8, "--samples", 1000, "--estimator", "info-nce")
    assert result.exit_code == 0
    assert "Warning, info-nce: InfoNCE cannot exceed" in result.stdout
    assert "UserWarning" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rho", 1], "between -1 and 1"),
        (["--rho", "nan"], "between -1 and 1"),
        (["--rho", 0.5, "--dim", 0], "at least one dimension"),
        (["--rho", 0.5, "--samples", 99], "n_samples must be a whole number from 100: got 99"),
        (["--rho", 0.5, "--samples", 0], "n_samples must be a whole number from 100: got 0"),
        (["--rho", 0.5, "--estimator", "auto,mine"], "no estimator 'mine'"),
        (["--rho", 0.5, "--dim", 2, "--estimator", "binned"], "one column of x and one of y"),
        (["--rho", 0.5, "--device", "tpu"], "'tpu'"),
        (["--rho", 0.5, "--seed", -1], "random_state must be"),
        (["--rho", 0.5, "--estimator", "binned", "-o", "a.png"], "no learning curve"),
        (["--csv", "TABLE", "--x", "a", "--y", "c"], "has no column 'c'. Its first line names: a, b, the y, word"),
        (["--csv", "TABLE", "--x", "a", "--y", "word"], "line 2: 'word' must be a finite number: got 'word'"),
        (["--csv", "TABLE", "--x", "a,b", "--y", "b"], "'b' is in both x and y"),
        (["--csv", "nowhere.csv", "--x", "a", "--y", "b"], "nowhere.csv cannot be read: No such file"),
        (["--csv", ".", "--x", "a", "--y", "b"], "cannot be read: Is a directory"),
    ],
)
def test_what_cannot_work_is_one_line(quick, table, arguments, message):
    assert message in error("mi", *[table if part == "TABLE" else part for part in arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give either --rho"),
        (["--rho", 0.5, "--csv", "a.csv"], "Give either --rho"),
        (["--rho", 0.5, "--x", "a"], "--x and --y name columns of a table"),
        (["--csv", "a.csv", "--x", "a"], "name the columns with --x and --y"),
        (["--csv", "a.csv", "--x", "a", "--y", ","], "name the columns with --x and --y"),
        (["--csv", "a.csv", "--x", "a", "--y", "b", "--samples", 500], "all rows are used"),
        (["--csv", "a.csv", "--x", "a", "--y", "b", "--dim", 2], "all rows are used"),
        (["--rho", "much"], "not a valid float"),
    ],
)
def test_wrong_usage(arguments, message):
    assert message in error("mi", *arguments, code=2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Its first line names: nothing"),
        (b"a,b\n1,2\n3,\n", "line 3: a value of 'b' is missing"),
        (b"a,b\n1,2\n3\n", "line 3: a value of 'b' is missing"),
        (b"a,b\n1,NA\n", "line 2: a value of 'b' is missing"),
        (b"a,b\n1,inf\n", "line 2: 'b' must be a finite number: got 'inf'"),
        (b"a,b\n1,1_000\n", "line 2: 'b' must be a finite number: got '1_000'"),
        (b'a,b\n1,"2,5"\n', "line 2: 'b' must be a finite number: got '2,5'"),
        (b"a,b,b\n1,2,3\n", "has 2 columns 'b'"),
        (b"a,b\n\xff\xfe,1\n", "must be a finite number"),
        (b"a,b\n1,\x00\n", "line 2: 'b' must be a finite number"),
        (b"a;b\n1;2\n", "has no column 'a'. Its first line names: a;b"),
    ],
)
def test_what_is_no_table_of_numbers(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_columns(path, ["a", "b"])
    assert message in str(caught.value)


def test_too_few_rows_and_a_place_that_cannot_be_written(quick, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,2\n3,4\n" * 20)
    assert "at least 100 samples: got 40" in error("mi", "--csv", path, "--x", "a", "--y", "b")
    options = ["--samples", 500, "--estimator", "auto", "-o", tmp_path / "no folder" / "a.png"]
    assert "cannot be written" in error("mi", "--rho", 0.5, *options)
