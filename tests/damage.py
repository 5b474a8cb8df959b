"""What chance and strangers do to files: bytes that change, and values that no run has."""

import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selfsort.run_folder import seal_run

ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202egnp\r\b\u2066"
STRANGE = [
    None, True, -1, 0, 1, 10**6, 2**31, 2**53, 2**63 - 1, 0.5, -1e308, 1e308, "", "x", "x" * 70_000, ESCAPES, "a\nb",
    "owner/model", "../../../etc/passwd", "/etc/passwd", "//192.0.2.1/share/m.onnx", "\\\\192.0.2.1\\share\\m.onnx",
    "\ud800", "\udce9", "[red]x[/red]", "\0", [], {}, [[]], [None], {"": None}, [[[[[[[[[[[[]]]]]]]]]]]],
]  # fmt: skip
RAW = [
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"schema": 2, "level": ' + b"9" * 5000 + b"}",
    b'{"schema": 2, "level": NaN}',
    b'{"schema": 2, "level": 1e999}',
    b'{"schema": 2, "level": 0, "level": 1}',
    b"\xff\xfe{\x00}\x00",
    b"",
    b"null",
    b"\0" * 100,
]


def damaged(data, rng):
    """Return bytes as a bad disk or a cut transfer leaves them."""
    data = bytearray(data)
    how = rng.choice(["flip", "flip", "cut", "swap", "zeros"])
    if how == "flip":
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif how == "cut":
        del data[rng.randrange(len(data)) :]
    else:
        length = rng.randint(1, max(1, len(data) // 3))
        first, second = (rng.randrange(len(data) - length + 1) for _ in range(2))
        part = bytes(data[first : first + length])
        data[first : first + length] = data[second : second + length] if how == "swap" else bytes(length)
        if how == "swap":
            data[second : second + length] = part
    return bytes(data)


def _nodes(value, path=()):
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from _nodes(part, (*path, key))


def forge_json(path, rng):
    """Put something strange into a JSON file; return what, in words."""
    if rng.random() < 0.1:
        path.write_bytes(raw := rng.choice(RAW))
        return f"{path.name} = {raw[:40]!r}"
    value = json.loads(path.read_text(encoding="utf-8"))
    nodes = [node for node in _nodes(value) if node]
    node = rng.choice(nodes)
    parent = value
    for key in node[:-1]:
        parent = parent[key]
    if rng.random() < 0.15:
        del parent[node[-1]]
        what = "deleted"
    else:
        what = parent[node[-1]] = rng.choice(STRANGE)
    path.write_text(json.dumps(value))
    return f"{path.name} {node} = {str(what)[:40]!r}"


def forge_array(path, rng):
    """Give an array another type, shape, or values out of its range."""
    value = np.load(path)
    how = rng.choice(["type", "rows", "axes", "values", "values", "order"])
    if how == "type":
        value = value.astype(rng.choice(["float64", "int8", ">i4", "complex64", "U4", "bool"]))
    elif how == "rows":
        value = value[: rng.randrange(len(value) + 1)]
    elif how == "axes":
        value = value[None] if rng.random() < 0.5 else value.ravel()
    elif how == "order":
        value = np.asfortranarray(value[..., ::-1])
    elif value.size:
        flat = value.reshape(-1)
        odd = [np.nan, np.inf, -5, 1e30] if value.dtype.kind == "f" else [-2, len(value), 2**31 - 1, 0]
        with np.errstate(over="ignore"):
            flat[rng.randrange(len(flat))] = np.array(rng.choice(odd)).astype(value.dtype)
    np.save(path, value)
    return f"{path.name} {how}"


def forge_table(path, rng):
    """Put something strange into a table."""
    table = pq.ParquetFile(path).read()
    column = rng.choice(table.schema.names)
    values = table.column(column).to_pylist()
    kind = table.schema.field(column).type
    how = rng.choice(["value", "value", "value", "drop", "null", "type", "rows"])
    if how == "drop":
        table = table.drop_columns([column])
    elif how == "rows":
        table = table.slice(0, max(0, len(table) - 1))
    else:
        texts = [text for text in STRANGE if isinstance(text, str) and text != "\ud800" and text != "\udce9"]
        odd = {"string": texts, "binary": [text.encode() for text in texts]}.get(str(kind), [-1, 0, 2**31 - 1])
        values[rng.randrange(len(values))] = None if how == "null" else rng.choice(odd)
        new = [str(value) for value in values] if how == "type" else values
        where = table.schema.get_field_index(column)
        table = table.set_column(where, column, pa.array(new, pa.string() if how == "type" else kind))
    pq.write_table(table, path)
    return f"{path.name} {column} {how}"


def forge(run, seed):
    """Change a run as somebody does who knows what it is made of; return what was changed."""
    rng = random.Random(seed)
    kinds = {".json": forge_json, ".npy": forge_array, ".parquet": forge_table}
    weights = {"run.json": 8, "groups.json": 4, "items.parquet": 4, "config.json": 4, "figures.json": 2}
    files = sorted(path for path in run.iterdir() if path.suffix in kinds)
    path = rng.choices(files, [weights.get(path.name, 1) for path in files])[0]
    what = kinds[path.suffix](path, rng)
    seal_run(run)
    return what
