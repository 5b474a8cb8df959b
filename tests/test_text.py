"""Text in pictures: read, kept, searched; words and amounts."""

import base64
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw, ImageFont

from conftest import draw
from selfsort import Clusters, DataError, Settings, organize
from selfsort.cli import main
from selfsort.images import Unreadable
from selfsort.photos import ocr
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.text import amounts, read_text, read_texts_of_run, search_run, snippet, tokens
from test_offline import NO_NETWORK

CHINESE = base64.b64decode(  # "会议记录 报销发票", as no font with Chinese can be relied on
    "iVBORw0KGgoAAAANSUhEUgAAAPAAAAAsAQAAAABz0ghrAAAB60lEQVR42u2TP2sUURTFf/N2cFYIrFotItmxshPTLbI6E/wCfgALbSSl2Akx8x"
    "YLGyEBG7tt/BrqDKTYVLulRQgTN7jp3D+BTOKbORbrGitLG73VvfdwDvdwuJ74Uxn+Wbi0xEOGi7mcerLHEF+wLTQhq0+9KwCcEVLS9QwYcJYc"
    "ip9yNYdvwyF2MUqjSNvz3khjaSA3d+7S06R3P1JHkoGjh9yDhS67IXgeWifb9cGHfps7p6zAWb0xAcriuNl6kmYL8ap1qCrpSeOChtw8mzpa0B"
    "h05pKhChsvQlSHQCnA5fpvxjVJV5qryWqwPE2Vr56TUmqSoYa51U1v5lmYeWtQet32BdnHj6ZpfrFYtK5GpIVvSb3VaDwYayo5s6kOrYKWtPAN"
    "YGNoOsCtpQAFHHp1MEw9L+Y2QKUZ/ZSzviwKWyp+BXpiAfEc2AeYJMvEGiOlhAD+l/d06AZt+PoxXiZ21IerwHktawIT8Ozevl3mXXecTChB9h"
    "lwF2R3NkjGFRhIQyY9HJw/bgMhoPABJSEY2DnAfxN7FHv2OnBAQRV/4IQNMJSHEcG13BQzQ8PCJ4aYl+/itzwC5NhMPievT9Pat5pTPrsRrRSt"
    "fCvYDqYSqpJKTgPlDb2S8tlW4opopG0F3yXv/3//dfgH95T+vJmL5JQAAAAASUVORK5CYII="
)
needs_networks = pytest.mark.skipif(not ocr.is_installed(), reason="needs selfsort[photos]")


def page(*lines, width=600, size=28, ground="white", turned=0):
    """Return a picture of lines of text."""
    image = Image.new("RGB", (width, 60 + 2 * size * len(lines)), ground)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    for number, line in enumerate(lines):
        pen.text((30, 30 + 2 * size * number), line, fill="black", font=font)
    return image.rotate(turned, expand=True)


def png(image, **options):
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


@pytest.fixture
def pictures(tmp_path):
    """A folder with pictures with text, without, a copy, and a broken file."""
    root = tmp_path / "pictures"
    root.mkdir()
    for name, lines in {
        "receipt.png": ("Corner Grocery", "Milk 3.20", "TOTAL RM 12.50"),
        "error.png": ("Traceback most recent call", "ValueError: no such file"),
        "copy of error.png": ("Traceback most recent call", "ValueError: no such file"),
        "meeting.png": ("Meeting minutes", "Budget and milestones"),
    }.items():
        page(*lines).save(root / name)
    (root / "chinese.png").write_bytes(CHINESE)
    for number in range(3):
        draw("disks", number, 200).save(root / f"disks {number}.png")
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more than this")
    return root


@pytest.fixture
def run(pictures, tmp_path):
    organize(pictures, tmp_path / "run")
    return tmp_path / "run"


def paths(found):
    return [picture["path"] for picture in found]


def texts(run):
    with Catalog(catalog_path(run), make=False) as catalog:
        return catalog.facts("text")


# --- reading


@needs_networks
def test_lines_are_read_from_top_to_bottom():
    fact = read_text(png(page("The quick brown fox", "costs RM 12.50", "at half past nine")))
    assert fact["text"].splitlines() == ["The quick brown fox", "costs RM 12.50", "at half past nine"]
    assert fact["n_lines"] == 3
    assert 0.05 < fact["share"] < 0.5
    assert fact["size"] == pytest.approx(28 / 228, rel=0.5)


@needs_networks
def test_what_stands_in_one_row_is_read_from_left_to_right():
    image = page("", "")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(26)
    for place, word in {(400, 34): "right", (40, 30): "left", (40, 100): "below"}.items():
        pen.text(place, word, fill="black", font=font)
    assert read_text(png(image))["text"].split() == ["left", "right", "below"]


@needs_networks
def test_chinese_is_read():
    assert read_text(CHINESE)["text"].replace(" ", "") == "会议记录报销发票"


@needs_networks
def test_a_turned_photograph_is_read_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = page("Departure gate seven", turned=90)
    assert read_text(png(turned, exif=exif))["text"] == "Departure gate seven"


@needs_networks
def test_huge_pictures_and_long_strips_are_read():
    assert "small print" in read_text(png(page("some small print here", width=4000, size=90)))["text"]
    strip = page(*(f"message number {i}" for i in range(60)), width=420)
    assert strip.height > 7 * strip.width
    read = read_text(png(strip))["text"].splitlines()
    assert sum(line == f"message number {i}" for i, line in enumerate(read)) > 55


@needs_networks
@pytest.mark.parametrize(
    "image", [Image.new("RGB", (300, 200), "gray"), Image.new("L", (1, 1)), Image.new("1", (900, 3))]
)
def test_what_has_no_text(image):
    assert read_text(png(image)) == {"text": "", "share": 0.0, "n_lines": 0, "size": 0.0}


@needs_networks
def test_photographs_without_text_are_not_read_whole(monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    monkeypatch.setattr(ocr, "lines", lambda pixels: pytest.fail("read whole"))
    assert read_text(png(Image.fromarray(noise)))["text"] == ""
    with pytest.raises(pytest.fail.Exception):
        read_text(png(page("words")))


@needs_networks
def test_a_picture_full_of_text_is_bounded(monkeypatch):
    read = []
    recognized = ocr._recognized
    monkeypatch.setattr(ocr, "_LENGTHS", 60.0)
    monkeypatch.setattr(ocr, "_recognized", lambda tools, line: read.append(line) or recognized(tools, line))
    image = page("", *["word after word after word"] * 20)
    ImageDraw.Draw(image).text((30, 2), "LARGE", fill="black", font=ImageFont.load_default(48))
    lines = ocr.lines(np.asarray(image))
    assert len(read) < 10
    assert any("LARGE" in line.text for line in lines)


def test_gaps_that_are_likely_spaces_are_spaces():
    alphabet = ["", "a", "b", " "]
    steps = [
        [0.1, 0.9, 0, 0],
        [0.8, 0, 0, 0.2],
        [0.1, 0, 0.9, 0],
        [0.99, 0, 0, 0.01],
        [0.3, 0, 0.7, 0],
        [0.3, 0, 0.7, 0],
    ]
    text, confidence = ocr.decoded(np.array(steps, np.float32), alphabet)
    assert text == "a bb"
    assert confidence == pytest.approx((0.9 + 0.9 + 0.7) / 3)
    assert ocr.decoded(np.array([[1, 0, 0, 0.0]], np.float32), alphabet) == ("", 0.0)


@needs_networks
def test_what_is_no_picture_says_so():
    with pytest.raises(Unreadable, match="empty file"):
        read_text(b"")


# --- the stage


@needs_networks
def test_a_run_is_read_and_searched(run, pictures):
    facts = read_texts_of_run(run)
    assert facts == {"n_pictures": 7, "n_read": 7, "n_known": 7, "n_with_text": 4}
    assert paths(search_run(run, "total")) == ["receipt.png"]
    assert paths(search_run(run, "12.50 grocery")) == ["receipt.png"]
    assert paths(search_run(run, "ceback")) == ["copy of error.png", "error.png"]
    assert paths(search_run(run, "traceback grocery")) == []
    assert paths(search_run(run, "发票")) == ["chinese.png"]
    assert paths(search_run(run, "票 会议")) == ["chinese.png"]
    (found,) = search_run(run, "MILESTONES")
    assert "Budget and milestones" in found["snippet"]
    assert (pictures / "receipt.png").exists()


@needs_networks
def test_only_new_pictures_are_read(run, pictures):
    read_texts_of_run(run)
    page("Boarding pass to Oslo").save(pictures / "new.png")
    organize(pictures, run)
    calls = []
    facts = read_texts_of_run(run, progress=lambda *call: calls.append(call))
    assert facts["n_read"] == 1
    assert calls == [("text", 7, 8), ("text", 8, 8)]
    assert paths(search_run(run, "oslo")) == ["new.png"]
    assert read_texts_of_run(run)["n_read"] == 0


@needs_networks
def test_a_stopped_stage_goes_on(run, monkeypatch):
    monkeypatch.setattr("selfsort.photos.facets._KEEP_SECONDS", 0.0)

    def stop(name, done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_texts_of_run(run, progress=stop)
    n_kept = len(texts(run))
    assert 3 <= n_kept < 7
    assert read_texts_of_run(run)["n_read"] == 7 - n_kept
    assert len(texts(run)) == 7
    assert paths(search_run(run, "grocery")) == ["receipt.png"]


@needs_networks
def test_what_is_gone_or_changed_is_left_out(run, pictures):
    (pictures / "receipt.png").unlink()
    page("Something else").save(pictures / "meeting.png")
    facts = read_texts_of_run(run)
    assert (facts["n_pictures"], facts["n_known"], facts["n_with_text"]) == (7, 5, 2)
    assert paths(search_run(run, "something")) == []
    assert paths(search_run(run, "traceback")) == ["copy of error.png", "error.png"]


@needs_networks
def test_what_cannot_be_decoded_is_known_and_does_not_stop_the_others(run, monkeypatch):
    def broken(file):
        if file.data == CHINESE:
            raise Unreadable("damaged")
        return {"text": "words", "share": 0.1, "n_lines": 1, "size": 0.1}

    monkeypatch.setattr("selfsort.photos.text.read_text", broken)
    assert read_texts_of_run(run)["n_known"] == 7
    assert sorted(map(str, texts(run).values()))[0] == "None"
    assert "chinese.png" not in paths(search_run(run, "words"))
    assert len(paths(search_run(run, "words"))) == 7
    assert read_texts_of_run(run)["n_read"] == 0


@needs_networks
def test_organize_reads_text_where_asked_and_groups_are_the_same(pictures, tmp_path):
    calls = []
    read = organize(pictures, tmp_path / "a", settings=Settings(text=True), progress=lambda *call: calls.append(call))
    plain = organize(pictures, tmp_path / "b")
    np.testing.assert_array_equal(read.levels, plain.levels)
    assert ("text", 7, 7) in calls
    assert paths(search_run(tmp_path / "a", "budget")) == ["meeting.png"]
    assert texts(tmp_path / "b") == {}
    created = read.run["created"]
    assert organize(pictures, tmp_path / "a").run["created"] == created  # groups do not depend on it: nothing to do
    organize(pictures, tmp_path / "b", settings=Settings(text=True))
    np.testing.assert_array_equal(Clusters.load(tmp_path / "b").levels, plain.levels)  # only names are found anew
    assert len(texts(tmp_path / "b")) == 7


@needs_networks
def test_archives_and_lists_are_read_again(pictures, tmp_path):
    (tmp_path / "list.txt").write_text("pictures/receipt.png\npictures/error.png\n")
    subprocess.run(["tar", "cf", tmp_path / "a.tar", "-C", pictures, "."], check=True)
    for data, name in ((tmp_path / "list.txt", "receipt.png"), (tmp_path / "a.tar", "./receipt.png")):
        organize(data, tmp_path / "other", replace=True)
        assert read_texts_of_run(tmp_path / "other")["n_with_text"] >= 2
        (found,) = search_run(tmp_path / "other", "grocery")
        assert found["path"].endswith(name.removeprefix("./"))


def test_a_run_of_arrays_has_nothing_to_read(tmp_path):
    organize(np.zeros((3, 32, 32, 3), np.uint8), tmp_path / "run")
    with pytest.raises(DataError, match=r"made of arrays|pip install"):
        read_texts_of_run(tmp_path / "run")


def test_without_the_extra_it_says_what_to_install(monkeypatch, run, pictures):
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(DataError, match=r"pip install 'selfsort\[photos\]'"):
        read_texts_of_run(run)
    with pytest.raises(DataError, match=r"pip install 'selfsort\[photos\]'"):
        organize(pictures, settings=Settings(text=True))


# --- commands


def call(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@needs_networks
def test_the_commands(run):
    before = call("search", run, "total")
    assert before.exit_code == 1
    assert f"selfsort text {run}" in before.stderr
    assert "4 of 7 pictures have text" in call("text", run).stdout
    assert json.loads(call("text", run, "--json").stdout)["n_read"] == 0
    assert call("search", run, "TOTAL", "milk").stdout == "receipt.png: Corner Grocery Milk 3.20 TOTAL RM 12.50\n"
    assert json.loads(call("search", run, "发票", "--json").stdout)["pictures"][0]["path"] == "chinese.png"
    assert json.loads(call("search", run, "nowhere", "--json").stdout) == {"pictures": []}
    assert "No picture" in call("search", run, "nowhere").stdout
    assert call("search", run).exit_code == 2
    assert "no word" in call("search", run, " ").stderr


@needs_networks
def test_nothing_is_asked_of_the_network_and_nothing_is_printed(run):
    code = (
        "from selfsort.photos.text import read_texts_of_run\nassert read_texts_of_run(sys.argv[1])['n_with_text'] == 4"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{NO_NETWORK}import sys\n{code}", str(run)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-800:]
    assert done.stdout + done.stderr == ""


# --- words and amounts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("The TOTAL, the total", ["total", "total"]),
        ("a I x don't it's l'école", ["école"]),
        ("iPhone12 3am", ["iphone", "12", "3"]),
        ("1,234.50 on 2018-04-11 at 12:30.", ["1,234.50", "2018-04-11", "12:30"]),
        ("Ｐａｇｅ ﬁnal", ["page", "final"]),
        ("会议记录", ["会议", "议记", "记录"]),
        ("東京タワー Tokyo", ["東京", "京タ", "タワ", "ワー", "tokyo"]),
        ("一 yes 二三", ["yes", "二三"]),
        ("안녕하세요 세계", ["안녕하세요", "세계"]),
        ("हिन्दी naïve", ["हिन्दी", "naïve"]),
        ("...---,,, €%", []),
    ],
)
def test_tokens(text, expected):
    assert tokens(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TOTAL RM 12.50", ["RM 12.50"]),
        ("$5 and US$1,234.00", ["$5", "US$1,234.00"]),
        ("12,90 EUR, 1.234,56 €", ["12,90 EUR", "1.234,56 €"]),
        ("¥1200 120円 100元 ￥30", ["¥1200", "120円", "100元", "¥30"]),
        ("Rs.500 and USD 20", ["Rs.500", "USD 20"]),
        ("Milk\n3.20\n1,234.50", ["3.20", "1,234.50"]),
        ("11.04.2018 192.168.1.10 v1.2.3 12:30 50.00% 25 %", []),
        ("rooms 12 ARM 5 3.141 pages", []),
        ("-4.00", ["-4.00"]),
    ],
)
def test_amounts(text, expected):
    assert amounts(text) == expected


def test_a_snippet_shows_the_first_word():
    long = " ".join(f"word{i}" for i in range(100))
    part = snippet(long, "WORD70 word3")
    assert "word70" in part
    assert part.startswith("…")
    assert part.endswith("…")
    assert len(part) < 130
    assert snippet("short", "ab") == "short"
