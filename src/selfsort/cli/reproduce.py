"""The command that puts published numbers beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from selfsort.cli.output import PATH, emit, json_option, progress_bar, shown
from selfsort.runtime import counted


@click.command()
@click.argument("name", metavar="NAME|list")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    help="Minutes for everything; what would not end in them is not begun.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True, help="How many seeds, from 0.")
@click.option(
    "-o",
    "--output",
    type=PATH,
    default=Path("reproduced"),
    show_default=True,
    help="Folder for results and checkpoints; what it holds is not run again.",
)
@json_option
def reproduce(name: str, device: str, budget: float | None, seeds: int, output: Path, as_json: bool) -> None:
    """Run a published row over seeds and print the published number beside ours; list names the rows."""
    from selfsort.reproduce import RECIPES
    from selfsort.reproduce.recipe import load_recipe
    from selfsort.reproduce.recipe import reproduce as run

    if name == "list":
        recipes = {key: load_recipe(key) for key in RECIPES}
        width = max(map(len, recipes))
        listed: dict[str, Any] = {
            key: {
                "title": r.title,
                "data": r.data,
                "cpu_minutes": r.cpu.minutes,
                "rows": [{"protocol": row.protocol, "name": row.name, **row.published} for row in r.rows],
            }
            for key, r in recipes.items()
        }
        lines = [f"{key:<{width}}  {r.title}, {r.data}; {r.cpu.minutes:g} min a seed" for key, r in recipes.items()]
        emit(listed, "\n".join(lines), as_json=as_json)
        return

    def told(seed: dict[str, Any]) -> None:
        if not as_json:
            scores = "  ".join(f"{key} {seed['scores'][key]:.4f}" for key in seed["shown"])
            click.echo(f"{name}, {seed['row']}, seed {seed['seed']}: {scores}  ({seed['seconds']:.0f} s)")

    with progress_bar() as progress:
        results = run(name, output, device=device, budget=budget, n_seeds=seeds, progress=progress, done=told)
    tables = list(map(_table, results))
    if n_left := len(load_recipe(name).rows) - len(results):
        tables.append(f"{counted(n_left, 'row')} not begun: the budget is over.")
    emit({"results": results, "folder": str(output)}, "\n\n".join(tables), as_json=as_json)


def _table(result: dict[str, Any]) -> str:
    seeds = result["seeds"]
    what = ", ".join(part for part in (result["title"], result["row"], result["data"]) if part)
    lines = [f"{what}, {result['variant']} recipe, {len(seeds)} seeds"]
    lines.append(f"  {'':<12}{'published':>10}{'ours':>18}{'worst seed':>12}")
    for key in result["shown"]:
        published = result["published"].get(key)
        given = f"{published:.3f}" if published is not None else "-"
        ours = f"{result['mean'][key]:.4f} ± {result['std'][key]:.4f}"
        lines.append(f"  {key:<12}{given:>10}{ours:>18}{result['worst'][key]:>12.4f}")
    lines.append(f"  protocol: {result['protocol']}; no run, epoch or head is chosen by labels")
    lines.append(f"  published in: {result['source']}")
    found = f"clusters {result['mean']['n_clusters']:g}; " if "n_clusters" in result["mean"] else ""
    lines.append(f"  {found}{result['seconds']:.0f} s a seed, {_machine(result)}")
    lines += [f"  {key}: {shown(result[of])}" for key, of in (("data", "data_note"), ("note", "note")) if result[of]]
    return "\n".join(lines)


def _machine(result: dict[str, Any]) -> str:
    return f"{result['n_threads']} processors"
