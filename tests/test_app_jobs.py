"""The server of the review page: long work, and what it does to files."""

import time
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
from answers import groups, post, some, stamp, version
from selfsort.app.review import LOCKED
from selfsort.clusters import Clusters


def wait(page):
    for _ in range(600):
        job = page.get("/api/now").json()["job"]
        if not job["running"]:
            return job
        time.sleep(0.1)
    raise AssertionError("the job does not end")


def test_group_again_keeps_what_was_corrected(page, own_run):
    before, arrays = groups(page)
    key = before["groups"][0]["key"]
    rows = some(own_run, arrays, 1, 2)
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


def test_trash_from_the_page(page, own_run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    moved = []

    def take(path):
        Path(path).rename(tmp_path / str(len(moved)))
        moved.append(path)

    monkeypatch.setattr("send2trash.send2trash", take)
    clusters = Clusters.load(own_run)
    ids, paths = (clusters.items.column(name).to_pylist() for name in ("id", "path"))
    rows = [row for row in range(len(ids)) if ids[row] and ids.count(ids[row]) == 1][:2]
    sidecars = [Path(clusters.run["root"], paths[row] + ".xmp") for row in rows]
    for sidecar in sidecars:
        sidecar.write_bytes(b"<x/>")
    body = {"rows": rows[:1], "run": stamp(page)}
    plan = page.post("/api/trash", json=body).json()
    assert [file["only_copy"] for file in plan["files"]] == [True, None]
    assert plan["files"][1]["belongs_to"] == plan["files"][0]["path"]
    assert (plan["trashed"], moved) == (0, [])
    kept = page.post("/api/trash", json=body | {"confirmed": True}).json()
    assert "only copy" in kept["refused"][0]
    assert moved == []
    shown = {"shown": [file["path"] for file in plan["files"]]}
    gone = page.post("/api/trash", json=body | shown | {"confirmed": True, "only_copies": True}).json()
    assert (gone["trashed"], len(moved)) == (2, 2)
    other = body | {"rows": rows[1:], "run": stamp(page)}
    gone = page.post("/api/trash", json=other | {"confirmed": True, "only_copies": True}).json()
    assert (gone["trashed"], len(moved)) == (1, 3)
    assert [sidecar.exists() for sidecar in sidecars] == [False, True]  # the second was not shown
    assert page.post("/api/trash", json=body | {"rows": []}).status_code == 422
    assert page.post("/api/trash", json=body | {"rows": [999999]}).status_code == 400
    for number, path in enumerate(moved):  # other tests have the same pictures
        (tmp_path / str(number)).rename(path)
    for sidecar in sidecars:
        sidecar.unlink()
