"""The server of the review page: corrections, alone and beside another program."""

import numpy as np
import pytest

pytest.importorskip("fastapi")
from answers import groups, post, some, stamp, version
from selfsort.app.review import HIDDEN, LOCKED, PLACED, Review
from selfsort.app.splitting import parts
from selfsort.clusters import Clusters
from selfsort.errors import DataError


def test_corrections_undo_and_redo(page, own_run):
    before, arrays = groups(page)
    target, other = before["groups"][0]["key"], before["groups"][1]["key"]
    rows = some(own_run, arrays, 1, 3)
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


def test_hide_lock_links_and_not_this(page, own_run):
    _, arrays = groups(page)
    rows = some(own_run, arrays, 0, 2)
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
    told = page.post("/api/correct", json={"do": "cannot-link", "rows": rows, "run": stamp(page)})
    assert told.status_code == 400
    assert "belong together, as correction 6 says" in told.json()["error"]
    post(page, "undo")
    post(page, "correct", do="cannot-link", rows=rows)
    told = page.post("/api/correct", json={"do": "cannot-link", "rows": rows, "run": stamp(page)})
    assert "it is so already" in told.json()["error"]
    assert version(page).endswith("-8")


def test_split_is_one_step(page, own_run):
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


def test_split_leaves_locked_and_moved_pictures(own_run):
    review = Review(own_run)
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


def test_another_program_corrects_meanwhile(page, own_run):
    before = version(page)
    other = Review(own_run)
    other.correct("hide", rows=[int(np.flatnonzero(other.clusters.ok)[0])])
    other.close()
    assert version(page) != before
    assert groups(page)[0]["n_hidden"] >= 1


def test_rows_of_another_run_are_refused(page, own_run):
    before, _ = groups(page)
    old = stamp(page)
    row, key = int(np.flatnonzero(Clusters.load(own_run).ok)[0]), before["groups"][0]["key"]
    clusters = Clusters.load(own_run)
    clusters.save(own_run)  # as a run that was made again
    for path, body in (
        ("correct", {"do": "hide", "rows": [row]}),
        ("split", {"key": key}),
        ("trash", {"rows": [row], "confirmed": True, "only_copies": True}),
    ):
        answer = page.post(f"/api/{path}", json=body | {"run": old})
        assert answer.status_code == 409, answer.text
    assert page.get(f"/api/search/like/{row}", params={"run": old}).status_code == 409
    assert groups(page)[0]["n_corrections"] == 0
