"""Speed of the main job.

    SELFSORT_DATA=... python benchmarks/speed.py [embed] [again] [phone] [large] [kmeans]

embed: pictures per second end to end from files, against ONNX Runtime alone on the same pictures in memory, and eager
torch.  again: a second run, and a run after adding ten files.  phone: a first run of pictures as phones take them, for
three numbers of pictures; draws 16 GB into the temporary folder first.  large: 100,000 × 1,280 features to groups and
map.  kmeans: against scikit-learn.
"""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from record import record
from selfsort.features.cache import Cache
from selfsort.features.encoders import default_onnx, load_encoder
from selfsort.features.extract import extract
from selfsort.features.graph import shared_neighbor_graph
from selfsort.features.groups import default_n_neighbors, find_groups
from selfsort.features.kmeans import kmeans
from selfsort.features.layout import layout
from selfsort.features.neighbors import nearest_neighbors
from selfsort.features.onnx_runtime import open_session
from selfsort.features.project import graph_features
from selfsort.images import decode
from selfsort.photos.organize import organize
from selfsort.runtime import n_threads
from selfsort.sources import open_source

DATA = Path(os.environ.get("SELFSORT_DATA", ""))
SETS = {"Caltech-101": "caltech101/caltech101_160.tar", "photo library": "photos/f1_library.tar"}
ROUNDS = 5


def embed() -> None:
    """Interleave the three in rounds, so that the machine's ups and downs hit all of them."""
    encoder = load_encoder()
    session = open_session(default_onnx(), n_threads=n_threads())
    torch_net = _torch_net()
    for name, archive in SETS.items():
        with open_source(DATA / archive) as source:
            source.items = source.items[:1600]
            n = len(source.items)
            pixels = np.stack([decode(source.load(i), encoder.preprocessing).pixels for i in range(n)])  # type: ignore[arg-type]
            rates: dict[str, list[float]] = {"files": [], "memory": [], "parallel calls": [], "torch": []}
            for _ in range(ROUNDS):
                with tempfile.TemporaryDirectory() as folder, Cache(Path(folder) / "cache.sqlite") as cache:
                    rates["files"].append(_rate(n, partial(extract, source, encoder, cache)))
                rates["memory"].append(max(_rate(n, partial(_in_batches, session, pixels, b)) for b in (1, 2, 8, 16)))
                rates["parallel calls"].append(_rate(n, partial(_in_parallel, encoder, pixels)))
                rates["torch"].append(_rate(64, partial(torch_net, pixels[:64])))
        best = {key: max(values) for key, values in rates.items()}
        middle = {key: float(np.median(values)) for key, values in rates.items()}
        record(
            "speed",
            what="embedding, pictures/s",
            data=f"{name}, {n} pictures",
            protocol=f"{ROUNDS} interleaved rounds; ONNX Runtime with {n_threads()} threads, best of batch 1, 2, 8, 16",
            median={key: round(value, 1) for key, value in middle.items()},
            best={key: round(value, 1) for key, value in best.items()},
            files_to_memory=round(float(np.median(np.array(rates["files"]) / rates["memory"])), 3),
            files_to_parallel_calls=round(float(np.median(np.array(rates["files"]) / rates["parallel calls"])), 3),
            files_to_torch=round(float(np.median(np.array(rates["files"]) / rates["torch"])), 2),
        )


def _in_batches(session, pixels: np.ndarray, size: int) -> None:  # type: ignore[no-untyped-def]
    for start in range(0, len(pixels), size):
        session.run(["features"], {"images": pixels[start : start + size]})


def _in_parallel(encoder, pixels: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    """Call single-threaded inference from as many threads as processors, as `extract` does, with nothing to decode."""
    with ThreadPoolExecutor(n_threads()) as pool:
        list(
            pool.map(
                lambda i: encoder.encode(pixels[i : i + encoder.batch_size]), range(0, len(pixels), encoder.batch_size)
            )
        )


def _torch_net():  # type: ignore[no-untyped-def]
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    from selfsort.features.default_encoder import weights_path

    net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(weights_path())).eval()

    def run(pixels: np.ndarray) -> None:
        with torch.inference_mode():
            for start in range(0, len(pixels), 16):
                net((torch.from_numpy(pixels[start : start + 16]).permute(0, 3, 1, 2).float() - 127) / 128)

    return run


def _rate(n: int, call) -> float:  # type: ignore[no-untyped-def]
    start = time.perf_counter()
    call()
    return n / (time.perf_counter() - start)


def again() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["SELFSORT_CACHE"] = str(root / "cache")
        with tarfile.open(DATA / SETS["Caltech-101"]) as tar:
            tar.extractall(root / "pictures", filter="data")
        spare = sorted((root / "pictures").rglob("*.jpg"))[:10]
        for path in spare:
            shutil.move(path, root / path.name)
        time.sleep(3)  # let the files' times settle
        seconds, encoded = [], []
        for step in ("first", "second", "ten more"):
            if step == "ten more":
                for path in spare:
                    shutil.move(root / path.name, path)
            start = time.perf_counter()
            clusters = organize(root / "pictures", root / "run")
            seconds.append(round(time.perf_counter() - start, 2))
            encoded.append(clusters.run["n_encoded"])
    record(
        "speed",
        what="first run, second run, after adding 10 files; seconds",
        data="Caltech-101 as 8,242 files",
        seconds=seconds,
        second_to_first=round(seconds[1] / seconds[0], 3),
        encoded_after_adding_10=encoded[2],
    )


def phone(sizes: tuple[int, ...] = (100, 400, 10_000)) -> None:
    """Pictures of two sets, enlarged to 12 megapixels with a sensor's noise; each turned in four ways by its EXIF."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_source(DATA / SETS["photo library"]) as library,
        open_source(DATA / SETS["Caltech-101"]) as things,
    ):
        root = Path(folder)
        pictures = root / "pictures"
        pictures.mkdir()
        rng, preprocessing = np.random.default_rng(0), load_encoder().preprocessing
        noise = np.repeat(rng.normal(128, 4, (3024, 8192, 1)).clip(0, 255).astype(np.uint8), 3, axis=2)
        origin = [(source, index) for source in (library, things) for index in range(len(source.items))]
        days, order = rng.integers(0, 3650, max(sizes)).tolist(), rng.permutation(len(origin))

        def draw(number: int) -> int:
            source, index = origin[order[number]]
            small = decode(source.read(index), preprocessing).pixels[:, :, ::-1]  # OpenCV's order of colors
            large = cv2.resize(np.ascontiguousarray(small), (4032, 3024), interpolation=cv2.INTER_CUBIC)
            large = cv2.addWeighted(large, 1, noise[:, number % 4096 :][:, :4032], 1, -128)
            content = cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
            for turn in range(4):
                name = number + turn * max(sizes) // 4
                exif, taken = Image.Exif(), datetime(2015, 1, 1, 12) + timedelta(days[name], name)
                exif[0x0112] = turn + 1
                exif.get_ifd(0x8769)[0x9003] = taken.strftime("%Y:%m:%d %H:%M:%S")
                degrees = (float(10 + days[name] % 50), float(name % 60), 0.0)
                exif.get_ifd(0x8825).update({1: "N", 2: degrees, 3: "E", 4: degrees})
                segment = exif.tobytes()
                segment = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
                (pictures / f"{name:05}.jpg").write_bytes(content[:2] + segment + content[2:])
            return len(content)

        with ThreadPoolExecutor(n_threads()) as pool:
            bytes_of = list(pool.map(draw, range(max(sizes) // 4)))
        time.sleep(3)  # let the files' times settle
        seconds, memory = [], []
        for n in sizes:
            paths = root / f"{n}.txt"
            paths.write_text("\n".join(str(path) for path in sorted(pictures.iterdir())[:n]))
            environment = os.environ | {"SELFSORT_CACHE": str(root / f"cache {n}")}
            command = [sys.executable, "-m", "selfsort.cli", "organize", str(paths), "-o", str(root / f"run {n}")]
            start = time.perf_counter()
            subprocess.run(command, env=environment, check=True, capture_output=True)
            seconds.append(round(time.perf_counter() - start, 2))
            memory.append(round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20, 2))
    record(
        "speed",
        what=f"first run of {', '.join(map('{:,}'.format, sizes))} pictures of 12 megapixels, with facets; seconds",
        data=f"photo library and Caltech-101, enlarged, turned, with EXIF, JPEGs of {np.mean(bytes_of) / 1e6:.1f} MB",
        seconds=seconds,
        minutes=round(seconds[-1] / 60, 2),
        milliseconds_for_each_more=round(1000 * (seconds[-1] - seconds[0]) / (sizes[-1] - sizes[0]), 1),
        peak_memory_gb=memory,
    )


def large(n: int = 100_000, n_classes: int = 1000) -> None:
    """Clustered random features, float16, never negative like the encoder's own."""
    rng = np.random.default_rng(0)
    centers = rng.gamma(0.3, 1.0, (n_classes, 1280)).astype(np.float32)
    X = np.empty((n, 1280), np.float16)
    for start in range(0, n, 10_000):
        part = centers[rng.integers(0, n_classes, 10_000)]
        X[start : start + 10_000] = part * rng.gamma(2.0, 0.5, part.shape)
    seconds = {}

    def timed(stage: str, call):  # type: ignore[no-untyped-def]
        start = time.perf_counter()
        value = call()
        seconds[stage] = round(time.perf_counter() - start, 1)
        return value

    vectors = timed("projection", lambda: graph_features(X))
    found = timed("neighbors", lambda: nearest_neighbors(vectors, default_n_neighbors(n)))
    graph = timed("graph", lambda: shared_neighbor_graph(found.indices))
    grouping = timed("groups", lambda: find_groups(graph, vectors))
    timed("map", lambda: layout(graph, vectors[:, :2]))
    record(
        "speed",
        what=f"{n:,} × 1,280 features to neighbors, groups and map; seconds",
        data=f"random, {n_classes} classes",
        seconds=seconds,
        total=round(sum(seconds.values()), 1),
        recall=found.recall,
        n_groups=int(grouping.labels.max()) + 1,
        peak_memory_gb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    )


def clusters() -> None:
    """K-means on MNIST pixels against scikit-learn's with 20 starts, one after the other in one process."""
    from sklearn.cluster import KMeans

    content = gzip.decompress((DATA / "mnist/train-images-idx3-ubyte.gz").read_bytes())
    X = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 784)[:34_300].astype(np.float32) / 255
    start = time.perf_counter()
    theirs = KMeans(10, n_init=20, random_state=0).fit(X)
    middle = time.perf_counter()
    ours = [kmeans(X, 10, seed=seed) for seed in range(5)]
    end = time.perf_counter()
    record(
        "speed",
        what="K-means, k = 10: seconds of scikit-learn (n_init=20) and of selfsort (mean of 5 seeds), inertia",
        data="first 34,300 MNIST training digits, pixels",
        seconds=[round(middle - start, 2), round((end - middle) / 5, 2)],
        times_faster=round((middle - start) / ((end - middle) / 5), 1),
        inertia=[round(float(theirs.inertia_), 1), [round(result.inertia, 1) for result in ours]],
    )


PARTS = {"embed": embed, "again": again, "phone": phone, "large": large, "kmeans": clusters}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
