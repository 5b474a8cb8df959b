"""Measure the review page over a large synthetic library in headless Chromium: first paint, scroll, slider, undo.

    python benchmarks/page.py [n]

Needs Chromium and chromedriver. The pictures are not there: their thumbnails are drawn, groups and neighbors are made.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from record import record
from selfsort.clusters import Clusters, items_table
from selfsort.features.graph import by_size, merge_order, shared_neighbor_graph
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.changes import Scanned
from selfsort.photos.settings import Settings
from selfsort.run_folder import SCHEMA_VERSION

N_FINEST, PER_GROUP, N_DRAWN = 480, 8, 2000


def make_run(folder: Path, n: int) -> Path:
    """Write a run of `n` pictures in 60 groups, and its catalog."""
    rng = np.random.default_rng(0)
    finest = by_size(np.minimum(rng.integers(0, N_FINEST, n), rng.integers(0, N_FINEST, n)))
    groups = finest // PER_GROUP
    order = np.argsort(finest, kind="stable")
    starts = np.searchsorted(finest[order], np.arange(finest.max() + 2))
    near = order[starts[finest][:, None] + rng.integers(0, 2**31, (n, 20)) % np.diff(starts)[finest][:, None]]
    far = rng.integers(0, n, (n, 20))
    neighbors = np.where(rng.random((n, 20)) < 0.15, far, near).astype(np.int32)
    groups, finest = by_size(groups), by_size(finest)
    merges = merge_order(shared_neighbor_graph(neighbors[:, :15]), finest, groups)
    ids = [f"{i:032x}" for i in range(n)]
    center = rng.normal(size=(groups.max() + 1, 2))
    first_key = 1 << 20
    described = []
    for level, labels in ((0, groups), (1, finest)):
        for group in range(labels.max() + 1):
            rows = np.flatnonzero(labels == group)
            known = {"level": level, "group": group, "size": len(rows), "parent": None, "confidence": 0.9}
            known |= {"prototypes": rows[:12].tolist(), "odd": []}
            if level == 0:
                known["key"] = first_key + group
            described.append(known)
    facts: dict[str, Any] = {"schema": SCHEMA_VERSION, "level": 0, "root": str(folder / "pictures"), "source": "folder"}
    facts |= {"method": "graph", "fingerprint": "synthetic", "warnings": [], "encoder": {"name": "synthetic"}}
    facts |= {"params": Settings().__dict__}
    rows = (
        {"id": ids[i], "path": f"IMG_{i:06d}.jpg", "path_bytes": b"IMG_%06d.jpg" % i, "size": 3_000_000}
        | {"width": 4000, "height": 3000, "format": "JPEG", "status": "ok"}
        for i in range(n)
    )
    drawn = [_thumbnail(i) for i in range(N_DRAWN)]
    clusters = Clusters(
        run=facts,
        items=items_table(rows),
        levels=np.column_stack([groups, finest]).astype(np.int32),
        confidence=rng.random(n, np.float32),
        neighbors=neighbors,
        groups=described,
        map=(center[groups] + 0.2 * rng.normal(size=(n, 2))).astype(np.float32),
        embedding=rng.random((n, 64)).astype(np.float16),
        thumbnails=[drawn[i % N_DRAWN] for i in range(n)],
        merges=merges.astype(np.int32),
    )
    run = folder / "large.selfsort"
    clusters.save(run)
    with Catalog(catalog_path(run)) as catalog:
        catalog.scan(facts["root"], [Scanned(f"IMG_{i:06d}.jpg", ids[i], 3_000_000, None, "ok") for i in range(n)])
        keys = (groups + first_key).tolist()
        catalog.add_grouping("synthetic", {content: (key, key) for content, key in zip(ids, keys, strict=True)})
        days = np.sort(rng.integers(0, 7000, n)).tolist()
        dates = (np.datetime64("2005-01-01T12:00:00") + np.array(days, "timedelta64[D]")).astype(str).tolist()
        catalog.add_facts("metadata", 1, {content: {"date": date} for content, date in zip(ids, dates, strict=True)})
    return run


def _thumbnail(number: int) -> bytes:
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize(
        (112, 112), Image.Resampling.BICUBIC
    )
    file = io.BytesIO()
    coarse.save(file, "JPEG", quality=75)
    return file.getvalue()


def browser() -> Any:
    """Return a headless Chromium of 1,400 x 900 pixels."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1400,900"):
        options.add_argument(f"--{argument}")
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


SCROLL = """
const done = arguments[0], box = document.querySelector(".scroller"), frames = [];
let last = performance.now(), n = 0;
box.scrollTop = 0;
requestAnimationFrame(function step(now) {
  frames.push(now - last); last = now;
  box.scrollTop += n % 50 === 49 ? box.scrollHeight / 5 : 400;
  if (++n < 240) requestAnimationFrame(step);
  else done([Math.max(...frames.slice(1)), document.querySelectorAll("*").length]);
});
"""
TIMED = """
const done = arguments[arguments.length - 1], begin = performance.now();
const box = document.querySelector(arguments[1]), before = box.textContent;
new MutationObserver((_, seen) => {
  if (box.textContent === before) return;
  seen.disconnect();
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - begin)));
}).observe(box, {childList: true, characterData: true, subtree: true});
eval(arguments[0]);
"""
PRESS_N = "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'n', bubbles: true}))"
BYTES = """
const done = arguments[0];
fetch("/api/groups").then((answer) => answer.arrayBuffer()).then((buffer) => done(buffer.byteLength));
"""
PAINTED = """
const done = arguments[0];
(function look() {
  const seen = [...document.querySelectorAll(".card img")].filter((image) => image.complete && image.naturalWidth);
  if (seen.length > 20) done(performance.now()); else requestAnimationFrame(look);
})();
"""


def measure(address: str) -> dict[str, float]:
    """Return seconds and milliseconds of what people wait for."""
    page = browser()
    try:
        page.get(address)
        page.execute_async_script(PAINTED)
        paints = []
        for _ in range(3):
            page.get(address.partition("?")[0] + "static/icon.svg")
            page.get(address.partition("?")[0])
            paints.append(page.execute_async_script(PAINTED))
        time.sleep(3)
        slides = []
        for value in (300, 900, 500, 1000, 100, 700):
            act = f"const s = document.querySelector('.granularity input'); s.value = {value};"
            act += "s.dispatchEvent(new Event('input'))"
            slides.append(page.execute_async_script(TIMED, act, ".granularity output"))
        page.execute_async_script(
            TIMED, "document.querySelectorAll('.granularity button')[1].click()", ".granularity output"
        )
        page.execute_script("location.hash = document.querySelector('.card a').getAttribute('href')")
        time.sleep(2)
        frame, n_nodes = page.execute_async_script(SCROLL)
        moves, undone = [], []
        for _ in range(5):
            page.execute_script("document.querySelector('.scroller').scrollTop = 0")
            time.sleep(0.5)
            page.execute_script("document.querySelector('.tile:not([hidden])').click()")
            moves.append(page.execute_async_script(TIMED, PRESS_N, ".head"))
            undone.append(page.execute_async_script(TIMED, "document.getElementById('undo').click()", ".head"))
        return {
            "first_paint_s": round(max(paints) / 1000, 2),
            "slowest_frame_ms": round(frame),
            "slider_ms": round(max(slides)),
            "correct_ms": round(max(moves)),
            "undo_ms": round(max(undone)),
            "dom_nodes": n_nodes,
            "groups_bytes": page.execute_async_script(BYTES),
        }
    finally:
        page.quit()


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder), n)
        began = time.perf_counter()
        command = [sys.executable, "-m", "selfsort.cli", "review", str(run), "--no-open"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            address = re.search(r"http\S+", server.stdout.readline())
            seconds = time.perf_counter() - began
            assert address is not None
            try:
                record("page", n=n, start_s=round(seconds, 1), **measure(address[0]))
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
