"""Files, archives and questions that the tests of sources share."""

import io
import os
import tarfile
import zipfile

import pytest
from PIL import Image

from selfsort.images import Unreadable


def picture(value=0):
    out = io.BytesIO()
    Image.new("RGB", (8, 6), (value, 0, 0)).save(out, "PNG")
    return out.getvalue()


FILES = {"a.png": picture(1), "b/c.png": picture(2), "b/d/é.png": picture(3), "notes.txt": b"hello"}


def paths(source):
    return [item.path for item in source.items]


def problems(source):
    return {item.path: item.problem for item in source.items if item.problem}


def unreadable(source, index):
    with pytest.raises(Unreadable) as caught:
        source.read(index)
    return str(caught.value)


def write_tar(path, members=FILES, mode="w", **options):
    with tarfile.open(path, mode, **options) as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_700_000_000
            archive.addfile(info, io.BytesIO(data))
    return path


def write_zip(path, members=FILES, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, data)
    return path


def assert_holds_files(source):
    assert paths(source) == sorted(FILES, key=os.fsencode)
    assert {item.path: source.read(i) for i, item in enumerate(source.items)} == FILES
    assert [item.size for item in source.items] == [len(FILES[path]) for path in paths(source)]
