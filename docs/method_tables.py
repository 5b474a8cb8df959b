"""Tables of what methods and their parts were measured to do."""

from __future__ import annotations

import json
from statistics import mean
from typing import Any

from tables import compared, mean_std, recorded, worded

from selfsort.choosing import SCORES
from selfsort.reproduce.recipe import load_recipe


def quality(*, short: bool) -> str:
    """Return the table of grouping quality: the newest line of each (data, method, features)."""
    newest = {(line["data"], line["method"], line["features"]): line for line in recorded("quality")}
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
            cells += [line["features"], *(mean_std(line[key]) for key in ("ami", "ari", "nmi", "acc"))]
        rows.append("| " + " | ".join([*cells, groups, noise, f"{line['seconds'][0]:.1f}"]) + " |")
    return "\n".join(rows)


def speed() -> str:
    """Return the newest line of each speed figure."""
    newest = {(line["what"], line["data"]): line for line in recorded("speed")}
    rows = ["| what | data | figures |", "|---|---|---|"]
    skipped = {"what", "data", "date", "commit", "machine", "protocol"}
    for (what, data), line in newest.items():
        figures = "; ".join(f"{key}: {worded(value)}" for key, value in line.items() if key not in skipped)
        rows.append(f"| {what} | {data} | {figures} |")
    return "\n".join(rows)


def training() -> str:
    """Return the newest line of each figure of training."""
    newest = {(line["what"], line.get("net"), line["data"], line["protocol"]): line for line in recorded("training")}
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
        figures = {key: compared(value) for key, value in line.items() if key not in facts}
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
    newest = {(line["what"], line["data"]): line for line in recorded("collapse")}
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
        cells += [str(line["fewest_clusters_used"]), f"{line['largest_share']:.0%}", mean_std(line["acc"])]
        rows.append("| " + " | ".join([*cells, mean_std(line["nmi"]), f"{line['seconds']:.1f}"]) + " |")
    notes = dict.fromkeys(f"{line['protocol']}, {line['machine']}" for line in newest.values())
    return "\n".join([*rows, "", f"{'; '.join(notes)}."])


#: Sides that views took, where a line does not say: those that grew in four steps.
_GREW = (0.5, 0.625, 0.75, 0.875, 1.0)
_NETS = {"resnet18": "ResNet-18", "airbench": "airbench"}


def on_a_gpu() -> str:
    """Return what SimCLR takes on a GPU, how its settings were chosen, and what its features hold."""
    lines = recorded("pretext_device")
    small = [line for line in lines if line["what"] == "trial of crops and temperatures"]
    crops = "; ".join(
        f"crops from {line['crop'][0]:.0%} of the area, temperature {line['temperature']}: {line['knn']:.3f}, "
        f"{line['found']:.0%} found"
        for line in small
    )
    newest = {line["net"]: line for line in lines if line["what"] == "trial of nets"}
    nets = "; ".join(
        f"{line['net']}, {line['n_epochs']} passes in {line['seconds']:.0f} s: {line['knn']:.3f}, "
        f"{line['found']:.0%} found"
        for line in newest.values()
    )
    return "\n\n".join(
        [
            *_features_hold(lines),
            _passes([line for line in lines if line["what"].startswith("SimCLR, seconds")]),
            *_another_network(lines),
            "Settings were chosen by short trials, in which 10,000 training images were classified by the other 40,000 "
            "(their labels were looked at, those of the test images were not):",
            _trials([line for line in lines if line["what"] == "trial of settings"]),
            "Seed 100; crops have this share of the area or more; found is the share of views that find their own "
            "image at the end; growth is the share of the passes with smaller views. Hidden units: normalized ones of "
            "the projector, which the library has with `ema` only; otherwise as many as features, not normalized.",
            f"Smaller trials ({small[0]['data']}, {small[0]['net']}; {small[0]['protocol']}): {crops}.",
            *(
                [f"Networks on the same images, each for about the time of the others on a core: {nets}."]
                if nets
                else []
            ),
            *_optimizers([line for line in lines if line["what"] == "trial of optimizers"]),
            *_bound(lines),
        ]
    )


_OPTIMIZERS = {"adamw": "AdamW", "muon": "Muon"}


def _optimizers(lines: list[dict[str, Any]]) -> list[str]:
    """Return what optimizers reach in the same passes, at each rate."""
    newest = {(line["optimizer"], line["learning_rate"]): line for line in lines}
    if not newest:
        return []
    first = next(iter(newest.values()))
    found = "; ".join(
        f"{shown} at "
        + ", ".join(
            f"{rate:g}: {line['knn']:.3f}" for (name, rate), line in sorted(newest.items()) if name == optimizer
        )
        for optimizer, shown in _OPTIMIZERS.items()
    )
    return [
        f"Optimizers on the same images ({first['net']}, {first['n_epochs']} passes; kNN at each learning rate): "
        f"{found}."
    ]


def _passes(lines: list[dict[str, Any]]) -> str:
    """Return how long passes take, beside SCAN's own code."""
    newest = {line["net"]: line for line in lines if "ours_launched" in line["seconds"]}
    main = next(line for line in newest.values() if line["times_scan_code"])
    took, theirs = main["seconds"], main["seconds"]["scan_code"]
    small = load_recipe("scan-cifar10").full.params["pretext_growth"]
    mean = small * took["ours_half_size"] + (1 - small) * took["ours"]
    others = "; ".join(
        f"{net}, takes {line['seconds']['ours']:.2f} and {line['seconds']['ours_half_size']:.2f} s "
        f"({line['seconds']['ours_launched']:.2f} and {line['seconds']['ours_half_size_launched']:.2f} launched)"
        for net, line in newest.items()
        if line is not main
    )
    return (
        f"A whole pass, 50,000 images twice, takes {took['ours']:.2f} s on one {main['device']} ({main['net']}, "
        f"batches of 512, bf16), or {took['ours_half_size']:.2f} s with views of half the sides: "
        f"{main['teraflops']:.0f} TFLOP/s, {main['utilization']:.0%} of what the GPU's maker states and "
        f"{main['of_bare']:.0%} of the speed of the network's forward and backward pass alone. Steps are replayed as "
        f"CUDA graphs; where Python launches each operation, the GPU waits for it, and passes take "
        f"{took['ours_launched']:.2f} and {took['ours_half_size_launched']:.2f} s"
        f"{f'; {others}' if others else ''}. SCAN's own code, as released (float32, "
        f"8 processes that change images), takes {theirs:.1f} s on the same machine ({main['processors']} "
        f"processors): {theirs / took['ours']:.1f} times as long as a pass with whole views, and "
        f"{theirs / mean:.1f} times as long as the mean pass of `scan-cifar10`, of which {small:.0%} have half the "
        "sides."
    )


def _another_network(lines: list[dict[str, Any]]) -> list[str]:
    """Return what SCAN makes of the features of another network than the recipe's."""
    found = [line for line in lines if line["what"] == "SCAN by another network"]
    if not found:
        return []
    line, params = found[-1], found[-1]["params"]
    rows = "; ".join(
        f"{name}: ACC {row['acc']:.3f}, NMI {row['nmi']:.3f}, {row['seconds']:.0f} s in all"
        for name, row in line["rows"].items()
    )
    return [
        f"With {_NETS[params['backbone']]}, width {params['width']}, in the place of ResNet-18, "
        f"{params['pretext_epochs']} passes ({params['pretext_growth']:.0%} with views of half the sides), "
        f"{params['n_epochs']} of SCAN and {params['label_epochs']} of self-labeling on one {line['device']} "
        f"({line['protocol']}): {rows}. Of the nearest neighbors {line['rows']['SCAN']['mined@1']:.1%} are of the "
        "image's class."
    ]


def _features_hold(lines: list[dict[str, Any]]) -> list[str]:
    """Return what the features hold that SCAN started from, on a GPU and on a CPU, by each optimizer."""
    seeds: dict[str, dict[str, dict[str, Any]]] = {}
    for line in lines:
        if line["what"].startswith("kNN"):
            seeds.setdefault(json.dumps([line["device"], line["params"]]), {})[line["protocol"]] = line
    newest = {}
    for of in seeds.values():
        line = next(iter(of.values()))
        newest[line["device"] == "cpu", line["params"]["pretext_optimizer"]] = list(of.values())
    found = []
    for (on_cpu, optimizer), of in sorted(newest.items()):
        line = of[0]
        params, sides = line["params"], line.get("view_sides", _GREW)
        # those on a core shared it with other programs
        where = (
            "ran on a core" if on_cpu else f"took {mean(each['seconds'] for each in of):,.0f} s on one {line['device']}"
        )
        smaller = ", ".join(f"{side:g}" for side in sides[:-1])
        right = " and ".join(f"{each['knn']:.1%}" for each in of)
        found.append(
            f"For `scan-cifar10`, {params['pretext_epochs']} passes of {_NETS[params['backbone']]}, width "
            f"{params['width']}, with {_OPTIMIZERS[optimizer]}, of which {params['pretext_growth']:.0%} see smaller "
            f"views (with {smaller} of the sides), {where}. Then the 100 nearest training "
            f"images of a test image vote for its class rightly in {right} "
            f"of cases (kNN; {'one seed' if len(of) == 1 else f'{len(of)} seeds'}), and {line['found']:.0%} of the "
            "views in a batch find their own image."
        )
    return found


def _trials(lines: list[dict[str, Any]]) -> str:
    keys = ("optimizer", "learning_rate", "weight_decay", "ema", "hidden", "temperature", "growth")
    head = ["network", "passes", "batch", "crops from", "optimizer", "rate", "weight decay", "ema", "hidden units"]
    head += ["temperature", "growth", "sides", "found", "kNN", "on"]
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for line in sorted(lines, key=lambda line: (line["device"] == "cpu", line["params"]["n_epochs"], -line["knn"])):
        params = line["params"]
        cells = [f"{_NETS[params.get('backbone', 'resnet18')]}, {params['width']}", str(params["n_epochs"])]
        cells += [str(params.get("batch_size", 512)), f"{params.get('crop', 0.2):.0%}"]
        cells += ["–" if params[key] is None else f"{params[key]}" for key in keys]
        cells.append(", ".join(f"{side:g}" for side in line.get("view_sides", _GREW)))
        found = f"{line['found']:.0%}" if "found" in line else "–"
        cells += [found, f"{line['knn']:.3f}", "a core" if line["device"] == "cpu" else line["device"]]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _bound(lines: list[dict[str, Any]]) -> list[str]:
    """Return what a network learns from the labels of the images as they are here, and as published."""
    newest = {line["data"]: line for line in lines if line["what"] == "supervised, for comparison"}
    if not newest:
        return []
    first = next(iter(newest.values()))
    told = "; ".join(f"{data}: {line['accuracy']:.1%}" for data, line in newest.items())
    return [f"What {first['net']}, learns from the labels ({first['protocol']}): {told}."]


def starts() -> str:
    """Return groups of SimCLR's features that heads may start from, and what SCAN makes of each start."""
    newest = {line["features"]: line for line in recorded("pretext_device") if line["what"] == "starts"}
    if not newest:
        return "No figures yet."
    rows = ["| features | groups | ACC | NMI | largest share |", "|---" * 5 + "|"]
    for name, line in newest.items():
        for groups, of in line["found"].items():
            cells = [", ".join(f"{value:.3f}" for value in of[key]) for key in ("acc", "nmi", "largest_share")]
            rows.append("| " + " | ".join([name.replace("-", " "), groups, *cells]) + " |")
    notes = dict.fromkeys(f"{line['data']}; {line['protocol']}" for line in newest.values())
    return "\n".join([*rows, "", f"{'; '.join(notes)}."])


def deepcluster() -> str:
    """Return what DeepCluster's layers hold beside those of others."""
    newest = {line["what"]: line for line in recorded("deepcluster")}
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
    newest = {(line["data"], line["method"]): line for line in recorded("frozen")}
    if not newest:
        return "No figures yet."
    keys = ("acc", "nmi", "ami", "ari", "modularity", "learnable")
    rows = ["| data | method | ACC | NMI | AMI | ARI | modularity | learnable | k | seconds |", "|---" * 10 + "|"]
    for (data, method), line in newest.items():
        cells = [mean_std(line[key]) if line[key][1] else f"{line[key][0]:.3f}" for key in keys]
        k = f"{line['k'][0]:.0f}" if "k" in line else "10"
        rows.append("| " + " | ".join([data, method, *cells, k, f"{line['seconds'][0]:.0f}"]) + " |")
    notes = dict.fromkeys(f"{line['data']}: {line['protocol']}, {line['machine']}" for line in newest.values())
    return "\n".join([*rows, "", f"{'; '.join(notes)}."])


def how_many() -> str:
    """Return the numbers of clusters that are found."""
    newest = {line["data"]: line for line in recorded("choosing_k")}
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
    newest = {(line["data"], line["learn"]): line for line in recorded("learning")}
    rows = ["| data | AMI | with `--learn` | weights | groups | with | seconds | with |", "|---" * 8 + "|"]
    for (data, learn), line in newest.items():
        if learn or (data, True) not in newest:
            continue
        other = newest[data, True]
        weights = ", ".join(f"{weight:g}" for weight in other["weights"])
        groups = ["–".join(map(str, sorted({min(of["n_groups"]), max(of["n_groups"])}))) for of in (line, other)]
        cells = [data, mean_std(line["ami"]), mean_std(other["ami"]), weights, *groups]
        rows.append("| " + " | ".join(cells) + f" | {line['seconds']:.1f} | {other['seconds']:.1f} |")
    tuned = {line["encoder"]: line for line in recorded("learning_tuned")}
    if not newest:
        return "No figures yet."
    first = next(iter(newest.values()))
    note = f"{first['seeds']} seeds, {first['machine']}; seconds of the whole command, the pictures encoded before."
    if tuned:
        trained = ", ".join(f"{name} {line['ami']:.3f} ({line['seconds']} s)" for name, line in tuned.items())
        note += "\n\nThe encoder trained on the photo library at 160 pixels, seed 0, AMI of the graph of its features: "
        note += f"{trained}."
    return "\n".join([*rows, "", note])


def choosing() -> str:
    """Return how well scores without labels rank clusterings."""
    newest = {line["data"]: line for line in recorded("choosing")}
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
