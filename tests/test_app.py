"""The server of the review page: what it answers, and whom it refuses."""

import json
import shutil
import time

import numpy as np
import pytest

pytest.importorskip("fastapi")
from fastapi.testclient import TestClient

from selfsort.app.guard import MAX_BODY
from selfsort.app.pack import pack
from selfsort.app.pictures import prune
from selfsort.app.review import GONE, HIDDEN, LOCKED, PLACED, Review
from selfsort.app.server import create_app
from selfsort.app.splitting import parts
from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.photos.organize import organize
from selfsort.photos.settings import Settings

TOKEN, PORT = "a-token-of-this-test", 8765
HOME = f"http://127.0.0.1:{PORT}"


def unpack(data):
    length = int.from_bytes(data[:4], "little")
    facts = json.loads(data[4 : 4 + length])
    start = -(-(4 + length) // 8) * 8
    arrays = {
        name: np.frombuffer(data, at["type"], at["length"], start + at["offset"])
        for name, at in facts.pop("arrays").items()
    }
    return facts, arrays


@pytest.fixture(scope="module")
def made(library, tmp_path_factory):
    """A run of the small library, made once."""
    folder = tmp_path_factory.mktemp("review")
    pictures = folder / "pictures"
    shutil.copytree(library.root, pictures)
    organize(pictures, folder / "run", settings=Settings(groups=4))
    return folder


@pytest.fixture
def run(made, tmp_path):
    """A copy of it, whose pictures stay where they are."""
    for name in ("run", "run.catalog"):
        place = made / name
        (shutil.copytree if place.is_dir() else shutil.copy)(place, tmp_path / name)
    return tmp_path / "run"


@pytest.fixture
def app(run):
    return create_app(run, token=TOKEN, port=PORT)


@pytest.fixture
def page(app):
    with TestClient(app, base_url=HOME) as client:
        assert client.get(f"/?token={TOKEN}").status_code == 200
        client.headers["x-selfsort-token"] = TOKEN
        yield client


def groups(page, n=None):
    answer = page.get("/api/groups", params={"n": n} if n else {})
    assert answer.status_code == 200, answer.text
    return unpack(answer.content)


def stamp(page):
    return version(page).split("-")[0]


def post(page, path, **body):
    if path in ("correct", "split"):
        body["run"] = stamp(page)
    answer = page.post(f"/api/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return unpack(answer.content)


def some(run, arrays, group, n):
    """Return rows of `n` different pictures of a group that have no copies."""
    ids = Clusters.load(run).items.column("id").to_pylist()
    rows = [row for row in np.flatnonzero(arrays["group"] == group).tolist() if ids.count(ids[row]) == 1]
    assert len(rows) >= n
    return rows[:n]


def test_pack_comes_out_as_it_went_in():
    arrays = {
        "a": np.arange(5, dtype=np.uint8),
        "b": np.array([1.5, np.nan]),
        "c": np.arange(3, dtype=">i4"),
        "d": np.zeros(0, np.float32),
    }
    facts, found = unpack(pack({"name": "Zoë \udce4"}, **arrays))
    assert facts == {"name": "Zoë \udce4"}
    for name, value in arrays.items():
        np.testing.assert_array_equal(found[name], value)


def test_the_page_and_its_parts(page):
    answer = page.get("/")
    assert TOKEN in answer.text
    assert "{{" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for name in ("main.js", "page.css", "icon.svg", "countries-110m.json"):
        assert page.get(f"/static/{name}").status_code == 200
    for name in ("index.html", "nothing.js", "..%2fserver.py", "%2e%2e/server.py", "__init__.py"):
        assert page.get(f"/static/{name}").status_code == 404


def test_run_and_groups(page, run):
    clusters = Clusters.load(run)
    facts, columns = unpack(page.get("/api/run").content)
    assert facts["n"] == len(clusters.ok)
    assert columns["ok"].sum() == clusters.ok.sum()
    assert facts["levels"]["found"] == 4
    now, arrays = groups(page)
    assert [group["size"] for group in now["groups"]] == sorted((g["size"] for g in now["groups"]), reverse=True)
    assert len(np.unique(np.column_stack([arrays["group"], clusters.labels]), axis=0)) == len(
        np.unique(clusters.labels)
    )
    for number, group in enumerate(now["groups"]):
        assert all(arrays["group"][row] == number for row in group["covers"])
        assert (arrays["group"] == number).sum() == group["size"]


def test_corrections_undo_and_redo(page, run):
    before, arrays = groups(page)
    target, other = before["groups"][0]["key"], before["groups"][1]["key"]
    rows = some(run, arrays, 1, 3)
    after, moved = post(page, "correct", do="move", rows=rows, keys=[target])
    sizes = {group["key"]: group["size"] for group in after["groups"]}
    assert sizes[target] == before["groups"][0]["size"] + 3
    assert (moved["flags"][rows] & PLACED).all()
    assert after["undo"]["said"].startswith("move 3 pictures to ")
    named, _ = post(page, "correct", do="rename", keys=[other], name="  Stripes\n ")
    assert {g["key"]: g["name"] for g in named["groups"]}[other] == "Stripes"
    merged, _ = post(page, "correct", do="merge", keys=[other, target])
    assert len(merged["groups"]) == 3
    history = page.get("/api/history").json()
    assert [entry["said"].split()[0] for entry in history] == ["merge", "name", "move"]
    undone, _ = post(page, "undo", number=history[2]["number"])  # the first of the three, in the middle of the log
    assert len(undone["groups"]) == 3
    for _ in range(2):
        post(page, "undo")
    again, back = groups(page)
    assert [(g["key"], g["size"], g["covers"]) for g in again["groups"]] == [
        (g["key"], g["size"], g["covers"]) for g in before["groups"]
    ]
    assert (back["group"] == arrays["group"]).all()
    assert page.post("/api/undo", json={}).status_code == 400
    redone, _ = post(page, "redo")
    assert redone["undo"]


def test_hide_lock_links_and_not_this(page, run):
    _, arrays = groups(page)
    rows = some(run, arrays, 0, 2)
    hidden, flags = post(page, "correct", do="hide", rows=rows)
    assert hidden["n_hidden"] == 2
    assert (flags["flags"][rows] & HIDDEN).all()
    assert not set(hidden["groups"][0]["covers"]) & set(rows)
    shown, _ = post(page, "correct", do="show", rows=rows)
    assert shown["n_hidden"] == 0
    _, locked = post(page, "correct", do="lock", rows=rows)
    assert (locked["flags"][rows] & LOCKED).all()
    post(page, "correct", do="unlock", rows=rows)
    _, out = post(page, "correct", do="not-this", rows=rows[:1])
    assert out["group"][rows[0]] == -1
    post(page, "correct", do="must-link", rows=rows)
    post(page, "correct", do="cannot-link", rows=rows)
    assert version(page).endswith("-7")


def test_split_is_one_step(page, run):
    before, arrays = groups(page)
    after, _ = post(page, "split", key=before["groups"][0]["key"], parts=3)
    assert len(after["groups"]) == len(before["groups"]) + 2
    assert after["undo"]["said"].startswith("make 2 new groups of")
    back, same = post(page, "undo")
    assert len(back["groups"]) == len(before["groups"])
    assert (same["group"] == arrays["group"]).all()
    assert len(post(page, "redo")[0]["groups"]) == len(before["groups"]) + 2
    wrong = page.post("/api/split", json={"key": before["groups"][1]["key"], "parts": 500, "run": stamp(page)})
    assert wrong.status_code == 400
    assert "2 to" in wrong.json()["error"]


def test_parts_of_few_pictures():
    rng = np.random.default_rng(0)
    first, last = np.eye(8)[0], np.eye(8)[7]
    features = np.concatenate([rng.random((6, 8)) + 9 * first, rng.random((5, 8)) + 9 * last])
    labels = parts(features.astype(np.float32))
    assert labels.max() >= 1
    assert set(parts(features[:2].astype(np.float32)).tolist()) == {0, 1}
    with pytest.raises(DataError, match="2 to 11"):
        parts(features.astype(np.float32), 12)


def test_coarser_and_finer(page, run):
    before, arrays = groups(page)
    facts, _ = unpack(page.get("/api/run").content)
    for n in range(1, facts["levels"]["most"] + 1):
        cut, labels = groups(page, n)
        assert len(cut["groups"]) == n
        assert cut["cut"]
        fine, coarse = (labels, arrays) if n >= 4 else (arrays, labels)
        grouped = arrays["group"] >= 0
        pairs = np.unique(np.column_stack([fine["group"], coarse["group"]])[grouped], axis=0)
        assert len(pairs) == max(n, 4)  # nested
    # what was corrected follows: merged groups are one in every coarser view, moved pictures are in one group
    keys = [group["key"] for group in before["groups"]]
    post(page, "correct", do="merge", keys=keys[2:4])
    rows = some(run, arrays, 0, 4)
    post(page, "correct", do="split", rows=rows)
    now, corrected = groups(page)
    for n in (1, 2, 3, facts["levels"]["most"]):
        cut, labels = groups(page, n)
        assert (labels["group"] >= 0).sum() == (corrected["group"] >= 0).sum()
        if n <= 3:
            assert (
                len(np.unique(np.column_stack([labels["group"], corrected["group"]]), axis=0)) <= len(now["groups"]) + 1
            )
    after, same = groups(page)  # looking changes nothing
    assert [group["key"] for group in after["groups"]] == [group["key"] for group in now["groups"]]
    assert (same["group"] == corrected["group"]).all()


def test_search(page, run):
    clusters = Clusters.load(run)
    paths = clusters.items.column("path").to_pylist()
    row = int(np.flatnonzero(clusters.ok)[0])
    stem = paths[row].split("/")[-1]
    assert row in page.get("/api/search", params={"q": stem.upper()}).json()["rows"]
    assert page.get("/api/search", params={"q": " "}).json()["rows"] == []
    like = page.get(f"/api/search/like/{row}").json()["rows"]
    ids = clusters.items.column("id").to_pylist()
    assert ids[like[0]] == ids[row]
    assert clusters.ok[like].all()
    data = (run.parent / "nothing").with_name("x")
    from PIL import Image

    Image.new("RGB", (64, 64), "white").save(data, "PNG")
    found = page.post("/api/search/picture", content=data.read_bytes())
    assert len(found.json()["rows"]) == len(like)
    assert page.post("/api/search/picture", content=b"no picture").status_code == 400
    assert page.get("/api/search/like/999999").status_code == 400


def test_facts_details_and_duplicates(page, run):
    facts, arrays = unpack(page.get("/api/facts").content)
    n = len(Clusters.load(run).ok)
    assert {len(array) for array in arrays.values()} == {n}
    assert facts["flaws"] == ["blurred", "dark", "empty"]
    known = page.get("/api/pictures", params={"rows": "0,1,x,999999"}).json()
    assert [one["row"] for one in known] == [0, 1]
    assert known[0]["path"]
    sets = page.get("/api/duplicates").json()
    assert {one["level"] for one in sets} <= {"identical", "same shot", "burst"}
    names = page.get("/api/names").json()
    assert len(names) == n


def test_pictures_of_three_sizes(fresh_cache, page, run):
    clusters = Clusters.load(run)
    row = int(np.flatnonzero(clusters.ok)[0])
    for size in ("small", "tile", "large"):
        answer = page.get(f"/picture/{row}/{size}")
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.content.startswith(b"\xff\xd8")
    assert len(list((fresh_cache / "tiles").glob("*/*.jpg"))) == 1
    assert prune(fresh_cache / "tiles", 0) == 1
    for wrong in (999999, -1):
        assert page.get(f"/picture/{wrong}/tile").status_code == 404
    unreadable = np.flatnonzero(~clusters.ok)
    if len(unreadable):
        assert page.get(f"/picture/{unreadable[0]}/large").status_code == 404


def test_a_picture_whose_original_is_gone_is_shown_from_the_run(run, fresh_cache):
    clusters = Clusters.load(run)
    clusters.run["root"] = str(run / "nowhere")
    clusters.save(run)
    with TestClient(create_app(run, token=TOKEN, port=PORT), base_url=HOME) as page:
        page.get(f"/?token={TOKEN}")
        row = int(np.flatnonzero(clusters.ok)[0])
        assert page.get(f"/picture/{row}/large").content.startswith(b"\xff\xd8")


def test_another_program_corrects_meanwhile(page, run):
    before = version(page)
    other = Review(run)
    other.correct("hide", rows=[int(np.flatnonzero(other.clusters.ok)[0])])
    other.close()
    assert version(page) != before
    assert groups(page)[0]["n_hidden"] >= 1


def version(page):
    """Return of which run and log the page knows, whether or not names are found already."""
    return page.get("/api/now").json()["version"].rpartition("-")[0]


def wait(page):
    for _ in range(600):
        job = page.get("/api/now").json()["job"]
        if not job["running"]:
            return job
        time.sleep(0.1)
    raise AssertionError("the job does not end")


def test_group_again_keeps_what_was_corrected(page, run):
    before, arrays = groups(page)
    key = before["groups"][0]["key"]
    rows = some(run, arrays, 1, 2)
    post(page, "correct", do="rename", keys=[key], name="Mine")
    post(page, "correct", do="lock", rows=rows)
    made = version(page).split("-")[0]
    answer = page.post("/api/regroup", json={"groups": 4})
    assert answer.status_code == 200, answer.text
    assert page.post("/api/regroup", json={}).status_code == 400  # one at a time
    job = wait(page)
    assert job["error"] == ""
    assert "moved" in job["result"]["moved"]
    assert version(page).split("-")[0] != made
    after, now = groups(page)
    assert "Mine" in [group["name"] for group in after["groups"]]
    assert (now["flags"][rows] & LOCKED).all()


def test_a_job_is_stopped(page):
    before, _ = groups(page)
    page.post("/api/regroup", json={"groups": 5})
    job = page.post("/api/stop", json={}).json()["job"]
    assert not job["running"]
    assert job["error"].startswith("Stopped")
    after, _ = groups(page)
    assert [group["key"] for group in after["groups"]] == [group["key"] for group in before["groups"]]


def test_export_from_the_page(page, tmp_path):
    place = tmp_path / "out"
    page.post("/api/export", json={"mode": "copy", "destination": str(place), "dry_run": True})
    assert wait(page)["result"]["planned"] > 0
    assert not place.exists()
    page.post("/api/export", json={"mode": "copy", "destination": str(place)})
    job = wait(page)
    assert job["error"] == ""
    assert len(list(place.glob("*/*"))) == job["result"]["done"] > 0
    assert page.post("/api/export", json={"mode": "copy", "destination": "here"}).status_code == 400


def test_trash_from_the_page(page, run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    moved = []
    monkeypatch.setattr("send2trash.send2trash", moved.append)
    ids = Clusters.load(run).items.column("id").to_pylist()
    row = next(row for row in range(len(ids)) if ids[row] and ids.count(ids[row]) == 1)
    body = {"rows": [row], "run": stamp(page)}
    plan = page.post("/api/trash", json=body).json()
    assert [file["only_copy"] for file in plan["files"]] == [True]
    assert (plan["trashed"], moved) == (0, [])
    kept = page.post("/api/trash", json=body | {"confirmed": True}).json()
    assert "only copy" in kept["refused"][0]
    assert moved == []
    gone = page.post("/api/trash", json=body | {"confirmed": True, "only_copies": True}).json()
    assert (gone["trashed"], len(moved)) == (1, 1)
    assert page.post("/api/trash", json=body | {"rows": []}).status_code == 422
    assert page.post("/api/trash", json=body | {"rows": [999999]}).status_code == 400


def test_what_is_in_the_trash_is_gone_from_the_page(run):
    paths = Clusters.load(run).items.column("path").to_pylist()
    row = int(np.flatnonzero(Clusters.load(run).ok)[0])
    log = run.with_name("run.trashed.jsonl")
    facts = {"path": paths[row], "file": "/nowhere/at/all"}
    lines = [{"do": "trash", **facts}, {"do": "trashed", "path": paths[row]}]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"do": "tra')
    review = Review(run)
    assert review.flags[row] & GONE
    assert (review.flags & GONE > 0).sum() == 1
    review.close()


REFUSED = [
    ("GET", "/api/groups", {"host": "evil.example"}),
    ("GET", "/api/groups", {"host": f"127.0.0.1:{PORT + 1}"}),
    ("GET", "/", {"host": "evil.example:8765"}),
    ("GET", "/api/groups", {"origin": "http://evil.example"}),
    ("GET", "/picture/0/tile", {"origin": "null"}),
    ("GET", "/api/groups", {"sec-fetch-site": "cross-site"}),
    ("GET", "/api/groups", {"sec-fetch-site": "same-site"}),
    ("POST", "/api/undo", {"origin": f"http://localhost:{PORT}"}),
    ("POST", "/api/undo", {"x-selfsort-token": "wrong"}),
    ("POST", "/api/undo", {"x-selfsort-token": ""}),
    ("POST", "/api/undo", {"content-length": str(MAX_BODY + 1)}),
    ("POST", "/api/undo", {"content-length": "-1"}),
    ("GET", "/api/groups", {"cookie": f"selfsort-{PORT}=wrong"}),
    ("PUT", "/api/undo", {}),
    ("DELETE", "/api/groups", {}),
    ("OPTIONS", "/api/groups", {}),
    ("GET", "/?token=wrong", {}),
]


@pytest.mark.parametrize(("method", "path", "headers"), REFUSED)
def test_refused(page, run, method, path, headers):
    rows = [int(np.flatnonzero(Clusters.load(run).ok)[0])]
    post(page, "correct", do="hide", rows=rows)
    before = version(page)
    answer = page.request(method, path, headers=headers, content=b"{}" if method == "POST" else None)
    assert answer.status_code in (403, 405, 413)
    assert TOKEN not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert version(page) == before


def test_without_a_token_nothing_is_told(app):
    with TestClient(app, base_url=HOME) as stranger:
        for path in ("/", "/static/main.js", "/api/groups", "/picture/0/small", "/api/now", "/nothing"):
            answer = stranger.get(path)
            assert answer.status_code == 403
            assert TOKEN not in answer.text
        assert stranger.post("/api/undo", json={}, headers={"x-selfsort-token": TOKEN}).status_code == 403


BAD = [
    ("correct", {}),
    ("correct", {"do": "explode", "rows": [0]}),
    ("correct", {"do": "move", "rows": ["0"], "keys": [1]}),
    ("correct", {"do": "move", "rows": [0], "keys": [123]}),
    ("correct", {"do": "move", "rows": [10**9], "keys": [1]}),
    ("correct", {"do": "move", "rows": [-1], "keys": [1]}),
    ("correct", {"do": "move", "rows": [], "keys": [1]}),
    ("correct", {"do": "rename", "keys": [], "name": "x"}),
    ("correct", {"do": "rename", "keys": [-1], "name": "x"}),
    ("correct", {"do": "hide", "rows": [0], "more": 1}),
    ("correct", {"do": "hide", "rows": [0] * 1_000_001}),
    ("correct", {"do": "rename", "keys": [1], "name": "x" * 2000}),
    ("split", {"key": 12}),
    ("undo", {"number": 77}),
    ("redo", {"number": "x"}),
    ("regroup", {"groups": 0}),
    ("export", {"mode": "burn", "destination": "/x"}),
    ("export", {"mode": "copy", "destination": "~nobody-of-this-name/x"}),
    ("trash", {"rows": [-5]}),
]


@pytest.mark.parametrize(("path", "body"), BAD)
def test_wrong_requests_change_nothing(page, path, body):
    before = version(page)
    if path in ("correct", "split", "trash"):
        body = {"run": stamp(page), **body}
    answer = page.post(f"/api/{path}", json=body)
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["error"]
    assert version(page) == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"number": 1e400}', b"null", b"[" * 20_000])
def test_bodies_that_are_no_json(page, content):
    answer = page.post("/api/undo", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)


def test_a_body_longer_than_it_says(page):
    def chunks():
        for _ in range(20):
            yield b" " * (1 << 20)

    answer = page.post("/api/undo", content=chunks(), headers={"content-type": "application/json"})
    assert answer.status_code in (400, 413)


def test_rows_of_another_run_are_refused(page, run):
    before, _ = groups(page)
    old = stamp(page)
    row, key = int(np.flatnonzero(Clusters.load(run).ok)[0]), before["groups"][0]["key"]
    clusters = Clusters.load(run)
    clusters.save(run)  # as a run that was made again
    for path, body in (
        ("correct", {"do": "hide", "rows": [row]}),
        ("split", {"key": key}),
        ("trash", {"rows": [row], "confirmed": True, "only_copies": True}),
    ):
        answer = page.post(f"/api/{path}", json=body | {"run": old})
        assert answer.status_code == 409, answer.text
    assert page.get(f"/api/search/like/{row}", params={"run": old}).status_code == 409
    assert groups(page)[0]["n_corrections"] == 0


def test_a_run_that_is_damaged_for_a_moment(page, run):
    known = (run / "groups.json").read_bytes()
    (run / "groups.json").write_text("nothing")
    (run / "run.json").write_bytes((run / "run.json").read_bytes())
    before = version(page)
    assert len(groups(page)[0]["groups"]) == 4  # what was read before stays
    (run / "groups.json").write_bytes(known)
    assert version(page) != before
    assert len(groups(page)[0]["groups"]) == 4


def test_split_leaves_locked_and_moved_pictures(run):
    review = Review(run)
    level = review.clusters.run["level"]
    key = next(int(g["key"]) for g in review.clusters.groups if g["level"] == level and g["group"] == 0)
    contents, _ = review.members(key)
    locked = review.ids.index(contents[0])
    review.correct("lock", rows=[locked])
    assert contents[0] not in review.members(key)[0]
    moved = review.ids.index(contents[1])
    review.correct("split", rows=[moved])
    labels = np.ones(len(contents), np.int64)
    review.split(key, contents, labels)
    now = review.state.groups
    assert now[contents[0]] == key
    assert len({now[contents[1]], now[contents[2]], key}) == 3
    review.close()


def test_foreign_cookies_do_no_harm(app):
    with TestClient(app, base_url=HOME) as page:
        page.get(f"/?token={TOKEN}")
        mine = f"selfsort-{PORT}={TOKEN}"
        page.cookies.clear()
        for other in ("foo@bar=1", 'a={"b": [1, 2]}', "x y=1", "=", ";;"):
            assert page.get("/api/now", headers={"cookie": f"{other}; {mine}"}).status_code == 200
            assert page.get("/api/now", headers={"cookie": other}).status_code == 403


def test_what_is_wrong_with_a_run_is_said_first(tmp_path, run):
    with pytest.raises(DataError, match="not a finished run"):
        create_app(tmp_path / "nothing", token=TOKEN, port=PORT)
    run.with_name("run.catalog").unlink()
    with pytest.raises(DataError, match="no catalog"):
        create_app(run, token=TOKEN, port=PORT)
