"""Tables of published numbers beside ours."""

from __future__ import annotations

import json
from typing import Any

from tables import mean_std, recorded

from selfsort.methods import METHODS
from selfsort.reproduce import RECIPES
from selfsort.reproduce.recipe import PROTOCOLS, load_recipe

#: Behind seconds, where not all were measured on the same machine.
_MARKS = "ᵃᵇᶜᵈᵉᶠᵍ"


def reproduced(method: str | None = None) -> str:
    """Return published figures beside ours, of one method or of all: the newest line of each way to run a recipe."""
    current = filter(_is_current, recorded("reproduce"))
    kept = ("recipe", "variant", "row", "data_note", "protocol")
    newest = {tuple(line[key] for key in kept): line for line in current}
    wanted = METHODS if method is None else {method}
    names = [name for name in RECIPES if load_recipe(name).method in wanted]
    lines = [line for line in newest.values() if line["recipe"] in names]
    lines.sort(key=lambda line: (names.index(line["recipe"]), line["variant"]))
    if not lines:
        return "No figures yet."
    places = list(dict.fromkeys(_place(line) for line in lines))
    marks = dict.fromkeys(places, "") if len(places) == 1 else dict(zip(places, _MARKS, strict=False))
    parts = [
        (_laws if "exact" in shown else _beside)([line for line in lines if tuple(line["shown"]) == shown], marks)
        for shown in _kinds(lines)
    ]
    told = "; ".join(f"{mark} {place}".strip() for place, mark in marks.items())
    told_of = {line["recipe"]: load_recipe(line["recipe"]).note for line in lines}
    notes = dict.fromkeys(f"`{name}`: {note}" for name, note in told_of.items() if note)
    notes |= dict.fromkeys(f"{_data(line)}: {line['data_note']}." for line in lines if line["data_note"])
    return "\n".join(["\n\n".join(parts), "", f"Measured on: {told}.", *(f"\n{note}" for note in notes)])


def _is_current(line: dict[str, Any]) -> bool:
    """Return whether a measured row still has the settings of its recipe."""
    recipe = load_recipe(line["recipe"])
    params = [
        {**recipe.params, **getattr(recipe, line["variant"]).params, **row.params}
        for row in recipe.rows
        if row.name == line["row"] and (row.protocol == "law" or line["protocol"].startswith(PROTOCOLS[row.protocol]))
    ]
    return line["params"] in json.loads(json.dumps(params))


def _kinds(lines: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return the sets of scores that tables are made of, in their order."""
    return list(dict.fromkeys(tuple(line["shown"]) for line in lines))


def _beside(lines: list[dict[str, Any]], marks: dict[str, str]) -> str:
    """Return one table of rows that have the same scores."""
    shown = ["acc", "nmi"] if lines[0]["shown"][0] == "acc" else lines[0]["shown"][:3]
    named = [key.upper() if len(key) == 3 else key for key in shown]
    head = ["recipe", "data", "protocol", "published", *named, f"{named[0]}, worst seed", "seeds", "seconds per seed"]
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for line in lines:
        short = next((key for key, words in PROTOCOLS.items() if line["protocol"].startswith(words)), line["protocol"])
        published = ", ".join(
            f"{key.upper() if len(key) == 3 else key} {value:.3f}" for key, value in line["published"].items()
        )
        cells = [", ".join(part for part in (f"`{line['recipe']}`", line["row"], line["variant"]) if part)]
        cells += [_data(line), short, published or "–"]
        alone = len(line["seeds"]) == 1
        cells += [f"{line['mean'][key]:.3f}" + ("" if alone else f" ± {line['std'][key]:.3f}") for key in shown]
        cells += [
            f"{line['worst'][shown[0]]:.3f}",
            str(len(line["seeds"])),
            f"{line['seconds']:,.{0 if line['seconds'] >= 10 else 1}f} {marks[_place(line)]}".strip(),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _laws(lines: list[dict[str, Any]], marks: dict[str, str]) -> str:
    """Return one table of estimates whose exact value is known."""
    rows = ["| law and estimator | exact | published | ours | off by | seeds | seconds per seed |", "|---" * 7 + "|"]
    for line in lines:
        ours, exact = line["mean"]["nats"], line["mean"]["exact"]
        published = line["published"].get("nats")
        cells = [line["row"], f"{exact:.4f}", "–" if published is None else f"{published:.4f}"]
        cells += [mean_std([ours, line["std"]["nats"]], 4), f"{ours / exact - 1:+.1%}"]
        cells += [str(len(line["seeds"])), f"{line['seconds']:.1f} {marks[_place(line)]}".strip()]
        rows.append("| " + " | ".join(cells) + " |")
    protocols = dict.fromkeys(line["protocol"] for line in lines)
    return "\n".join([*rows, "", f"In nats; the bins: {'; networks: '.join(protocols)}."])


def _data(line: dict[str, Any]) -> str:
    return f"{line['data']}, JPEG" if "JPEG" in line["data_note"] else str(line["data"])


def _place(line: dict[str, Any]) -> str:
    device = line.get("device", "cpu")
    if device != "cpu":
        return f"{device}, {line['machine']}"
    if line["n_threads"] == 1:
        return f"{line['machine'].partition(' CPU cores, ')[2]}, one core for each seed"
    return str(line["machine"])
