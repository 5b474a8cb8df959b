"""Write what the documentation holds of help texts and measured figures; ``--check`` only says what is out of date.

python docs/write.py [--check]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
import method_tables as of_methods
import photo_tables as of_photos
from recipe_tables import reproduced
from tables import ROOT

from selfsort.cli import main
from selfsort.methods import METHODS
from selfsort.reproduce import RECIPES
from selfsort.reproduce.recipe import load_recipe


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


def filled(text: str) -> str:
    """Put the tables between their marks."""
    tables = {
        "quality": of_methods.quality(short=False),
        "quality-short": of_methods.quality(short=True),
        "speed": of_methods.speed(),
    }
    tables |= {
        "training": of_methods.training(),
        "reproduce": reproduced(),
        "collapse": of_methods.collapse(),
        "choosing": of_methods.choosing(),
        "choosing_k": of_methods.how_many(),
        "deepcluster": of_methods.deepcluster(),
        "on-a-gpu": of_methods.on_a_gpu(),
        "learning": of_methods.learning(),
        "kinds": of_photos.kinds(),
        "corrections": of_photos.corrections(),
        "locks": of_photos.locks(),
        "naming": of_photos.naming(),
        "page": of_photos.page(),
        "text": of_photos.text_found(),
        "objects": of_photos.objects(),
        "people": of_photos.people(),
        "flaws": of_photos.flaws(),
        "frozen": of_methods.frozen(),
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
