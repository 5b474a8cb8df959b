"""Append one JSON line per measured figure, with everything needed to read it later."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def record(file: str, **facts: Any) -> None:
    """Append `facts` to ``results/<file>.jsonl`` with commit, hardware and date, and print them."""
    line = {"date": time.strftime("%Y-%m-%d"), "commit": _commit(), "machine": _machine(), **facts}
    RESULTS.mkdir(exist_ok=True)
    with open(RESULTS / f"{file}.jsonl", "a", encoding="utf-8") as out:
        out.write(json.dumps(line, ensure_ascii=False) + "\n")
    print(json.dumps(facts, ensure_ascii=False), flush=True)


def _commit() -> str:
    root = Path(__file__).parent
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True)
    dirty = subprocess.run(["git", "status", "--porcelain", "../src"], cwd=root, capture_output=True, text=True)
    return commit.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def _machine() -> str:
    from selfsort.runtime import n_threads

    return f"{n_threads()} CPU cores, {_processor()}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
