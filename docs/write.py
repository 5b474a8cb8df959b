"""Write what the documentation holds of help texts and measured figures; ``--check`` only says what is out of date.

python docs/write.py [--check]
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import click

from selfsort.cli import main

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def commands() -> str:
    """Return the page of help texts."""
    parts = ["# Commands\n\nAs `selfsort COMMAND --help` prints it.\n"]
    context = click.Context(main, info_name="selfsort")
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        with click.Context(command, info_name=name, parent=context, terminal_width=100) as sub:
            parts.append(f"## selfsort {name}\n\n```\n{command.get_help(sub)}\n```\n")
    return "\n".join(parts)


def _lines(file: str) -> list[dict[str, Any]]:
    path = RESULTS / f"{file}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _mean_std(value: list[float], digits: int = 3) -> str:
    return f"{value[0]:.{digits}f} ± {value[1]:.{digits}f}"


def quality(*, short: bool) -> str:
    """Return the table of grouping quality: the newest line of each (data, method, features)."""
    newest = {(line["data"], line["method"], line["features"]): line for line in _lines("quality")}
    head = "| data | method | AMI | ARI | groups | noise | seconds |\n|---|---|---|---|---|---|---|"
    if not short:
        head = (
            "| data | method | features | AMI | ARI | NMI | ACC 1:1 | groups | noise | seconds |\n" + "|---" * 10 + "|"
        )
    rows = [head]
    best: dict[tuple[str, str], dict[str, Any]] = {}
    for line in newest.values():
        if line["features"] == "pixels":  # not of the comparison
            continue
        key = (line["data"], line["method"])
        if key not in best or line["ami"][0] > best[key]["ami"][0]:
            best[key] = line
    for line in best.values() if short else newest.values():
        groups, noise = f"{line['n_clusters'][0]:.0f}", f"{line['n_unassigned'][0]:.0f}"
        cells = [line["data"], line["method"]]
        if short:
            cells += [f"{line['ami'][0]:.3f}", f"{line['ari'][0]:.3f}"]
        else:
            cells += [line["features"], *(_mean_std(line[key]) for key in ("ami", "ari", "nmi", "acc"))]
        rows.append("| " + " | ".join([*cells, groups, noise, f"{line['seconds'][0]:.1f}"]) + " |")
    return "\n".join(rows)


def speed() -> str:
    """Return the newest line of each speed figure."""
    newest = {(line["what"], line["data"]): line for line in _lines("speed")}
    rows = ["| what | data | figures |", "|---|---|---|"]
    skipped = {"what", "data", "date", "commit", "machine", "protocol"}
    for (what, data), line in newest.items():
        figures = "; ".join(f"{key}: {_shown(value)}" for key, value in line.items() if key not in skipped)
        rows.append(f"| {what} | {data} | {figures} |")
    return "\n".join(rows)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def filled(text: str) -> str:
    """Put the tables between their marks."""
    tables = {"quality": quality(short=False), "quality-short": quality(short=True), "speed": speed()}
    for name, table in tables.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = mark.sub(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text)  # type: ignore[misc]
    return text


def pages() -> dict[Path, str]:
    """Return the wanted text of every page that holds something generated."""
    wanted = {ROOT / "docs/guide/commands.md": commands()}
    for name in ("README.md", "docs/benchmarks.md"):
        wanted[ROOT / name] = filled((ROOT / name).read_text(encoding="utf-8"))
    return wanted


if __name__ == "__main__":
    stale = [p for p, text in pages().items() if not p.exists() or p.read_text(encoding="utf-8") != text]
    for path in stale:
        print(
            f"{path.relative_to(ROOT)} is out of date" if "--check" in sys.argv else f"writing {path.relative_to(ROOT)}"
        )
        if "--check" not in sys.argv:
            path.write_text(pages()[path], encoding="utf-8")
    sys.exit(bool(stale) and "--check" in sys.argv)
