"""The page of a run: complete, silent, safe with any file name, and usable in a real browser."""

import base64
import hashlib
import html.parser
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selfsort.clusters import Clusters, items_table
from selfsort.report import write_report

NASTY = [
    "<img src=x onerror=alert(1)>.jpg",
    "</script><script>alert(2)</script>.png",
    'été 📷\nnew line & "quotes" \'.jpg',
    "<!--<svg onload=alert(3)>.gif",
]
N_PER_GROUP = 20
N_FINE = 8


def jpeg(color: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (96, 96), color).save(out, "JPEG")
    return out.getvalue()


def item(path: str, status: str = "ok") -> dict:
    good = status == "ok"
    return {
        "id": f"{abs(hash(path)):032x}" if good else "",
        "path": path,
        "path_bytes": path.encode(),
        "size": 10,
        "width": 400 * good,
        "height": 300 * good,
        "format": "JPEG" if good else "",
        "status": status,
    }


def describe(levels: np.ndarray, confidence: np.ndarray) -> list[dict]:
    groups = []
    for level in range(levels.shape[1]):
        for group in range(levels[:, level].max() + 1):
            rows = np.flatnonzero(levels[:, level] == group)
            rows = rows[np.argsort(-confidence[rows], kind="stable")].tolist()
            groups.append(
                {
                    "level": level,
                    "group": group,
                    "size": len(rows),
                    "parent": int(levels[rows[0], level - 1]) if level else None,
                    "confidence": float(confidence[rows].mean()),
                    "prototypes": rows[:12],
                    "odd": rows[::-1][:4],
                }
            )
    return groups


@pytest.fixture
def clusters() -> Clusters:
    """Eight groups of twenty pictures in three levels, three that belong nowhere, and four unreadable files."""
    rng = np.random.default_rng(0)
    fine = np.repeat(np.arange(N_FINE), N_PER_GROUP)
    n_ok = len(fine) + 3
    paths = [f"album {group}/picture {row}.jpg" for row, group in enumerate(fine)]
    paths[1:5] = NASTY  # readable files have such names, too
    rows = [item(path) for path in [*paths, "lost/a.jpg", "lost/b.jpg", "lost/c.jpg"]]
    rows += [item(f"bad/{name}", "not an image") for name in NASTY[:3]] + [item(f"bad/{NASTY[3]}", "<b>empty</b>")]
    labels = np.concatenate([fine, np.full(len(rows) - len(fine), -1)])
    levels = np.stack([np.where(labels < 0, -1, labels // 4), np.where(labels < 0, -1, labels // 2), labels], axis=1)
    confidence = np.round(rng.random(len(rows)), 3).astype(np.float32)
    points = rng.random((len(rows), 2)).astype(np.float32) * 0.3
    points[:3] = [(0, 0), (1, 1), (0.5, 0.5)]  # so that row 2 lies alone, in the middle of the map
    points[n_ok:] = np.nan
    return Clusters(
        run={
            "schema": 2,
            "selfsort": "0.1.0",
            "method": "graph",
            "level": 1,
            "root": "/pictures/Summer & <b>sun",
            "created": "2026-01-02T03:04:05+00:00",
            "params": {"n_neighbors": 15},
            "warnings": ["One group holds <most> pictures."],
            "scores": {"accuracy": 0.8123},
            "protocol": {"matching": "Hungarian"},
        },
        items=items_table(rows),
        levels=levels.astype(np.int32),
        confidence=confidence,
        neighbors=np.full((len(rows), 2), -1, np.int32),
        groups=describe(levels, confidence),
        map=points,
        thumbnails=[jpeg((row % 256, 90, 160)) if row < n_ok else None for row in range(len(rows))],
    )


class Elements(html.parser.HTMLParser):
    """The start tags of a page with their attributes, as a browser would see them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def written(clusters: Clusters, folder: Path, **options) -> str:
    write_report(clusters, folder / "report.html", **options)
    assert [path.name for path in folder.iterdir()] == ["report.html"]
    return (folder / "report.html").read_text(encoding="utf-8")


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def test_page_refers_to_no_other_file_or_host(clusters, tmp_path):
    page = written(clusters, tmp_path, figure=b"\x89PNG")
    assert "http://" not in page
    assert "https://" not in page
    assert "@import" not in page
    assert "url(" not in page
    for _, attributes in Elements(page).tags:
        for name in ("src", "href", "action", "srcset", "data", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))


def test_policy_admits_only_what_the_page_holds(clusters, tmp_path):
    page = written(clusters, tmp_path)
    policy = next(a["content"] for _, a in Elements(page).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        text = re.search(f"<{tag}>(.*?)</{tag}>", page, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not any("style" in a or any(name.startswith("on") for name in a) for _, a in Elements(page).tags)


def test_data_equal_the_run(clusters, tmp_path):
    data = data_of(written(clusters, tmp_path))
    assert data["paths"] == clusters.items["path"].to_pylist()
    assert np.array_equal(np.array(data["labels"]).T, clusters.levels)
    assert [len(groups) for groups in data["groups"]] == [2, 4, 8]
    assert data["level"] == 1
    assert data["unreadable"] == np.flatnonzero(~clusters.ok).tolist()
    assert np.allclose(np.array(data["sure"]) / 100, clusters.confidence, atol=0.0051)
    assert (data["x"][2], data["y"][2]) == (5000, 5000)
    assert data["x"][-1] == -1
    fine = data["groups"][2][3]
    assert (fine["size"], fine["parent"], len(fine["prototypes"]), len(fine["odd"])) == (N_PER_GROUP, 1, 12, 4)


def test_names_of_files_stay_text(clusters, tmp_path):
    page = written(clusters, tmp_path)
    tags = [tag for tag, _ in Elements(page).tags]
    assert tags.count("script") == 2
    assert not {"svg", "img", "b"} & set(tags)
    assert "&lt;img src=x onerror=alert(1)&gt;.jpg" in page
    assert "Summer &amp; &lt;b&gt;sun" in page
    assert "One group holds &lt;most&gt; pictures." in page


def test_suggested_names_and_why(clusters, tmp_path):
    evidence = [
        {"source": "kind", "term": "memes", "share": 0.95, "elsewhere": 0.0},
        {"source": "text", "term": "</script><b>", "share": 0.3, "elsewhere": 0.002},
        {"source": "place", "term": "Rome", "share": 0.5, "elsewhere": 0.25},
    ]
    suggested = {"name": "Memes \u202e · “</script><b>”", "evidence": evidence, "alternatives": []}
    for group in clusters.groups:
        group["suggested"] = suggested if group["group"] == 0 else {"name": "", "evidence": [], "alternatives": []}
    clusters.groups[0]["name"] = "Mine"
    page = written(clusters, tmp_path)
    assert [tag for tag, _ in Elements(page).tags].count("script") == 2
    data = data_of(page)
    assert data["groups"][0][0]["name"] == "Mine"
    assert data["groups"][1][0]["name"] == "Memes \ufffd · “</script><b>”"
    why = "memes 95% (others none), the text “</script><b>” 30% (others under 1%), taken in Rome 50% (others 25%)"
    assert data["groups"][1][0]["why"] == why
    assert not {"name", "why"} & set(data["groups"][1][1])


@pytest.mark.parametrize("budget", [0, 4, 30, 10_000])
def test_budget_of_thumbnails(clusters, tmp_path, budget):
    thumbnails = data_of(written(clusters, tmp_path, max_thumbnails=budget))["thumbnails"]
    assert len(thumbnails["rows"]) == len(set(thumbnails["rows"])) == min(budget, N_FINE * N_PER_GROUP + 3)
    for row, image in zip(thumbnails["rows"], thumbnails["images"], strict=True):
        assert base64.b64decode(thumbnails["prefix"] + image) == clusters.thumbnail(row)
    if budget == 4:  # one for each group of the default level
        assert sorted(clusters.labels[thumbnails["rows"]]) == [0, 1, 2, 3]


def test_thumbnails_beyond_the_faces_spread_evenly(clusters, tmp_path):
    faces = {row for group in clusters.groups for row in [*group["prototypes"], *group["odd"]]}
    rows = data_of(written(clusters, tmp_path, max_thumbnails=len(faces) + 8))["thumbnails"]["rows"]
    assert set(rows) >= faces


def test_header_scores_and_figure(clusters, tmp_path):
    page = written(clusters, tmp_path, figure=b"\x89PNG")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page[page.index("<header") :]))
    assert "167 pictures 4 groups 3 belong nowhere 4 could not be read 2 January 2026, 03:04" in text
    assert "accuracy0.8123" in text
    assert "matchingHungarian" in text
    assert base64.b64encode(b"\x89PNG").decode() in page


def test_run_without_map_thumbnails_scores_or_trouble(clusters, tmp_path):
    keep = np.flatnonzero(clusters.ok)
    run = {"level": 0, "root": "", "warnings": []}
    bare = Clusters(
        run=run,
        items=clusters.items.take(keep),
        levels=clusters.levels[keep],
        confidence=np.full(len(keep), np.nan, np.float32),
        neighbors=clusters.neighbors[keep],
        groups=[],
    )
    page = written(bare, tmp_path)
    assert not {"canvas", "table"} & {tag for tag, _ in Elements(page).tags}
    assert "<title>Pictures · selfsort</title>" in page
    assert data_of(page)["thumbnails"] == {"prefix": "", "rows": [], "images": []}


def test_rare_reasons_share_a_table(clusters, tmp_path):
    rows = [item(f"{number}.jpg", f"damaged at byte {number}") for number in range(40)]
    broken = Clusters(
        run={"level": 0, "root": "C:\\Users\\Ana\\Pictures"},
        items=items_table(rows),
        levels=np.full((40, 1), -1, np.int32),
        confidence=np.zeros(40, np.float32),
        neighbors=np.full((40, 1), -1, np.int32),
    )
    page = written(broken, tmp_path)
    assert "<title>Pictures · selfsort</title>" in page
    assert "<strong>28</strong> · for other reasons" in page
    assert page.count("damaged at byte") == 40


def test_page_in_a_browser(clusters, tmp_path, browser):
    from selenium.webdriver import ActionChains, Keys
    from selenium.webdriver.support.wait import WebDriverWait

    def find(selector: str) -> list:
        return browser.find_elements("css selector", selector)

    def press(*keys: str) -> None:
        ActionChains(browser).send_keys(*keys).perform()

    def until(condition) -> None:
        WebDriverWait(browser, 10, poll_frequency=0.05).until(lambda _: condition())

    written(clusters, tmp_path)
    browser.get((tmp_path / "report.html").as_uri())
    until(lambda: len(find("#wall > li")) == 4 + 1)  # and one row for what belongs nowhere
    until(lambda: find("#wall > li:first-child .strip img"))
    press("]")
    until(lambda: len(find("#wall > li")) == 8 + 1)
    browser.execute_script("document.querySelector('#levels input:checked').focus()")
    press(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    until(lambda: len(find("#wall > li")) == 2 + 1)
    assert "level=0" in browser.current_url

    press("j", Keys.ENTER)
    until(lambda: len(find(".tile")) == 4 * N_PER_GROUP)
    assert find("#wall [aria-expanded=true]")
    names = [node.text for node in find(".tile .name")]
    assert NASTY[0] in names
    press("/", "picture 21")
    until(lambda: len(find(".tile")) == 1)
    assert "1 picture in 1 group" in find("#announce")[0].text
    press(*[Keys.BACKSPACE] * len("picture 21"))
    until(lambda: len(find("#wall > li")) == 2 + 1)

    browser.execute_script("document.activeElement.blur()")
    press("m")
    until(lambda: browser.execute_script("return document.activeElement.id") == "canvas")
    ActionChains(browser).move_to_element(find("#canvas")[0]).perform()
    until(lambda: find("#tip")[0].is_displayed())
    assert "</script><script>alert(2)</script>.png" in find("#tip")[0].text
    ActionChains(browser).click().perform()
    until(lambda: "group=0" in browser.current_url)

    assert not browser.find_elements("css selector", "svg, b:not(i b), [onerror]")
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert not [url for url in requests if url.startswith(("http:", "https:", "ws:", "wss:"))]
