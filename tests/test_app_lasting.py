"""The server of the review page: what stays as it is while people correct, and in which order changes are made."""

import asyncio

import numpy as np
import pytest

pytest.importorskip("fastapi")
from answers import HOME, groups, post, some, stamp
from selfsort.app.lasting import Order, cut_keys
from selfsort.photos.corrected import Corrected
from selfsort.photos.outcome import outcome


def title(group):
    return group["name"] or group["suggested"] or group["unnamed"]


def seen(facts):
    return [(group["key"], title(group)) for group in facts["groups"]]


def test_names_and_order_stay_after_a_move_and_a_split(page, own_run):
    before, arrays = groups(page)
    largest, smallest = before["groups"][0]["key"], before["groups"][-1]["key"]
    rows = some(own_run, arrays, 0, 1) + np.flatnonzero(arrays["group"] == 0).tolist()
    moved, _ = post(page, "correct", do="move", rows=list(dict.fromkeys(rows))[:-1], keys=[smallest])
    assert moved["groups"][0]["size"] < moved["groups"][-1]["size"]
    assert seen(moved) == seen(before)
    split, labels = post(page, "split", key=smallest, parts=3)
    assert [one for one in seen(split) if one in seen(before)] == seen(before)
    place = [key for key, _ in seen(split)].index(smallest)
    assert place == len(split["groups"]) - 3  # the new ones come behind what they were a part of
    assert [(labels["group"] == number).sum() for number in range(len(split["groups"]))] == [
        group["size"] for group in split["groups"]
    ]
    undone, _ = post(page, "undo")
    assert seen(undone) == seen(before)
    assert seen(post(page, "redo")[0]) == seen(split)
    assert largest == split["groups"][0]["key"]


def test_new_groups_come_behind_those_that_they_came_from():
    order = Order()
    everything = np.ones(9, bool)
    keys = np.array([7, 7, 7, 7, 7, 3, 3, 5, -1])
    order.begin(keys, everything)
    after = np.array([7, -2, -2, -2, -3, 3, 5, 5, -4])
    order.update(after, keys, everything)
    known = [7, -2, -3, 3, 5, -4]
    assert sorted(known, key=dict(zip(known, order.places(known).tolist(), strict=True)).get) == known


def test_a_part_that_is_a_whole_group_keeps_its_key():
    keys = np.array([7, 7, 3, 3, -2, -1])
    assert cut_keys(np.array([0, 0, 1, 1, 1, 0]), keys).tolist() == [
        7,
        7,
        (1 << 40) + 2,
        (1 << 40) + 2,
        (1 << 40) + 2,
        -1,
    ]
    fine = cut_keys(np.array([0, 1, 2, 2, 3, 3]), keys).tolist()
    assert fine == [1 << 40, (1 << 40) + 1, 3, 3, -2, -1]


def test_coarser_groups_that_nothing_changed_keep_key_and_name(page):
    before, _ = groups(page)
    post(page, "correct", do="rename", keys=[before["groups"][0]["key"]], name="Mine")
    before, _ = groups(page)
    coarser, _ = groups(page, 3)
    assert len(set(seen(coarser)) & set(seen(before))) == 2


def test_a_group_without_a_name_is_called_as_in_exports(page, own_run):
    before, arrays = groups(page)
    post(page, "correct", do="split", rows=some(own_run, arrays, 0, 2))
    post(page, "correct", do="merge", keys=[before["groups"][1]["key"], before["groups"][2]["key"]])
    after, labels = groups(page)
    with Corrected(own_run, read_only=True) as corrected:
        exported = outcome(corrected.clusters, corrected)
    for number, group in enumerate(after["groups"]):
        of = int(exported.labels[np.flatnonzero(labels["group"] == number)[0]])
        assert title(group) == exported.name(of)


def test_a_new_group_gets_its_name_in_one_step(page, own_run):
    _, arrays = groups(page)
    made, _ = post(page, "correct", do="split", rows=some(own_run, arrays, 0, 2), name=" Grandma's  garden ")
    assert "Grandma's garden" in [group["name"] for group in made["groups"]]
    assert made["undo"]["said"] == "make a new group Grandma's garden of 2 pictures"
    assert "Grandma's garden" not in [group["name"] for group in post(page, "undo")[0]["groups"]]
    with Corrected(own_run, read_only=True) as corrected:
        assert outcome(corrected.clusters, corrected).names.keys() <= {0, 1, 2, 3}


def test_a_merge_is_told_by_the_name_that_stays(page):
    first, second, third, _ = groups(page)[0]["groups"]
    post(page, "correct", do="rename", keys=[second["key"]], name="Beach")
    both, _ = post(page, "correct", do="merge", keys=[first["key"], second["key"]])
    assert (first["key"], "Beach") in seen(both)
    assert both["undo"]["said"] == f"merge {title(first)} into Beach"
    three, _ = post(page, "correct", do="merge", keys=[third["key"], first["key"]])
    assert three["undo"]["said"] == f"merge {title(third)} into Beach"
    post(page, "correct", do="rename", keys=[third["key"]], name="Sea")
    assert [entry["said"] for entry in page.get("/api/history").json()][1:3] == [
        f"merge {title(third)} into Beach",
        f"merge {title(first)} into Beach",
    ]
    post(page, "undo", number=page.get("/api/history").json()[2]["number"])
    assert groups(page)[0]["redo"]["said"] == f"merge {title(first)} into Beach"


def test_changes_are_made_in_the_order_in_which_they_came(page, app):
    """A split computes for a while: an undo that comes meanwhile waits, and is of the split."""
    httpx2 = pytest.importorskip("httpx2")
    before, _ = groups(page)
    body = {"key": before["groups"][0]["key"], "parts": 3, "run": stamp(page)}
    client = httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url=HOME, cookies=dict(page.cookies), headers=dict(page.headers)
    )

    async def together():
        async with client:
            return await asyncio.gather(client.post("/api/split", json=body), client.post("/api/undo", json={}))

    answers = page.portal.call(together)
    assert [(answer.status_code, answer.text[:40] * (answer.status_code != 200)) for answer in answers] == [
        (200, "")
    ] * 2
    after, _ = groups(page)
    assert seen(after) == seen(before)
    assert after["redo"]["said"].startswith("make 2 new groups")
