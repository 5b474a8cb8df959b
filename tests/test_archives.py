import bz2
import gzip
import os
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from selfsort import organize
from selfsort.errors import DataError
from selfsort.images import decode
from selfsort.pixels import Preprocessing
from selfsort.sources import Limits, open_source
from source_files import assert_holds_files, paths, picture, problems, unreadable, write_tar, write_zip


@pytest.mark.parametrize("packing", ["", "gz", "bz2", "xz"])
def test_tar_is_known_by_its_bytes(tmp_path, packing):
    path = write_tar(tmp_path / "no-extension", mode=f"w:{packing}")
    with open_source(path) as source:
        assert_holds_files(source)
        assert (source.kind, source.root, source.warnings) == ("tar", str(path), [])
        assert source.items[0].mtime_ns == 1_700_000_000 * 10**9
        assert source.original(0) is None


@pytest.mark.parametrize("layout", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_layouts(tmp_path, layout):
    members = {"x" * 300 + ".png": picture(1), "d/" * 120 + "é.png": picture(2)}
    with open_source(write_tar(tmp_path / "a.tar", members, format=layout)) as source:
        assert [source.read(i) for i in range(2)] == [members[path] for path in paths(source)]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_is_known_by_its_bytes(tmp_path, compression):
    path = write_zip(tmp_path / "no-extension", compression=compression)
    with open_source(path) as source:
        assert_holds_files(source)
        assert (source.kind, source.root) == ("zip", str(path))


@pytest.mark.parametrize("write", [write_tar, write_zip])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_member_names_are_made_safe_and_the_last_counts(tmp_path, write):
    members = [
        ("a.png", picture(1)),
        ("./a.png", picture(2)),
        ("../a.png", picture(3)),
        ("_/a.png", picture(4)),
        ("/etc/b.png", picture(5)),
        ("C:/c.png", picture(6)),
        ("x\\..\\d.png", picture(7)),
        (".hidden.png", picture(8)),
        ("__MACOSX/e.png", picture(8)),
        ("a.png.xmp", b"<x/>"),
    ]
    with open_source(write(tmp_path / "archive", members)) as source:
        found = {item.path: source.read(i) for i, item in enumerate(source.items)}
    assert found == {
        "a.png": picture(2),
        "__/a.png": picture(3),
        "_/a.png": picture(4),
        "etc/b.png": picture(5),
        "C_/c.png": picture(6),
        "x\\_\\d.png": picture(7),
    }


def test_tar_links_devices_and_folders(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("dev", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("folder")
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    with open_source(tmp_path / "a.tar") as source:
        assert problems(source) == dict.fromkeys(("dev", "hard", "link"), "not a regular file")
        assert unreadable(source, 0) == "not a regular file"


def test_truncated_tar_gives_its_whole_members(tmp_path):
    members = {f"{i}.png": bytes([i]) * 3000 for i in range(4)}
    whole = write_tar(tmp_path / "whole.tar", members).read_bytes()
    for name, data in (
        ("cut.tar", whole[:9000]),
        ("cut.tgz", gzip.compress(whole[:9000])),
        ("x", bz2.compress(whole[:9000])),
    ):
        (tmp_path / name).write_bytes(data)
        with open_source(tmp_path / name) as source:
            assert paths(source) == ["0.png", "1.png", "2.png"]
            assert source.read(1) == members["1.png"]
            assert unreadable(source, 2) == "the archive ends early"
            assert "ends early" in source.warnings[0]


def test_tar_gz_cut_in_its_stream(tmp_path):
    rng = np.random.default_rng(0)
    members = {f"{i}.png": rng.bytes(200_000) for i in range(20)}
    data = write_tar(tmp_path / "a.tgz", members, mode="w:gz").read_bytes()
    (tmp_path / "a.tgz").write_bytes(data[:-2_000_000])
    with open_source(tmp_path / "a.tgz") as source:
        assert "ends early" in source.warnings[0]
        assert source.read(0) == members["0.png"]


def test_damaged_tar_header_in_the_middle(tmp_path):
    data = bytearray(write_tar(tmp_path / "a.tar", {f"{i}.png": b"x" for i in range(4)}).read_bytes())
    data[2048] ^= 255
    (tmp_path / "a.tar").write_bytes(data)
    with open_source(tmp_path / "a.tar") as source:
        assert paths(source) == ["0.png", "1.png"]
        assert "only its first 2 members" in source.warnings[0]


def test_tar_with_a_negative_size_ends(tmp_path):
    data = bytearray(write_tar(tmp_path / "a.tar", {f"{i}.png": b"x" for i in range(3)}).read_bytes())
    data[1024 + 124 : 1024 + 136] = b"\xff" * 10 + struct.pack(">h", -2000)
    data[1024 + 148 : 1024 + 156] = b" " * 8
    data[1024 + 148 : 1024 + 156] = f"{sum(data[1024:1536]):06o}\0 ".encode()
    (tmp_path / "a.tar").write_bytes(data)
    with open_source(tmp_path / "a.tar") as source:
        assert source.read(0) == b"x"


def test_zip_members_that_cannot_be_read(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"bomb.png": bytes(70 << 20), "enc.png": b"x", "bad.png": picture(1) * 9})
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\1\2", 0, data.rindex(b"enc.png"))
    data[entry + 8] |= 1
    data[data.index(b"bad.png") + 20] ^= 255
    path.write_bytes(data)
    with open_source(path) as source:
        assert paths(source) == ["bad.png", "bomb.png", "enc.png"]
        assert problems(source)["enc.png"] == "encrypted"
        assert "decompression bomb" in problems(source)["bomb.png"]
        assert unreadable(source, 0).startswith("damaged in the archive: ")


def test_zip_names_in_utf8_that_do_not_say_so(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"0123.png": b"x"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"0123", "éß".encode()))
    with open_source(path) as source:
        assert paths(source) == ["éß.png"]
        assert source.read(0) == b"x"


def test_archives_are_bounded(tmp_path):
    archives = [
        write_tar(tmp_path / "a.tar"),
        write_zip(tmp_path / "a.zip"),
        write_tar(tmp_path / "a.tgz", mode="w:gz"),
    ]
    for path in archives:
        with pytest.raises(DataError, match="Unpack it first"):
            open_source(path, limits=Limits(max_archive_members=2))
    for path in archives[1:]:
        with pytest.raises(DataError, match="Unpack it"):
            open_source(path, limits=Limits(max_archive_bytes=200))
    (tmp_path / "bomb.tgz").write_bytes(gzip.compress(bytes(90 << 20)))
    with pytest.raises(DataError, match="no archive of pictures"):
        open_source(tmp_path / "bomb.tgz")
    with open_source(archives[0], limits=Limits(max_file_bytes=10)) as source:
        assert set(problems(source).values()) == {"larger than 10 bytes"}


@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_many_threads_read_one_archive(tmp_path, write):
    members = {f"{i:03d}.png": os.urandom(3000 + i) for i in range(200)}
    with open_source(write(tmp_path / "archive", members)) as source, ThreadPoolExecutor(8) as pool:
        order = list(np.random.default_rng(0).permutation(200)) * 5
        for i, data in zip(order, pool.map(source.read, order), strict=True):
            assert data == members[source.items[i].path]


def test_real_archives():
    folder = Path(os.environ.get("SELFSORT_DATA", ""))
    if not os.environ.get("SELFSORT_DATA") or not (folder / "caltech101").is_dir():
        pytest.skip("set SELFSORT_DATA to the folder of real pictures")
    with open_source(folder / "caltech101" / "caltech101_160.tar") as source:
        assert len(source) == 8242
        assert source.items[0].mtime_ns is None
        assert decode(source.read(8241), Preprocessing()).format == "JPEG"


def lying_zip(path, content, compression, said):
    """A zip whose directory says another size, and the checksum of what would be read then."""
    write_zip(path, {"a.png": content, "b.png": b"x"}, compression)
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\1\2")
    for at, size_at in ((14, 22), (entry + 16, entry + 24)):
        struct.pack_into("<I", data, at, zlib.crc32(content[:said]))
        struct.pack_into("<I", data, size_at, said)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_no_more_is_unpacked_than_the_directory_says(tmp_path, compression):
    path = lying_zip(tmp_path / "a.zip", bytes(30 << 20), compression, 1000)
    with open_source(path) as source:
        tracemalloc.start()
        why = unreadable(source, 0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert why.startswith("damaged in the archive: ")
        assert "more bytes" in why
        assert peak < 16 << 20  # lzma has a dictionary
        assert source.read(1) == b"x"


def test_fewer_bytes_than_the_directory_says_are_no_picture(tmp_path):
    path = lying_zip(tmp_path / "a.zip", b"x" * 500, zipfile.ZIP_DEFLATED, 1000)
    with open_source(path) as source:
        assert unreadable(source, 0) == "damaged in the archive: fewer bytes than the 1,000 of its directory"


def test_unknown_packing_is_named(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.png": b"x" * 500})
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, 8, 9)  # deflate64
    struct.pack_into("<H", data, data.index(b"PK\1\2") + 10, 9)
    path.write_bytes(data)
    with open_source(path) as source:
        assert unreadable(source, 0).startswith("packed by a method that cannot be read here")


def test_sizes_of_hundreds_of_digits(tmp_path):
    """Written by hand, since tarfile writes none."""
    record = b" size=" + b"9" * 400 + b"\n"
    record = str(len(record) + 3).encode() + record
    blocks = []
    for name, kind, content in (("x", b"x", record), ("a.png", b"0", picture(1)), ("b.png", b"0", picture(2))):
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, len(content)
        blocks.append(info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512))
    (tmp_path / "a.tar").write_bytes(b"".join(blocks[2:] + blocks[:2]) + bytes(1024))
    with open_source(tmp_path / "a.tar") as source:
        assert problems(source).keys() <= {"a.png"}
        assert all(item.size <= 4096 for item in source.items)
        assert source.read(paths(source).index("b.png")) == picture(2)
    clusters = organize(tmp_path / "a.tar", tmp_path / "run")
    assert "ok" in clusters.items.column("status").to_pylist()


def test_a_header_that_would_take_the_memory_is_damage(tmp_path):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 5 << 30
    path = write_tar(tmp_path / "a.tar", {"a.png": picture(1)})
    data = path.read_bytes()[:1024] + info.tobuf(tarfile.GNU_FORMAT)
    with open(path, "wb") as file:
        file.write(data)
        file.truncate(6 << 30)  # sparse
    with open_source(path) as source:
        assert source.read(0) == picture(1)
        assert "damaged" in source.warnings[0]


def written_by(path, names, system=0, extra=b""):
    """A zip with names as bytes, from another system."""
    with zipfile.ZipFile(path, "w") as archive:
        for i, name in enumerate(names):
            info = zipfile.ZipInfo(chr(65 + i) * len(name))
            info.create_system, info.extra = system, extra
            archive.writestr(info, b"x")
    data = path.read_bytes()
    for i, name in enumerate(names):
        data = data.replace((chr(65 + i) * len(name)).encode(), name)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("code_page", "names"),
    [
        ("gbk", ["照片一.jpg"]),
        ("gbk", ["张三的婚礼/合影.jpg", "新建文件夹/截图20240101.png"]),
        ("cp932", ["京都旅行/写真.jpg"]),
        ("cp932", ["新しいフォルダー/スクリーンショット.png"]),
        ("cp950", ["臺灣旅遊/阿里山.jpg"]),
        ("cp949", ["가족여행/제주도.jpg"]),
        ("cp866", ["Новая папка/отпуск 2019.jpg"]),
        ("cp866", ["ФОТО/11.jpg"]),
        ("cp1251", ["Новая папка/Фото.jpg"]),
        ("koi8-r", ["Новая папка/отпуск.jpg"]),
        ("cp437", ["café/11.jpg"]),
        ("cp850", ["Überraschung.jpg", "España/niño.jpg"]),
        ("cp1252", ["Größe/été à la plage.jpg"]),
        ("utf-8", ["照片/Größe.jpg"]),
    ],
)
def test_zip_names_in_the_code_page_of_a_system(tmp_path, code_page, names):
    with open_source(written_by(tmp_path / "a.zip", [name.encode(code_page) for name in names])) as source:
        assert paths(source) == sorted(names, key=os.fsencode)
        assert source.read(0) == b"x"


def test_zip_names_that_are_noise_are_kept_apart(tmp_path):
    names = [bytes([*range(129 + i, 250, 7)]) + b".jpg" for i in range(5)]
    with open_source(written_by(tmp_path / "a.zip", names)) as source:
        assert len(source) == 5


def test_zip_folders_written_with_backslashes(tmp_path):
    names = [b"Photos\\sub\\a.jpg", b"Photos\\b.jpg", b"..\\c.jpg", b"C:\\d.jpg", b"Photos\\sub\\"]
    with open_source(written_by(tmp_path / "a.zip", names)) as source:
        assert paths(source) == ["C_/d.jpg", "Photos/b.jpg", "Photos/sub/a.jpg", "_/c.jpg"]
    with open_source(written_by(tmp_path / "b.zip", [b"back\\slash.jpg"], system=3)) as source:
        assert paths(source) == ["back\\slash.jpg"]  # as Unix may name a file


def test_zip_names_in_the_field_for_unicode(tmp_path):
    raw = "фото.jpg".encode("cp866")
    name = "Фото 1.jpg".encode()
    extra = struct.pack("<HHBI", 0x7075, 5 + len(name), 1, zlib.crc32(raw)) + name
    with open_source(written_by(tmp_path / "a.zip", [raw], extra=extra)) as source:
        assert paths(source) == ["Фото 1.jpg"]
