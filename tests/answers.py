"""What the tests of the review page's server ask it, and how its answers are read."""

import json

import numpy as np

from selfsort.clusters import Clusters

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


def groups(page, n=None):
    answer = page.get("/api/groups", params={"n": n} if n else {})
    assert answer.status_code == 200, answer.text
    return unpack(answer.content)


def stamp(page):
    return version(page).split("-")[0]


def version(page):
    """Return of which run and log the page knows, whether or not names are found already."""
    return page.get("/api/now").json()["version"].rpartition("-")[0]


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
