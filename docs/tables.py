"""What tables of measured figures share: the lines that benchmarks recorded, and how numbers are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def recorded(file: str) -> list[dict[str, Any]]:
    """Return what a benchmark recorded, the oldest first."""
    path = RESULTS / f"{file}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def mean_std(value: list[float], digits: int = 3) -> str:
    """Return a mean with its spread."""
    return f"{value[0]:.{digits}f} ± {value[1]:.{digits}f}"


def compared(value: Any) -> str:
    """Return a figure, with what it is of."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {mean_std(item, 0 if key == 'seconds' else 3)}" for key, item in value.items())
    return f"{value:,}"


def worded(value: Any) -> str:
    """Return a figure of any kind."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
