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

from selfsort.choosing import SCORES
from selfsort.cli import main
from selfsort.methods import METHODS
from selfsort.photos.looks import FLAWS
from selfsort.reproduce import RECIPES
from selfsort.reproduce.recipe import PROTOCOLS, load_recipe

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


def training() -> str:
    """Return the newest line of each figure of training."""
    newest = {(line["what"], line.get("net"), line["data"], line["protocol"]): line for line in _lines("training")}
    facts = {"what", "net", "data", "protocol", "ratio", "of_bare", "views_share", "teraflops", "precision"}
    facts |= {"date", "commit", "machine"}
    rows = ["| what | data | protocol | the other | selfsort | times faster |", "|---" * 6 + "|"]
    compiled = []
    for line in newest.values():
        if "compiled" in line:
            compiled.append(
                f"{line['net']} {line['ratio']} times as fast ({line['uncompiled']:,} and {line['compiled']:,} "
                f"images/s) after {line['compiling_seconds']:.0f} s of compiling"
            )
            continue
        figures = {key: _compared(value) for key, value in line.items() if key not in facts}
        ours = figures.pop("ours" if "ours" in figures else "selfsort")
        if "of_bare" in line:
            ours += f" ({line['of_bare']:.0%} of bare)"
        if "views_share" in line:
            ours += f", of which views {line['views_share']:.0%} of the time"
        other = "; ".join(f"{name}: {figure}" for name, figure in figures.items())
        what = ": ".join(line[key] for key in ("what", "net") if key in line)
        rows.append(f"| {what} | {line['data']} | {line['protocol']} | {other} | {ours} | {line['ratio']} |")
    places = dict.fromkeys(line["machine"] for line in newest.values())
    notes = [f"With `torch.compile`: {'; '.join(compiled)}.", f"Measured on: {'; '.join(places)}."]
    return "\n".join([*rows, "", "\n\n".join(notes)])


def collapse() -> str:
    """Return in how many of its runs SCAN collapsed."""
    newest = {(line["what"], line["data"]): line for line in _lines("collapse")}
    if not newest:
        return "No figures yet."
    head = [
        "",
        "data",
        "collapsed",
        "alarms",
        "fewest clusters used",
        "largest share",
        "ACC",
        "NMI",
        "seconds per seed",
    ]
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for line in newest.values():
        cells = [line["what"], line["data"], str(line["n_collapsed"]), str(line["n_alarms"])]
        cells += [str(line["fewest_clusters_used"]), f"{line['largest_share']:.0%}", _mean_std(line["acc"])]
        rows.append("| " + " | ".join([*cells, _mean_std(line["nmi"]), f"{line['seconds']:.1f}"]) + " |")
    notes = dict.fromkeys(f"{line['protocol']}, {line['machine']}" for line in newest.values())
    return "\n".join([*rows, "", f"{'; '.join(notes)}."])


def deepcluster() -> str:
    """Return what DeepCluster's layers hold beside those of others."""
    newest = {line["what"]: line for line in _lines("deepcluster")}
    if not newest:
        return "No figures yet."
    first = next(iter(newest.values()))
    head = ["features", "passes", "seconds", *(f"layer {i + 1}" for i in range(len(first["layers"]) - 1)), "features"]
    rows = ["| " + " | ".join([*head, "kNN", "ACC of 10 clusters", "agreement"]) + " |", "|---" * (len(head) + 3) + "|"]
    for line in newest.values():
        cells = [line["what"], str(line["passes"]), f"{line['seconds']:,}"]
        cells += [f"{value:.3f}" for value in (*line["layers"], line["knn"], line["acc"])]
        course = line["agreement"]
        rows.append("| " + " | ".join([*cells, f"{course[0]:.2f} to {course[-1]:.2f}" if course else "–"]) + " |")
    notes = dict.fromkeys(f"{line['net']}, {line['data']}; {line['protocol']}" for line in newest.values())
    return "\n".join([*rows, "", f"{'; '.join(notes)}. {first['machine']}."])


def frozen() -> str:
    """Return how methods on the built-in encoder's features compare."""
    newest = {(line["data"], line["method"]): line for line in _lines("frozen")}
    if not newest:
        return "No figures yet."
    keys = ("acc", "nmi", "ami", "ari", "modularity", "learnable")
    rows = ["| data | method | ACC | NMI | AMI | ARI | modularity | learnable | k | seconds |", "|---" * 10 + "|"]
    for (data, method), line in newest.items():
        cells = [_mean_std(line[key]) if line[key][1] else f"{line[key][0]:.3f}" for key in keys]
        k = f"{line['k'][0]:.0f}" if "k" in line else "10"
        rows.append("| " + " | ".join([data, method, *cells, k, f"{line['seconds'][0]:.0f}"]) + " |")
    notes = dict.fromkeys(f"{line['data']}: {line['protocol']}, {line['machine']}" for line in newest.values())
    return "\n".join([*rows, "", f"{'; '.join(notes)}."])


def how_many() -> str:
    """Return the numbers of clusters that are found."""
    newest = {line["data"]: line for line in _lines("choosing_k")}
    if not newest:
        return "No figures yet."
    rows = ["| data | classes | recommended | interval | stability | seconds |", "|---" * 6 + "|"]
    for line in newest.values():
        ks = ", ".join("none" if k is None else str(k) for k in line["k"])
        intervals = ", ".join(f"{low}–{high}" for low, high in line["interval"])
        stable = f"{min(line['stability']):.2f}–{max(line['stability']):.2f}"
        rows.append(f"| {line['data']} | {line['classes']} | {ks} | {intervals} | {stable} | {line['seconds']:.1f} |")
    notes = "; ".join(f"{line['data']}: {line['protocol']}, {line['machine']}" for line in newest.values())
    return "\n".join([*rows, "", f"One value per seed. {notes}."])


def learning() -> str:
    """Return what learning the weight of a layer gains."""
    newest = {(line["data"], line["learn"]): line for line in _lines("learning")}
    rows = ["| data | AMI | with `--learn` | weights | groups | with | seconds | with |", "|---" * 8 + "|"]
    for (data, learn), line in newest.items():
        if learn or (data, True) not in newest:
            continue
        other = newest[data, True]
        weights = ", ".join(f"{weight:g}" for weight in other["weights"])
        groups = ["–".join(map(str, sorted({min(of["n_groups"]), max(of["n_groups"])}))) for of in (line, other)]
        cells = [data, _mean_std(line["ami"]), _mean_std(other["ami"]), weights, *groups]
        rows.append("| " + " | ".join(cells) + f" | {line['seconds']:.1f} | {other['seconds']:.1f} |")
    tuned = {line["encoder"]: line for line in _lines("learning_tuned")}
    if not newest:
        return "No figures yet."
    first = next(iter(newest.values()))
    note = f"{first['seeds']} seeds, {first['machine']}; seconds of the whole command, the pictures encoded before."
    if tuned:
        trained = ", ".join(f"{name} {line['ami']:.3f} ({line['seconds']} s)" for name, line in tuned.items())
        note += "\n\nThe encoder trained on the photo library at 160 pixels, seed 0, AMI of the graph of its features: "
        note += f"{trained}."
    return "\n".join([*rows, "", note])


def kinds() -> str:
    """Return what kinds do for the groups, and how well they are told."""
    newest = {(line["data"], line["facets"]): line for line in _lines("kinds")}
    rows = ["| data | AMI without facets | with | groups without | with |", "|---" * 5 + "|"]
    for (data, facets), line in newest.items():
        if not facets and (data, True) in newest:
            other = newest[data, True]
            groups = ["–".join(map(str, sorted({min(of["n_groups"]), max(of["n_groups"])}))) for of in (line, other)]
            rows.append("| " + " | ".join([data, _mean_std(line["ami"]), _mean_std(other["ami"]), *groups]) + " |")
    told = {line["trained_on"]: line for line in _lines("kind")}
    if not newest or not told:
        return "No figures yet."
    scores = ", ".join(f"{name} {line['mean']:.3f} ± {line['std']:.3f}" for name, line in told.items())
    note = f"{next(iter(newest.values()))['seeds']} seeds. Macro-F1 of the kinds by what the model was trained on, "
    return "\n".join([*rows, "", f"{note}scored on the library's other half, five divisions into halves: {scores}."])


def naming() -> str:
    """Return how often suggested names are right."""
    newest = {(line["what"], line["data"], line.get("level")): line for line in _lines("naming")}
    head = ["data", "groups", "named", "right", "the label's word anywhere", "pictures in named groups", "right for"]
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for (what, data, _), line in newest.items():
        if what == "names":
            shares = (
                "named",
                "right_of_named",
                "right_anywhere_of_named",
                "pictures_in_named",
                "pictures_right_of_named",
            )
            default = " (the default)" if line["default"] else ""
            cells = [data, f"{line['n_groups']}{default}", *(f"{line[key]:.0%}" for key in shares)]
            rows.append("| " + " | ".join(cells) + " |")
    note = "; ".join(
        f"{line['data']}: {line['milliseconds'][0]} ms at best, {line['milliseconds'][1]} ms in the median"
        for (what, _, _), line in newest.items()
        if what == "speed"
    )
    table = "\n".join(rows) if len(rows) > 2 else "No figures yet."
    return f"{table}\n\nTime: {note}." if note else table


def objects() -> str:
    """Return how often the classifier's terms are right."""
    newest = {(line["data"], line["least"]): line for line in _lines("objects")}
    if not newest:
        return "No figures yet."
    head = [
        "data",
        "probability from",
        "pictures",
        "with a hint",
        "first one right",
        "name of a class",
        "right of these",
    ]
    head += ["categories with most right", "hints on pictures of other things"]
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for (data, least), line in newest.items():
        shares = (f"{line[key]:.0%}" for key in ("hinted", "right_of_hinted", "fine", "right_of_fine"))
        cells = [data, f"{least}", f"{line['n']:,}", *shares, f"{line['right_for_most']} of {line['n_labels']}"]
        rows.append("| " + " | ".join([*cells, f"{line['hinted_others']:.0%} of {line['n_others']:,}"]) + " |")
    slowest = max(line["microseconds"] for line in newest.values())
    machine = next(iter(newest.values()))["machine"]
    return "\n".join([*rows, "", f"At most {slowest:.0f} millionths of a second a picture; {machine}."])


def people() -> str:
    """Return how well faces are found."""
    newest = {(line["data"], line["detector"]): line for line in _lines("people")}
    if not newest:
        return "No figures yet."
    head = ["data", "detector", "with people", "a face found", "just one", "others", "a face found", "milliseconds"]
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    others = []
    for (data, detector), line in newest.items():
        cells = [data, {"mtcnn": "MTCNN", "cascade": "cascade of OpenCV"}[detector], f"{line['n_people']:,}"]
        cells += [f"{line['found']:.1%}", f"{line['one']:.1%}", f"{line['n_others']:,}", f"{line['others']:.1%}"]
        rows.append("| " + " | ".join([*cells, f"{line['milliseconds']:.0f}"]) + " |")
        if detector == "mtcnn":
            shares = [f"{label} {share:.0%}" for label, share in line["by_label"].items() if share][:8]
            others.append(f"{data}: {', '.join(shares)}")
    first = next(iter(newest.values()))
    note = f"Of processor time for a picture of {first['side']} pixels, beside "
    note += f"{first['reading_milliseconds']:.0f} to read it; "
    text = [*rows, "", f"{note}{first['machine']}.", "", f"Faces among the others: {'. '.join(others)}."]
    for line in {line["side"]: line for line in _lines("small_faces")}.values():
        shares = ", ".join(f"{n / line['n']:.0%} of {part}" for part, n in line["found"].items())
        text += ["", f"At {line['side']} pixels, of {line['n']} faces with a part of the longer side: {shares}."]
    return "\n".join(text)


def flaws() -> str:
    """Return how much blur and darkness is called so."""
    newest = {(line["what"], line["data"]): line for line in _lines("flaws")}
    if not newest:
        return "No figures yet."
    rows = ["| pictures | data | number | blurred | dark | empty |", "|---" * 6 + "|"]
    for (what, data), line in newest.items():
        shares = (f"{line[name] / line['n']:.0%}" if line[name] > 9 else str(line[name]) for name in FLAWS)
        rows.append("| " + " | ".join([what, data, f"{line['n']:,}", *shares]) + " |")
    return "\n".join(rows)


def text_found() -> str:
    """Return how fast text is read, and how much of it."""
    newest = {(line["what"], line.get("font"), line.get("capitals")): line for line in _lines("text")}
    library = next((line for line in newest.values() if line["what"] == "library"), None)
    if library is None:
        return "No figures yet."
    n, captions = library["n_pictures"], library["captions"]
    rows = ["| the photo library | |", "|---|---|"]
    rows.append(f"| pictures a second, best of {library['n_passes']} passes | {n / library['seconds']:.1f} |")
    rows.append(f"| seconds of processor time a picture | {library['processor_seconds'] / n:.2f} |")
    rows.append(f"| the same if all are read whole | {library['processor_seconds_without_look'] / n:.2f} |")
    rows.append(f"| pictures that step 1 ends with | {n - library['n_read']} of {n} |")
    rows.append(f"| pictures with text that it misses | {library['n_missed_by_look']} of {library['n_with_text']} |")
    of = f"{captions['n_words']:,} words of {captions['n']} drawn captions"
    rows.append(f"| {of}, found as words | {captions['words']:.1%} |")
    rows.append(f"| the same without step 4 | {library['captions_without_spaces']['words']:.1%} |")
    rows.append(f"| the same, found by a search | {captions['searched']:.1%} |")
    rows += ["", "| label | pictures with text |", "|---|---|"]
    kinds = sorted(library["kinds"].items(), key=lambda pair: -pair[1][0] / pair[1][1])
    rows += [f"| {kind} | {found} of {of_kind} |" for kind, (found, of_kind) in kinds]
    rows += ["", "| drawn lines | words found | without step 4 | letters right |", "|---|---|---|---|"]
    for line in newest.values():
        if line["what"] == "drawn":
            name = f"{line['font']}, capitals" if line["capitals"] else line["font"]
            figures = [line["words"], line["words_without_spaces"], line["letters"]]
            rows.append("| " + " | ".join([name, *(f"{value:.1%}" for value in figures)]) + " |")
    notes = f"{library['n_threads']} threads, {library['machine']}, which others used at the same time."
    for line in newest.values():
        if line["what"] == "large":
            with_look, without = (line[f"processor_seconds{key}"] / line["n_pictures"] for key in ("", "_without_look"))
            notes += (
                f" Photographs of 4,000 pixels, mostly without text: {with_look:.2f} seconds of processor time each, "
            )
            notes += f"{without:.2f} if all are read whole."
        if line["what"] == "memory":
            used = line["megabytes"]
            notes += f" Memory over {line['n_pictures']:,} pictures: {used[0]} MB after the first pass over them, "
            notes += f"{used[-1]} MB after the last."
    return "\n".join([*rows, "", notes])


def page() -> str:
    """Return how fast the review page is."""
    lines = _lines("page")
    if not lines:
        return "No figures yet."
    line = lines[-1]
    rows = [f"| {line['n']:,} pictures | |", "|---|---|"]
    rows += [
        f"| first groups with pictures, after a reload | {line['first_paint_s']:.2f} s |",
        f"| the slowest frame while scrolling | {line['slowest_frame_ms']} ms |",
        f"| coarser or finer, until it is drawn | {line['slider_ms']} ms |",
        f"| a correction, until it is drawn | {line['correct_ms']} ms |",
        f"| undo, until it is drawn | {line['undo_ms']} ms |",
        f"| nodes in the document | {line['dom_nodes']} |",
        f"| the groups and what each picture is in, in one answer | {line['groups_bytes'] / 1e6:.1f} MB |",
    ]
    return "\n".join([*rows, "", f"The slowest of several of each. {line['machine']}, headless Chromium."])


def corrections() -> str:
    """Return what forty corrections teach."""
    newest = {(line["data"], line["merges"]): line for line in _lines("corrections")}
    rows = ["| data | forty | AMI of the others before | corrected | taught | least gain | seconds |", "|---" * 7 + "|"]
    for (data, merges), line in newest.items():
        n_merges = sum(line["n_merges"]) / line["seeds"]
        what = f"corrections, {n_merges:.0f} of them merges" if merges else "moves"
        cells = [data, what, *(_mean_std(line[key]) for key in ("before", "corrected", "taught"))]
        rows.append("| " + " | ".join(cells) + f" | {min(line['gain']):+.3f} | {line['seconds']:.1f} |")
    if not newest:
        return "No figures yet."
    first = next(iter(newest.values()))
    violated = sum(line["violated"] for line in newest.values())
    note = f"{first['seeds']} simulations; {violated} of the corrected pictures were moved again."
    return "\n".join([*rows, "", f"{note} Seconds of the second run."])


def choosing() -> str:
    """Return how well scores without labels rank clusterings."""
    newest = {line["data"]: line for line in _lines("choosing")}
    if not newest:
        return "No figures yet."
    head = [
        "data",
        "score",
        "rank correlation with ACC",
        "with AMI",
        "ACC of its choice",
        "AMI",
        "best ACC",
        "best AMI",
    ]
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for line in newest.values():
        for name in ("consensus", *SCORES):
            figures = [f"{value:.2f}" for value in line[name].values()]
            figures += [f"{line['best'][key]:.2f}" for key in ("acc", "ami")]
            rows.append(f"| {line['data']} | {name} | " + " | ".join(figures) + " |")
    notes = "; ".join(f"{line['data']}: {line['protocol']}" for line in newest.values())
    return "\n".join([*rows, "", f"{notes}."])


def _compared(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_mean_std(item, 0 if key == 'seconds' else 3)}" for key, item in value.items())
    return f"{value:,}"


def reproduced(method: str | None = None) -> str:
    """Return published figures beside ours, of one method or of all: the newest line of each way to run a recipe."""
    newest = {(line["recipe"], line["variant"], line["row"], line["protocol"]): line for line in _lines("reproduce")}
    wanted = METHODS if method is None else {method}
    names = [name for name in RECIPES if load_recipe(name).method in wanted]
    lines = [line for line in newest.values() if line["recipe"] in names and _is_current(line)]
    lines.sort(key=lambda line: (names.index(line["recipe"]), line["variant"]))
    if not lines:
        return "No figures yet."
    parts = [
        (_laws if "exact" in shown else _beside)([line for line in lines if tuple(line["shown"]) == shown])
        for shown in _kinds(lines)
    ]
    places = dict.fromkeys(f"{line['variant']}: {_place(line)}" for line in lines)
    notes = dict.fromkeys(f"`{line['recipe']}`: {line['note']}" for line in lines if line["note"])
    return "\n".join(["\n\n".join(parts), "", f"Measured on: {'; '.join(places)}.", *(f"\n{note}" for note in notes)])


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


def _beside(lines: list[dict[str, Any]]) -> str:
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
        cells += [line["data"], short, published or "–"]
        alone = len(line["seeds"]) == 1
        cells += [f"{line['mean'][key]:.3f}" + ("" if alone else f" ± {line['std'][key]:.3f}") for key in shown]
        cells += [
            f"{line['worst'][shown[0]]:.3f}",
            str(len(line["seeds"])),
            f"{line['seconds']:,.{0 if line['seconds'] >= 10 else 1}f}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _laws(lines: list[dict[str, Any]]) -> str:
    """Return one table of estimates whose exact value is known."""
    rows = ["| law and estimator | exact | published | ours | off by | seeds | seconds per seed |", "|---" * 7 + "|"]
    for line in lines:
        ours, exact = line["mean"]["nats"], line["mean"]["exact"]
        published = line["published"].get("nats")
        cells = [line["row"], f"{exact:.4f}", "–" if published is None else f"{published:.4f}"]
        cells += [_mean_std([ours, line["std"]["nats"]], 4), f"{ours / exact - 1:+.1%}"]
        cells += [str(len(line["seeds"])), f"{line['seconds']:.1f}"]
        rows.append("| " + " | ".join(cells) + " |")
    protocols = dict.fromkeys(line["protocol"] for line in lines)
    return "\n".join([*rows, "", f"In nats; the bins: {'; networks: '.join(protocols)}."])


def _place(line: dict[str, Any]) -> str:
    device = line.get("device", "cpu")
    if device != "cpu":
        return f"{device}, {line['machine']}"
    return line["machine"] + (", one for each seed" if line["n_threads"] == 1 else "")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def filled(text: str) -> str:
    """Put the tables between their marks."""
    tables = {"quality": quality(short=False), "quality-short": quality(short=True), "speed": speed()}
    tables |= {
        "training": training(),
        "reproduce": reproduced(),
        "collapse": collapse(),
        "choosing": choosing(),
        "choosing_k": how_many(),
        "deepcluster": deepcluster(),
        "learning": learning(),
        "kinds": kinds(),
        "corrections": corrections(),
        "naming": naming(),
        "page": page(),
        "text": text_found(),
        "objects": objects(),
        "people": people(),
        "flaws": flaws(),
        "frozen": frozen(),
    }
    methods = {load_recipe(name).method for name in RECIPES} | set(METHODS)
    tables |= {f"reproduce {method}": reproduced(method) for method in methods}
    for name, table in tables.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = mark.sub(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text)  # type: ignore[misc]
    return text


def pages() -> dict[Path, str]:
    """Return the wanted text of every page that holds something generated."""
    wanted = {ROOT / "docs/guide/commands.md": commands()}
    folders = (ROOT / "docs/guide", ROOT / "docs/methods")
    written = [page for folder in folders for page in sorted(folder.glob("*.md")) if page not in wanted]
    for page in (ROOT / "README.md", ROOT / "docs/benchmarks.md", *written):
        wanted[page] = filled(page.read_text(encoding="utf-8"))
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
