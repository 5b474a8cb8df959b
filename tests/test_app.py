"""The server of the review page: what it shows of a run."""

import json
import re

import numpy as np
import pytest

pytest.importorskip("fastapi")
from fastapi.testclient import TestClient

from answers import HOME, PORT, TOKEN, groups, post, some, unpack, version
from selfsort.app.pack import pack
from selfsort.app.pictures import prune
from selfsort.app.review import GONE, Review
from selfsort.app.server import create_app
from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.kind import kinds
from selfsort.photos.persons import PERSONS
from selfsort.run_folder import seal_run


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
    for name in ("main.js", "page.css", "colors.css", "icon.svg", "countries-110m.json"):
        assert page.get(f"/static/{name}").status_code == 200
    for name in ("index.html", "nothing.js", "..%2fserver.py", "%2e%2e/server.py", "__init__.py"):
        assert page.get(f"/static/{name}").status_code == 404


def test_run_and_groups(page, own_run):
    clusters = Clusters.load(own_run)
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


def test_coarser_and_finer(page, own_run):
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
    rows = some(own_run, arrays, 0, 4)
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


def test_search(page, own_run):
    clusters = Clusters.load(own_run)
    paths = clusters.items.column("path").to_pylist()
    row = int(np.flatnonzero(clusters.ok)[0])
    stem = paths[row].split("/")[-1]
    assert row in page.get("/api/search", params={"q": stem.upper()}).json()["rows"]
    assert page.get("/api/search", params={"q": " "}).json()["rows"] == []
    like = page.get(f"/api/search/like/{row}").json()["rows"]
    ids = clusters.items.column("id").to_pylist()
    assert ids[like[0]] == ids[row]
    assert clusters.ok[like].all()
    data = (own_run.parent / "nothing").with_name("x")
    from PIL import Image

    Image.new("RGB", (64, 64), "white").save(data, "PNG")
    found = page.post("/api/search/picture", content=data.read_bytes())
    assert len(found.json()["rows"]) == len(like)
    assert page.post("/api/search/picture", content=b"no picture").status_code == 400
    assert page.get("/api/search/like/999999").status_code == 400


def test_facts_details_and_duplicates(page, own_run):
    facts, arrays = unpack(page.get("/api/facts").content)
    n = len(Clusters.load(own_run).ok)
    assert {len(array) for array in arrays.values()} == {n}
    assert facts["flaws"] == ["blurred", "dark", "empty", "cut"]
    known = page.get("/api/pictures", params={"rows": "0,1,x,999999"}).json()
    assert [one["row"] for one in known] == [0, 1]
    assert known[0]["path"]
    of_kind = re.fullmatch(r"(\w+) \((\d+)%\)", known[0]["kind"])
    assert of_kind[1] in kinds()
    assert 100 / len(kinds()) <= int(of_kind[2]) <= 100
    sets = page.get("/api/duplicates").json()
    assert {one["level"] for one in sets} <= {"identical", "same shot", "burst"}
    names = page.get("/api/names").json()
    assert len(names) == n


def test_a_person_gets_a_name(page, own_run):
    content = Clusters.load(own_run).items.column("id")[0].as_py()
    with Catalog(catalog_path(own_run)) as catalog:
        catalog.add_facts(PERSONS, 2, {content: [2, 0]})
    assert page.post("/api/person", json={"person": 2, "name": "Ann Lee"}).json() == {}
    assert page.get("/api/pictures", params={"rows": "0"}).json()[0]["people"] == [{"person": 2, "name": "Ann Lee"}]
    assert page.get("/api/search", params={"q": "lee"}).json()["rows"] == [0]
    assert "There is no person 3" in page.post("/api/person", json={"person": 3, "name": "X"}).json()["error"]
    assert page.post("/api/person", json={"person": 2}).status_code == 422
    refused = page.post("/api/person", json={"person": 2, "name": "X"}, headers={"x-selfsort-token": "no"})
    assert refused.status_code == 403
    assert page.get("/api/pictures", params={"rows": "0"}).json()[0]["people"][0]["name"] == "Ann Lee"


def test_pictures_of_three_sizes(fresh_cache, page, own_run):
    clusters = Clusters.load(own_run)
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


def test_a_picture_whose_original_is_gone_is_shown_from_the_run(own_run, fresh_cache):
    clusters = Clusters.load(own_run)
    clusters.run["root"] = str(own_run / "nowhere")
    clusters.save(own_run)
    with TestClient(create_app(own_run, token=TOKEN, port=PORT), base_url=HOME) as page:
        page.get(f"/?token={TOKEN}")
        row = int(np.flatnonzero(clusters.ok)[0])
        assert page.get(f"/picture/{row}/large").content.startswith(b"\xff\xd8")


def test_what_is_in_the_trash_is_gone_from_the_page(own_run):
    paths = Clusters.load(own_run).items.column("path").to_pylist()
    row = int(np.flatnonzero(Clusters.load(own_run).ok)[0])
    log = own_run.with_name("run.trashed.jsonl")
    facts = {"path": paths[row]}
    run = json.loads((own_run / "run.json").read_text())
    (own_run / "run.json").write_text(json.dumps(run | {"root": str(own_run.parent / "nowhere")}))
    seal_run(own_run)
    lines = [{"do": "trash", **facts}, {"do": "trashed", "path": paths[row]}]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"do": "tra')
    review = Review(own_run)
    assert review.flags[row] & GONE
    assert (review.flags & GONE > 0).sum() == 1
    review.close()


def test_a_run_that_is_damaged_for_a_moment(page, own_run):
    known = (own_run / "groups.json").read_bytes()
    (own_run / "groups.json").write_text("nothing")
    (own_run / "run.json").write_bytes((own_run / "run.json").read_bytes())
    before = version(page)
    assert len(groups(page)[0]["groups"]) == 4  # what was read before stays
    (own_run / "groups.json").write_bytes(known)
    assert version(page) != before
    assert len(groups(page)[0]["groups"]) == 4


def test_what_is_wrong_with_a_run_is_said_first(tmp_path, own_run):
    with pytest.raises(DataError, match="not a finished run"):
        create_app(tmp_path / "nothing", token=TOKEN, port=PORT)
    own_run.with_name("run.catalog").unlink()
    with pytest.raises(DataError, match="no catalog"):
        create_app(own_run, token=TOKEN, port=PORT)
