import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from scipy import sparse

from selfsort import Clusters
from selfsort.cli import main
from selfsort.clusters import items_table
from selfsort.photos import kind
from selfsort.photos.catalog import Catalog
from selfsort.photos.changes import Scanned
from selfsort.photos.corrected import Corrected
from selfsort.photos.naming import name_groups, suggest, terms_of
from selfsort.photos.organize import organize
from selfsort.photos.terms import SOURCES, TIME, Terms, months_named


def made(n, rows_of, *, known=(), months=None, broad=()):
    """Return terms of n pictures from (source, word) -> rows that have it; `known`: source -> rows."""
    numbers = {key: i for i, key in enumerate(rows_of)}
    pairs = [(row, numbers[key]) for key, rows in rows_of.items() for row in rows]
    has = sparse.csr_matrix(
        (np.ones(len(pairs), np.int32), tuple(zip(*pairs, strict=True)) or ([], [])), (n, len(numbers))
    )
    of = np.ones((n, len(SOURCES)), bool)
    for source, rows in dict(known).items():
        of[:, SOURCES.index(source)] = np.isin(np.arange(n), list(rows))
    if months is not None:
        of[:, TIME] = (months >= 0) | np.isin(
            np.arange(n), [row for row, term in pairs if list(rows_of)[term][0] == "time"]
        )
    return Terms(
        has,
        tuple(word for _, word in rows_of),
        np.array([SOURCES.index(source) for source, _ in rows_of], np.int64),
        of,
        np.array([word in broad for _, word in rows_of], bool),
        np.ones(n, bool),
        np.full(n, -1) if months is None else months,
    )


def random_terms(seed, n=300, n_terms=60):
    """Return terms that lean toward some groups, and the groups."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, rng.integers(1, 25), n)
    rows_of = {}
    for term in range(n_terms):
        likely = np.where(labels % 7 == term % 7, rng.random(), rng.random() * rng.random())
        source = SOURCES[rng.integers(len(SOURCES))]
        rows_of[source, f"term {term if term % 5 else 0}"] = np.flatnonzero(rng.random(n) < likely).tolist()
    months = np.where(rng.random(n) < 0.8, 12 * 2020 + labels % 5 * rng.integers(1, 9), -1)
    return made(n, rows_of, months=months, broad=("term 1", "term 2", "term 3")), labels


HALVES = np.repeat([0, 1], 20)


# --- what is in a name


def test_what_is_common_inside_and_rare_outside_names_a_group():
    terms = made(40, {("object", "dog"): range(18), ("object", "grass"): [*range(15), *range(20, 36)]})
    dogs, others = name_groups(terms, HALVES)
    assert dogs.name == "Dog"
    assert dogs.evidence[0] == ("object", "dog", 0.9, 0.0)
    assert others.name == "Grass"  # true of most of it, though also elsewhere


def test_kind_text_and_time_in_this_order():
    months = np.where(HALVES == 0, 12 * 2026 + 2, 12 * 2020 + np.arange(40) % 12)
    terms = made(
        40,
        {("text", "error"): range(12), ("kind", "screenshots"): range(20), ("kind", "photos"): range(20, 40)},
        months=months,
    )
    screens, photos = name_groups(terms, HALVES)
    assert screens.name == "Screenshots · “error” · March 2026"
    assert [(reason.source, reason.share) for reason in screens.evidence] == [("kind", 1), ("text", 0.6), ("time", 1)]
    assert "Screenshots · “error”" in screens.alternatives
    assert photos.name.startswith("2020")


def test_a_word_of_all_texts_is_not_of_a_group_of_texts():
    with_text = [*range(20), *range(20, 26)]
    terms = made(80, {("text", "with"): with_text, ("text", "cash"): range(15)}, known={"text": with_text})
    labels = np.repeat([0, 1, 2, 3], 20)
    assert name_groups(terms, labels)[0].name == "“cash”"
    assert "with" not in [reason.term for reason in name_groups(terms, labels)[0].evidence]


def test_a_time_that_holds_for_the_whole_library_names_nothing():
    months = np.full(40, 12 * 2026)
    assert [naming.name for naming in name_groups(made(40, {}, months=months), HALVES)] == ["", ""]


@pytest.mark.parametrize(
    ("months", "name"),
    [
        ([24312] * 20, "January 2026"),
        ([24312, 24313] * 10, "January–February 2026"),
        ([24311, 24312, 24313] * 6 + [24311, 24313], "December 2025 – February 2026"),
        (list(range(24312, 24322)) * 2, "2026"),
        ([24300 + 3 * i for i in range(8)] * 2 + [24312] * 4, "2025–2026"),
    ],
)
def test_the_shortest_span_that_holds_most(months, name):
    others = 12 * 1990 + np.arange(180) % 120
    terms = made(200, {}, months=np.concatenate([months, others]))
    assert name_groups(terms, np.repeat([0, 1], [20, 180]))[0].name == name


def test_spans_have_names():
    assert months_named(12 * 2019 + 10, 2) == "November–December 2019"


def test_several_objects_together_where_none_is_alone():
    rows_of = {("object", "bird"): range(12), ("object", "dog"): range(12, 22), ("object", "snow"): range(40, 80)}
    terms = made(160, rows_of, broad=("bird", "dog"))
    together = name_groups(terms, np.repeat([0, 1, 2, 3], 40))[0]
    assert together.name == "Bird, dog"
    assert {(reason.term, reason.share) for reason in together.evidence} == {("bird", 0.3), ("dog", 0.25)}


def test_objects_that_cover_one_another_are_not_named_together():
    rows_of = {("object", "boat"): range(12), ("object", "vehicle"): range(13), ("object", "snow"): range(40, 80)}
    terms = made(160, rows_of, broad=("boat", "vehicle"))
    assert name_groups(terms, np.repeat([0, 1, 2, 3], 40))[0].name == ""


def test_nothing_sure_gives_no_name():
    terms = made(40, {("object", "dog"): [0, 1, 2, 20, 21], ("place", "Rome"): [3, 25]})
    assert [naming.name for naming in name_groups(terms, HALVES)] == ["", ""]


# --- no two are the same


@pytest.mark.parametrize("seed", range(30))
def test_names_are_unique_short_and_evidence_is_counted(seed):
    terms, labels = random_terms(seed)
    n_groups = labels.max() + 1
    taken = {0: "Term 0", n_groups - 1: "mine"} if seed % 2 else {}
    namings = name_groups(terms, labels, taken=taken)
    assert len(namings) == n_groups
    given = [naming.name.casefold() for naming in namings if naming.name]
    assert len(set(given)) == len(given)
    assert sum(map(len, given)) > 0
    has, words = terms.has.toarray(), list(zip(terms.sources.tolist(), terms.words, strict=True))
    for group, naming in enumerate(namings):
        assert len(naming.name.split(" · ")) <= 3
        assert naming.name[:1] == naming.name[:1].upper() or group in taken
        assert len(naming.alternatives) <= 5
        assert not {other.casefold() for other in naming.alternatives} & set(given)
        inside = labels == group
        for reason in naming.evidence:
            key = (SOURCES.index(reason.source), reason.term)
            if key in words:
                column = has[:, words.index(key)]
            else:
                spans = {months_named(first, n): (first, n) for first in range(24200, 24300) for n in (1, 2, 3)}
                spans |= {
                    months_named(12 * year, 12 * n): (12 * year, 12 * n)
                    for year in (2019, *range(2020, 2026))
                    for n in (1, 2, 3)
                }
                first, n = spans[reason.term]
                column = (terms.months >= first) & (terms.months < first + n)
            assert reason.share == pytest.approx(column[inside].mean())
            assert reason.elsewhere == pytest.approx(column[~inside].mean())


def test_the_stronger_evidence_keeps_the_name_and_the_other_says_more():
    rows_of = {("object", "dog"): range(36), ("object", "poodle"): range(20, 30)}
    first, second, *_ = name_groups(made(200, rows_of), np.repeat(np.arange(10), 20))
    assert first.name == "Dog"
    assert second.name == "Poodle"


def test_at_last_a_number():
    labels = np.repeat(np.arange(4), 10)
    terms = made(40, {("kind", "memes"): range(30), ("kind", "photos"): range(30, 40)})
    assert [naming.name for naming in name_groups(terms, labels)] == ["Memes", "Memes 2", "Memes 3", "Photos"]


def test_names_that_people_gave_stay_and_are_not_given_again():
    labels = np.repeat(np.arange(4), 10)
    terms = made(40, {("kind", "memes"): range(30), ("kind", "photos"): range(30, 40)})
    namings = name_groups(terms, labels, taken={1: "MEMES", 3: "memes 2"})
    assert [naming.name for naming in namings] == ["Memes 3", "Memes", "Memes 4", "Photos"]  # once theirs is taken back
    assert namings[1].evidence[0].term == "memes"


def test_names_after_a_correction_are_as_if_nothing_was_remembered():
    terms, labels = random_terms(5)
    name_groups(terms, labels)
    labels = labels.copy()
    labels[np.flatnonzero(labels == 0)[:4]] = 1
    again = name_groups(terms, labels)
    terms.proposals.clear()
    assert name_groups(terms, labels) == again
    assert len(terms.proposals) == labels.max() + 1  # what is not needed any more is forgotten


# --- nothing to name, and little of it


@pytest.mark.parametrize("n", [0, 5])
def test_no_groups(n):
    assert name_groups(made(n, {}), np.full(n, -1)) == []
    assert name_groups(made(n, {("object", "dog"): range(n)}), np.full(n, -1)) == []


def test_one_group_of_all():
    terms = made(10, {("object", "dog"): range(9), ("text", "error"): range(9)}, months=np.full(10, 24312))
    (all_of_them,) = name_groups(terms, np.zeros(10, int))
    assert all_of_them.name == "Dog"  # what is true of all of the library tells nothing apart, but says what it is
    assert all_of_them.evidence == (("object", "dog", 0.9, 0.0),)


def test_small_groups_and_pictures_of_none():
    labels = np.array([0, 0, 1, 2, *[-1] * 36])
    terms = made(40, {("object", "dog"): [0, 1], ("object", "cat"): [2, 30]})
    assert [naming.name for naming in name_groups(terms, labels)] == ["Dog", "Cat", ""]


def test_twenty_thousand_pictures_take_moments():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 200, 20_000)
    rows_of = {
        ("object", f"thing {i}"): np.flatnonzero((labels % 100 == i % 100) & (rng.random(20_000) < 0.7)).tolist()
        for i in range(1000)
    }
    terms = made(20_000, rows_of, months=12 * 2000 + labels)
    name_groups(terms, labels)
    start = time.perf_counter()
    namings = name_groups(terms, labels)
    assert time.perf_counter() - start < 2
    assert len({naming.name for naming in namings}) == 200


# --- terms of a run


@pytest.fixture
def looked_at(monkeypatch):
    """A run of twelve photographs and twelve memes, and its catalog; the classifier sees dogs, however little."""
    ids = [f"{row:032x}" for row in range(25)]
    rows = [
        {"id": ids[row], "path": f"{row}.jpg", "path_bytes": f"{row}.jpg".encode(), "size": 1, "width": 100}
        | {"height": 100, "format": "JPEG", "status": "ok" if row < 24 else "empty file"}
        for row in range(25)
    ]
    labels = np.array([*[0] * 12, *[1] * 12, -1])
    run = {"schema": 2, "level": 0, "encoder": {"name": "efficientnet-lite0"}}
    levels = labels[:, None].astype(np.int32)
    groups = [{"level": 0, "group": group, "size": 12, "prototypes": [12 * group]} for group in (0, 1)]
    none = np.zeros((25, 0), np.int32)
    features = np.zeros((25, 1280), np.float16)
    clusters = Clusters(run, items_table(rows), levels, np.ones(25, np.float32), none, groups, embedding=features)
    names = kind.kinds()
    told = np.eye(len(names), dtype=np.float32)[[names.index("photo")] * 12 + [names.index("meme")] * 12]
    monkeypatch.setattr(kind, "probabilities", lambda features, looks: told[: len(features)])
    with Catalog(Path(":memory:")) as catalog:
        catalog.scan("/pictures", [Scanned(f"{row}.jpg", ids[row], 1, None, "ok") for row in range(24)])
        yield clusters, catalog, ids


def reads(monkeypatch, tokens=None, **functions):
    """Let text fall into these tokens, and objects be told by these functions."""
    if tokens is not None:
        monkeypatch.setattr("selfsort.photos.terms.tokens", tokens)
    for name, function in functions.items():
        monkeypatch.setattr(f"selfsort.photos.objects.{name}", function)


def test_without_any_facet_there_are_no_terms(looked_at):
    clusters, catalog, _ = looked_at
    terms = terms_of(clusters, catalog)
    assert terms.has.shape == (25, 0)
    assert [naming.name for naming in name_groups(terms, clusters.labels)] == ["", ""]


def test_icons_show_no_objects(looked_at, monkeypatch):
    clusters, catalog, ids = looked_at
    catalog.add_facts("looks", 1, {content: {"hash": 0} for content in ids[:24]})
    side = pa.array([31] * 2 + [100] * 23, pa.int32())
    for name in ("width", "height"):
        clusters.items = clusters.items.set_column(clusters.items.column_names.index(name), name, side)
    reads(
        monkeypatch,
        probable=lambda features, least: [["lawn"]] * len(features),
    )
    terms = terms_of(clusters, catalog)
    lawn = terms.has[:, [terms.words.index("lawn")]].toarray().ravel()
    assert np.flatnonzero(lawn).tolist() == list(range(2, 12))


def test_facets_become_terms(looked_at, monkeypatch):
    clusters, catalog, ids = looked_at
    catalog.add_facts("looks", 1, {content: {"hash": 0} for content in ids[:24]})
    face, small = [10, 10, 40, 40, 0.9], [10, 10, 5, 5, 0.9]
    faces = [[face], [small], [face, face], [face] * 3, [], *[[face]] * 7]
    catalog.add_facts("people", 1, {ids[row]: {"faces": faces[row]} for row in range(12)} | {ids[13]: None})
    words = {ids[row]: {"text": "Mondays and\nthe\u202e 2019 \x07coffee"} for row in range(12, 20)}
    words |= {ids[row]: {"text": "exit"} for row in (1, 2)}
    catalog.add_facts("text", 1, words | {ids[0]: None, ids[3]: {"text": "menu"}, ids[20]: {"text": "alone"}})
    catalog.add_facts(
        "metadata", 1, {ids[row]: {"date": f"2019-06-0{1 + row % 2}T10:{row:02d}:00"} for row in range(10)}
    )
    reads(
        monkeypatch,
        tokens=lambda text: text.casefold().split(),
        probable=lambda features, least: [["lawn", "dog"]] * len(features),
        broader=lambda: [("dog",), ("dog", "animal"), ()],
    )
    terms = terms_of(clusters, catalog)
    has = {
        (SOURCES[source], word): np.flatnonzero(terms.has[:, [i]].toarray()).tolist()
        for i, (source, word) in enumerate(zip(terms.sources, terms.words, strict=True))
    }
    photos, memes, texts = list(range(12)), list(range(12, 24)), list(range(12, 20))
    assert has.pop(("kind", "photos")) == has.pop(("object", "lawn")) == has.pop(("object", "dog")) == photos
    assert has.pop(("kind", "memes")) == memes  # what the classifier makes of them is left out
    assert has.pop(("text", "mondays")) == has.pop(("text", "coffee")) == texts
    assert has.pop(("people", "people")) == [0, 1, 2, 3, *range(5, 12)]
    assert has.pop(("people", "portraits")) == [0, *range(5, 12)]
    assert has.pop(("people", "groups of people")) == [3]
    assert has.pop(("time", "1 June 2019")) == [0, 2, 4, 6, 8]
    assert has.pop(("time", "2 June 2019")) == [1, 3, 5, 7, 9]
    assert has == {}
    assert terms.months.tolist() == [12 * 2019 + 5] * 10 + [-1] * 15
    assert terms.known.sum(0).tolist() == [24, 12, 12, 12, 0, 10]
    suggest(clusters, catalog)
    first, second = (group["suggested"] for group in clusters.groups)
    assert first["name"] == "People · June 2019"
    assert second["name"] == "Memes · “coffee”"
    assert second["evidence"][1] == {"source": "text", "term": "coffee", "share": 0.6667, "elsewhere": 0.0}
    json.dumps(clusters.groups)


def test_places_become_terms(looked_at):
    pytest.importorskip("reverse_geocode")
    clusters, catalog, ids = looked_at
    where = {"latitude": 43.4667, "longitude": 11.8833}
    date = {"date": "2019-06-01T10:00:00"}
    catalog.add_facts("metadata", 1, {ids[row]: date | (where if row < 9 else {}) for row in range(12)})
    namings = name_groups(terms_of(clusters, catalog), clusters.labels)
    assert namings[0].name == "Arezzo · 1 June 2019"
    assert namings[0].evidence[0] == ("place", "Arezzo", 0.75, 0.0)  # a guessed place is no evidence
    assert "Italy" in namings[0].alternatives


# --- where names appear


def test_organize_suggests_names_and_groups_lists_them(library, tmp_path):
    run = tmp_path / "run"
    clusters = organize(library.root, run)
    for level in range(clusters.levels.shape[1]):
        given = [group["suggested"]["name"] for group in clusters.groups if group["level"] == level]
        named = [name for name in given if name]
        assert len(set(named)) == len(named)
    assert named
    result = CliRunner().invoke(main, ["groups", str(run)])
    assert result.exit_code == 0, result.output
    assert f"{clusters.run['n_groups']} groups" in result.output
    with Corrected(run) as corrected:
        corrected.correct("rename", groups=[0], name="My own")
    organize(library.root, run)
    assert "My own" in CliRunner().invoke(main, ["groups", str(run)]).output
    facts = json.loads(CliRunner().invoke(main, ["groups", str(run), "--json"]).output)
    assert facts["groups"][0]["name"] == "My own"
    assert facts["groups"][0]["suggested"]["name"] not in ("My own", "")
    assert facts["groups"][0]["size"] == clusters.groups[0]["size"] or len(facts["groups"]) == clusters.run["n_groups"]
    assert "levels 0 to" in CliRunner().invoke(main, ["groups", str(run), "--level", "7"]).output


def test_new_facts_make_the_run_anew(library, tmp_path):
    run = tmp_path / "run"
    before = organize(library.root, run).run["created"], organize(library.root, run).run["fingerprint"]
    with Catalog(tmp_path / "run.catalog") as catalog:
        catalog.add_facts("people", 1, dict.fromkeys(catalog.numbers()))
    assert organize(library.root, run).run["fingerprint"] != before[1]
