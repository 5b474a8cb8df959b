"""Tables of what the photo organizer was measured to do."""

from __future__ import annotations

from tables import mean_std, recorded

from selfsort.photos.looks import SEEMING


def kinds() -> str:
    """Return what kinds do for the groups, and how well they are told."""
    newest = {(line["data"], line["facets"]): line for line in recorded("kinds")}
    rows = ["| data | AMI without facets | with | groups without | with |", "|---" * 5 + "|"]
    for (data, facets), line in newest.items():
        if not facets and (data, True) in newest:
            other = newest[data, True]
            groups = ["–".join(map(str, sorted({min(of["n_groups"]), max(of["n_groups"])}))) for of in (line, other)]
            rows.append("| " + " | ".join([data, mean_std(line["ami"]), mean_std(other["ami"]), *groups]) + " |")
    told = {line["trained_on"]: line for line in recorded("kind")}
    if not newest or not told:
        return "No figures yet."
    scores = ", ".join(f"{name} {line['mean']:.3f} ± {line['std']:.3f}" for name, line in told.items())
    note = f"{next(iter(newest.values()))['seeds']} seeds. Macro-F1 of the kinds by what the model was trained on, "
    return "\n".join([*rows, "", f"{note}scored on the library's other half, five divisions into halves: {scores}."])


def naming() -> str:
    """Return how often suggested names are right."""
    newest = {(line["what"], line["data"], line.get("level")): line for line in recorded("naming")}
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
    newest = {(line["data"], line["least"]): line for line in recorded("objects")}
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
    newest = {(line["data"], line["detector"]): line for line in recorded("people")}
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
    for line in {line["side"]: line for line in recorded("small_faces")}.values():
        shares = ", ".join(f"{n / line['n']:.0%} of {part}" for part, n in line["found"].items())
        text += ["", f"At {line['side']} pixels, of {line['n']} faces with a part of the longer side: {shares}."]
    return "\n".join(text)


def flaws() -> str:
    """Return how much blur and darkness is called so."""
    newest = {(line["what"], line["data"]): line for line in recorded("flaws")}
    if not newest:
        return "No figures yet."
    rows = ["| pictures | data | number | blurred | dark | empty |", "|---" * 6 + "|"]
    for (what, data), line in newest.items():
        shares = (f"{line[name] / line['n']:.0%}" if line[name] > 9 else str(line[name]) for name in SEEMING)
        rows.append("| " + " | ".join([what, data, f"{line['n']:,}", *shares]) + " |")
    return "\n".join(rows)


def text_found() -> str:
    """Return how fast text is read, and how much of it."""
    newest = {(line["what"], line.get("font"), line.get("capitals")): line for line in recorded("text")}
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
            notes += f"{used[-1]} MB after the last ({line['machine'].replace('1 CPU cores', 'one CPU core')})."
    return "\n".join([*rows, "", notes])


def page() -> str:
    """Return how fast the review page is."""
    lines = recorded("page")
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
    lines = recorded("corrections")
    newest = {(line["data"], line["merges"]): line for line in lines if "classified" in line}
    head = ["data", "forty", "AMI of the others before", "corrected", "taught", "gain", "least gain", "classifier"]
    rows = ["| " + " | ".join([*head, "seconds"]) + " |", "|---" * (len(head) + 1) + "|"]
    for (data, merges), line in newest.items():
        n_merges = sum(line["n_merges"]) / line["seeds"]
        what = f"corrections, {n_merges:.0f} of them merges" if merges else "moves"
        cells = [data, what, *(mean_std(line[key]) for key in ("before", "corrected", "taught"))]
        gains = line["gain"]
        cells += [
            f"{sum(gains) / len(gains):+.3f}",
            f"{min(gains):+.3f}",
            mean_std(line["classified"]),
            f"{line['seconds']:.1f}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    if not newest:
        return "No figures yet."
    first = next(iter(newest.values()))
    violated = sum(line["violated"] for line in newest.values())
    note = f"{first['seeds']} simulations; {violated} of the corrected pictures were moved again."
    note += " Classifier: the same pictures as a linear classifier groups them, each tenth by one that knows the "
    note += "labels of the other nine. Seconds of the second run."
    return "\n".join([*rows, "", note])


def locks() -> str:
    """Return whether corrections of other kinds hold."""
    newest = {(line["data"], line["granularity"]): line for line in recorded("locks")}
    head = ["data", "granularity", "locked", "would have moved", "moved", "linked, now apart", "parted, now together"]
    rows = ["| " + " | ".join([*head, "not this, yet there"]) + " |", "|---" * (len(head) + 1) + "|"]
    for (data, granularity), line in newest.items():
        pairs = (("links_broken", "n_linked"), ("parted_together", "n_parted"), ("refused_again", "n_refused"))
        cells = [data, f"{granularity:g}", line["n_locked"], line["n_locked_that_would_move"], line["locked_moved"]]
        cells += [f"{line[of]} of {line[all_]}" for of, all_ in pairs]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    if not newest:
        return "No figures yet."
    return "\n".join([*rows, "", f"{next(iter(newest.values()))['seeds']} simulations of forty such corrections each."])
