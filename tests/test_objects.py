import csv
import re
import tarfile

import numpy as np
import pytest

from conftest import pixels
from selfsort.errors import DataError
from selfsort.features.encoders import default_onnx, load_encoder
from selfsort.features.onnx_runtime import open_session
from selfsort.images import decode
from selfsort.photos.objects import broad, broader, broadest, hints, names, probable, terms
from selfsort.pixels import Preprocessing


def random_features(n, columns=1280, seed=0):
    """As sparse and as large as those of real pictures."""
    rng = np.random.default_rng(seed)
    return (rng.exponential(0.4, (n, columns)) * (rng.random((n, columns)) < 0.4)).astype(np.float16)


def test_the_list_is_complete():
    above = {name for of in broader() for name in of}
    assert len(names()) == len(broader()) == 1000
    assert len({name.casefold() for name in names()}) == 1000
    assert not above & set(names())
    assert all(1 <= len(of) == len(set(of)) <= 3 for of in broader())
    assert 60 <= len(above) <= 120
    for name in [*names(), *above]:
        assert re.fullmatch(r"[A-Za-z][A-Za-z' -]{1,30}", name), name


def test_broader_terms_form_a_tree():
    above = {}
    for of in broader():
        for near, far in zip(of, (*of[1:], None), strict=True):
            assert above.setdefault(near, far) == far, near


def test_names_are_of_their_classes():
    for number, name in {
        1: "goldfish",
        404: "airliner",
        340: "zebra",
        779: "school bus",
        950: "orange",
        999: "toilet",
    }.items():
        assert name in names()[number]


def test_terms_agree_with_the_encoder_graph():
    session = open_session(default_onnx())
    features, logits = session.run(["features", "logits"], {"images": pixels(6)})
    wanted = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(terms(features), wanted / wanted.sum(1, keepdims=True), atol=1e-5)


def test_terms_sum_to_one_and_leave_out_more_columns():
    features = random_features(50, 1472)
    found = terms(features)
    assert (found.dtype, found.shape) == (np.float32, (50, 1000))
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-4)
    np.testing.assert_array_equal(terms(features[:, :1280]), found)
    assert terms(features[:0]).shape == (0, 1000)
    assert hints(features[:0]) == list(probable(features[:0], 0.3)) == []
    assert broad(features[:0]).shape == (0, len(broadest()))


def test_many_pictures_are_told_in_parts(monkeypatch):
    features = random_features(50)
    hinted, likely, broadly = hints(features, least=0.01), list(probable(features, 0.01)), broad(features)
    monkeypatch.setattr("selfsort.photos.objects._CHUNK", 7)
    for pairs, same in zip(hints(features, least=0.01), hinted, strict=True):
        assert pairs == [(term, pytest.approx(value, rel=1e-4)) for term, value in same]
    assert list(probable(features, 0.01)) == likely
    np.testing.assert_allclose(broad(features), broadly, rtol=1e-4)


def test_all_that_is_probable_enough(monkeypatch):
    row = np.zeros((1, 1000), np.float32)
    row[0, [names().index(name) for name in ("beagle", "tabby cat", "lakeside")]] = 0.3, 0.2, 0.5
    monkeypatch.setattr("selfsort.photos.objects.terms", lambda features: row)
    (found,) = probable(np.zeros((1, 1280)), 0.25)
    assert found[:2] == ["beagle", "lakeside"]
    assert set(found) == {"beagle", "dogs", "animals", "lakeside", *broader()[names().index("lakeside")]}


@pytest.mark.parametrize("shape", [(3, 1279), (1280,)])
def test_other_features_are_refused(shape):
    with pytest.raises(DataError, match="1280 features"):
        terms(np.zeros(shape))


def seen(monkeypatch, said):
    """Make the classifier say this of one picture: name -> probability."""
    row = np.zeros((1, 1000), np.float32)
    for name, value in said.items():
        row[0, names().index(name)] = value
    monkeypatch.setattr("selfsort.photos.objects.terms", lambda features: row)
    return [(name, pytest.approx(value)) for name, value in hints(np.zeros((1, 1280)))[0]]


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"beagle": 0.6, "pug": 0.2}, [("beagle", 0.6)]),
        ({"beagle": 0.2, "pug": 0.2, "boxer dog": 0.2}, [("dogs", 0.6)]),
        ({"beagle": 0.2, "tabby cat": 0.2}, [("animals", 0.4)]),
        ({"beagle": 0.2, "pug": 0.2, "teapot": 0.45}, [("teapot", 0.45), ("dogs", 0.4)]),
        ({"beagle": 0.35, "tabby cat": 0.29, "tiger cat": 0.29}, [("cats", 0.58), ("beagle", 0.35)]),
        ({"beagle": 0.2, "teapot": 0.2}, []),
    ],
)
def test_hints_are_as_broad_as_they_must_be(monkeypatch, said, wanted):
    assert seen(monkeypatch, said) == wanted


def test_hints_are_few(monkeypatch):
    for of in hints(random_features(3), least=0.0001, at_most=2):
        assert len(of) == 2
        assert of[0][1] >= of[1][1]
    assert hints(random_features(3), least=1.01) == [[], [], []]


def test_real_pictures(data):
    wanted = {
        "airplanes": "aircraft",
        "starfish": "sea animals",
        "dalmatian": "dogs",
        "laptop": "computers",
        "strawberry": "fruit",
        "nautilus": "sea animals",
        "grand_piano": "musical instruments",
    }
    with open(data / "caltech101/labels.csv", encoding="utf-8") as file:
        labels = {row["path"]: row["label"] for row in csv.DictReader(file)}
    chosen = {label: [path for path in labels if labels[path] == label][::9][:8] for label in wanted}
    encoder = load_encoder()
    above = dict(zip(names(), broader(), strict=True))
    with tarfile.open(data / "caltech101/caltech101_160.tar") as tar:
        for label, paths in chosen.items():
            files = [tar.extractfile(path).read() for path in paths]
            squares = [decode(file, Preprocessing(encoder.preprocessing.size, "squash")).pixels for file in files]
            found = hints(encoder.encode(np.stack(squares)))
            right = [
                bool(of) and (of[0][0] == wanted[label] or wanted[label] in above.get(of[0][0], ())) for of in found
            ]
            assert sum(right) > len(right) / 2, (label, found)
