import os
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xxhash

from selfsort.errors import DataError
from selfsort.features.cache import Cache
from selfsort.features.encoders import Encoder, load_encoder
from selfsort.features.extract import extract
from selfsort.pixels import Preprocessing
from selfsort.sources import open_source


class Means(Encoder):
    """A small real encoder: the mean color of the four quarters; counts its calls and fails when told to."""

    name, key, batch_size = "means", "means", 4
    preprocessing = Preprocessing(16, "squash")

    def __init__(self, fail_at=None, value=None):
        self.fail_at, self.value = fail_at, value
        self.calls = 0
        self._lock = threading.Lock()

    def encode(self, pixels):
        with self._lock:
            self.calls += 1
            calls = self.calls
        if calls == self.fail_at:
            raise RuntimeError("the encoder broke")
        assert pixels.shape == (4, 16, 16, 3)
        if self.value is not None:
            return np.full((len(pixels), 12), self.value, np.float32)
        return pixels.reshape(len(pixels), 2, 8, 2, 8, 3).mean((2, 4)).reshape(len(pixels), 12).astype(np.float32)


@pytest.fixture
def cache(tmp_path):
    with Cache(tmp_path / "cache.sqlite") as cache:
        yield cache


def run(data, cache, encoder=None, **options):
    with open_source(data) as source:
        return source, extract(source, encoder or Means(), cache, **options)


def embed_threads():
    return [t for t in threading.enumerate() if t.name.startswith("embed-")]


def paths(source):
    return [item.path for item in source.items]


def test_every_item_is_settled(library, cache):
    source, found = run(library.root, cache)
    assert len(found.ids) == len(source.items) == len(library)
    for index, item in enumerate(source.items):
        assert (found.status(index) == "ok") == (item.path in library.kinds), item.path
    index_of = {path: i for i, path in enumerate(paths(source))}
    for a, b in library.copies:
        assert found.ids[index_of[a]] == found.ids[index_of[b]]
    assert found.n_encoded == len(set(found.ids)) - len(library.broken)  # a copy is encoded once


def test_a_copy_is_tried_again_if_there_was_no_memory_for_the_first(tmp_path, cache, monkeypatch):
    from selfsort.features import extract as module

    for name in "ab":
        shutil.copy(Path(__file__).parent / "conftest.py", tmp_path / name)  # any content: the decoder is replaced
    picture, calls = module.Picture(np.zeros((16, 16, 3), np.uint8), 16, 16, "PNG"), []

    def decode(file, preprocessing):
        calls.append(1)
        if len(calls) == 1:
            raise module.Unreadable("not enough memory to decode 16×16")
        return picture

    monkeypatch.setattr(module, "decode", decode)
    monkeypatch.setattr(module, "n_threads", lambda: 1)
    _, found = run([tmp_path / "a", tmp_path / "b"], cache)
    assert [found.status(index) for index in range(2)] == ["not enough memory to decode 16×16", "ok"]
    assert found.n_encoded == 1
    _, again = run([tmp_path / "a", tmp_path / "b"], cache)  # what failed for want of memory is not remembered
    assert [again.status(index) for index in range(2)] == ["ok", "ok"]


def test_pictures_made_to_share_a_fast_hash_are_two(tmp_path, cache):
    folder = tmp_path / "pictures"
    folder.mkdir()
    secret = bytes.fromhex("b8fe6c3923a44bbe7c01812c")  # the first bytes of what XXH3 mixes into its input
    files = []
    for name, highs in (("a", (1 << 24, 0)), ("b", (0, 1 << 24))):
        content = bytearray(b"P6 64 32 255\n" + bytes(64 * 32 * 3))
        for stripe, high in enumerate(highs):  # factors of 0 hide what the sums of both make up for
            place, low = 1024 + 64 * stripe, secret[8 * stripe : 8 * stripe + 4]
            content[place : place + 8] = low + high.to_bytes(4, "little")
        (folder / name).write_bytes(content)
        files.append(bytes(content))
    assert files[0] != files[1]
    assert xxhash.xxh3_128_hexdigest(files[0]) == xxhash.xxh3_128_hexdigest(files[1])
    _, found = run(folder, cache)
    assert found.n_encoded == 2
    assert len(set(found.ids)) == 2


class Sizes:
    """Reads the size of each picture alongside, and fails to keep it when told to."""

    def __init__(self, fails=False):
        self.sizes, self.n_kept, self.fails = {}, 0, fails

    def read(self, content, file):
        return file.open().size

    def keep(self, found):
        if self.fails:
            raise DataError("no room")
        self.n_kept += 1
        self.sizes |= found


def test_what_is_read_alongside_is_read_of_each_new_picture_once(library, cache, monkeypatch):
    monkeypatch.setattr("selfsort.features.extract._COMMIT_SECONDS", 0)
    sizes = Sizes()
    _, found = run(library.root, cache, alongside=sizes)
    whole = {content: entry for content, entry in found.entries.items() if entry.status == "ok"}
    assert sizes.sizes == {content: (entry.width, entry.height) for content, entry in whole.items()}
    assert sizes.n_kept > 1
    again = Sizes()
    run(library.root, cache, alongside=again)
    assert again.n_kept == 0


def test_pictures_of_which_nothing_could_be_kept_are_encoded_again(library, cache):
    with pytest.raises(DataError, match="no room"):
        run(library.root, cache, alongside=Sizes(fails=True))
    assert embed_threads() == []
    _, found = run(library.root, cache, alongside=(sizes := Sizes()))
    assert found.n_encoded == len(sizes.sizes) == len(set(found.ids)) - len(library.broken)


def test_features_are_those_of_the_encoder(library, cache):
    from selfsort.images import decode

    source, found = run(library.root, cache)
    encoder = Means()
    for index in range(0, len(source.items), 7):
        if found.status(index) == "ok":
            pixels = decode(source.read(index), encoder.preprocessing).pixels
            expected = encoder.encode(np.repeat(pixels[None], 4, 0))[0].astype(np.float16)
            assert np.array_equal(found.entries[found.ids[index]].features, expected)


def test_a_second_run_encodes_nothing_and_reads_nothing(own_library, cache):
    _, first = run(own_library.root, cache)
    for path in own_library.root.rglob("*.png"):  # what is not read may be anything
        stat = path.stat()
        path.write_bytes(bytes(stat.st_size))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    encoder = Means()
    _, again = run(own_library.root, cache, encoder)
    assert (again.n_encoded, encoder.calls) == (0, 0)
    assert again.ids == first.ids
    assert {k: e.status for k, e in again.entries.items()} == {k: e.status for k, e in first.entries.items()}


def test_ten_new_files_are_ten_to_encode(own_library, cache):
    run(own_library.root, cache)
    from conftest import draw

    for i in range(10):
        draw("disks", 100 + i).save(own_library.root / f"new {i}.png")
    _, again = run(own_library.root, cache)
    assert again.n_encoded == 10
    assert len(again.ids) == len(own_library) + 10


def test_a_new_time_means_read_again_but_not_encoded_again(own_library, cache):
    _, first = run(own_library.root, cache)
    path = own_library.root / "disks" / "03.png"
    os.utime(path, (1_600_000_000, 1_600_000_000))
    encoder = Means()
    _, again = run(own_library.root, cache, encoder)
    assert (again.ids, again.n_encoded, encoder.calls) == (first.ids, 0, 0)
    # that it was read shows when the content has changed, too
    content = (own_library.root / "noise" / "04.jpg").read_bytes()
    path.write_bytes(content)
    os.utime(path, (1_500_000_000, 1_500_000_000))
    source, changed = run(own_library.root, cache)
    index = paths(source).index("disks/03.png")
    assert changed.ids[index] == first.ids[paths(source).index("noise/04.jpg")]
    assert changed.n_encoded == 0


def test_changed_content_is_encoded_again(own_library, cache):
    source, first = run(own_library.root, cache)
    path = own_library.root / "disks" / "03.png"
    from conftest import draw

    draw("pages", 77).save(path)
    source, again = run(own_library.root, cache)
    index = paths(source).index("disks/03.png")
    assert again.n_encoded == 1
    assert [i for i, (a, b) in enumerate(zip(first.ids, again.ids, strict=True)) if a != b] == [index]


def test_a_file_changed_a_moment_ago_is_not_trusted(own_library, cache):
    """Within one tick of the clock a file can change and keep size and time."""
    from conftest import draw

    path = own_library.root / "fresh.bmp"
    draw("disks", 50).save(path)
    stat = path.stat()
    source, first = run(own_library.root, cache)
    draw("disks", 51).save(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size
    source, again = run(own_library.root, cache)
    index = paths(source).index("fresh.bmp")
    assert first.ids[index] != again.ids[index]
    assert again.n_encoded == 1


def test_a_mended_file_is_read_again(own_library, cache):
    run(own_library.root, cache)
    shutil.copyfile(own_library.root / "noise/01.jpg", own_library.root / "cut.jpg")
    source, again = run(own_library.root, cache)
    assert again.status(paths(source).index("cut.jpg")) == "ok"


def test_a_file_that_vanishes_is_a_row(own_library, cache):
    with open_source(own_library.root) as source:
        (own_library.root / "noise/01.jpg").unlink()
        found = extract(source, Means(), cache)
    index = paths(source).index("noise/01.jpg")
    assert found.status(index) == "no such file or directory"
    assert found.ids[index] == ""


def test_another_encoder_shares_no_features(library, cache):
    run(library.root, cache)
    other = Means()
    other.key = "other"
    _, found = run(library.root, cache, other)
    assert found.n_encoded > 50


def test_a_file_that_vanishes_has_no_content_for_another_encoder(own_library, cache):
    run(own_library.root, cache)
    other = Means()
    other.key = "other"
    with open_source(own_library.root) as source:
        (own_library.root / "noise/01.jpg").unlink()
        found = extract(source, other, cache)
    assert found.ids[paths(source).index("noise/01.jpg")] == ""


def test_an_archive_is_not_read_again(own_library, cache, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in own_library.kinds:
            archive.write(own_library.root / name, name)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    _, first = run(path, cache)
    encoder = Means()
    _, again = run(path, cache, encoder)
    assert (again.ids, encoder.calls) == (first.ids, 0)


def test_arrays_are_known_by_their_pixels(cache):
    pictures = np.random.default_rng(0).integers(0, 255, (9, 20, 20, 3), dtype=np.uint8)
    assert run(pictures, cache)[1].n_encoded == 9
    assert run(pictures[::-1], cache)[1].n_encoded == 0


def test_progress_counts_items_up_to_all(library, cache):
    seen = []
    run(library.root, cache, progress=lambda *call: seen.append(call))
    assert {stage for stage, _, _ in seen} == {"embed"}
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert seen[-1] == ("embed", len(library), len(library))


def test_a_failing_encoder_raises_and_keeps_what_was_done(library, cache):
    with pytest.raises(RuntimeError, match="the encoder broke"):
        run(library.root, cache, Means(fail_at=9))
    assert embed_threads() == []
    kept = len(cache.known_ids("means"))
    assert kept >= 8
    _, again = run(library.root, cache)
    assert len(again.entries) > 50
    assert 0 < again.n_encoded < 40


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_features_that_are_not_finite_are_refused(library, cache, value):
    with pytest.raises(DataError, match="not finite"):
        run(library.root, cache, Means(value=value))
    assert embed_threads() == []


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("at", [1, 3, 6])
def test_an_interrupt_leaves_no_threads_and_the_next_call_continues(library, cache, at):
    calls = []

    def interrupt(stage, done, total):
        calls.append(done)
        if len(calls) == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(library.root, cache, progress=interrupt)
    assert embed_threads() == []
    known = len(cache.known_ids("means"))
    encoder = Means()
    _, again = run(library.root, cache, encoder)
    _, whole = run(library.root, cache)
    assert again.ids == whole.ids
    assert len(again.entries) == len(cache.known_ids("means"))
    assert again.n_encoded <= len(again.entries) - known


@pytest.mark.parametrize("at", [3, 6])
def test_what_was_handed_over_before_an_interrupt_is_kept(library, cache, at):
    seen = []

    def interrupt(stage, done, total):
        seen.append(done)
        if len(seen) == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(library.root, cache, progress=interrupt)
    assert len(cache.known_ids("means")) >= (at - 1) * 3  # batches of four, of which a few are copies or broken


def test_the_same_content_gives_the_same_bits_in_any_company(library, tmp_path):
    """Alone, among others, in another order, in another batch."""
    encoder = load_encoder()
    names = ["disks/00.png", "noise/01.jpg", "pages/05.png", "checks/07.jpg"]
    with Cache(tmp_path / "all") as cache, open_source(library.root) as source:
        together = extract(source, encoder, cache)
        rows = {name: i for i, name in enumerate(paths(source))}
    for n, name in enumerate(names):
        with Cache(tmp_path / f"one{n}") as cache, open_source(library.root / name) as source:
            alone = extract(source, encoder, cache)
        content = together.ids[rows[name]]
        assert alone.ids == [content]
        assert alone.entries[content].features.tobytes() == together.entries[content].features.tobytes()
        assert alone.entries[content].thumbnail == together.entries[content].thumbnail


EXTRACT = """
import sys
from selfsort.features.cache import Cache
from selfsort.features.encoders import load_encoder
from selfsort.features.extract import extract
from selfsort.sources import open_source
with Cache() as cache, open_source(sys.argv[1]) as source:
    found = extract(source, load_encoder(), cache)
print(sum(found.status(i) == "ok" for i in range(len(source.items))))
"""


def test_two_processes_at_once_share_one_cache(library, fresh_cache):
    commands = [[sys.executable, "-c", EXTRACT, str(library.root)]] * 2
    running = [subprocess.Popen(c, stdout=subprocess.PIPE, text=True) for c in commands]
    outputs = [process.communicate(timeout=100)[0].strip() for process in running]
    assert outputs == [str(len(library.kinds))] * 2
    with Cache() as cache:
        assert len(cache.known_ids(load_encoder().key)) == len(library.kinds) - len(library.copies) + len(
            library.broken
        )
