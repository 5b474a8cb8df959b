"""Write what the documentation holds of help texts and measured figures; ``--check`` only says what is out of date.

python docs/write.py [--check]
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import click
import method_tables as of_methods
import photo_tables as of_photos
from recipe_tables import reproduced
from tables import ROOT

import selfsort
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


REFERENCE = """# Reference

What `import selfsort` offers. Classes with `fit` are scikit-learn estimators: `fit(X)` takes an array of shape (n, d);
images as an array of shape (n, h, w) or (n, c, h, w), which are compared by their pixels; or the path of a folder or a
list of paths, which are compared by the built-in encoder's features. `predict` takes what `fit` took. `organize` takes
arrays of pictures as (n, h, w) or (n, h, w, 3).
"""


def reference() -> str:
    """Return the page of docstrings."""
    parts = [REFERENCE]
    for name in sorted(selfsort.__all__, key=str.lower):
        thing = getattr(selfsort, name)
        head = textwrap.fill(f"{name}{_arguments(thing)}", 110, subsequent_indent="    ", break_long_words=False)
        lines = [head, "", inspect.getdoc(thing) or ""]
        for key, of in inspect.getmembers(thing, inspect.isroutine) if inspect.isclass(thing) else ():
            if not key.startswith("_") and getattr(of, "__module__", "").startswith("selfsort"):
                lines += ["", f".{key}{_arguments(of)}", f"    {(inspect.getdoc(of) or '').partition(chr(10))[0]}"]
        parts.append(f"## {name}\n\n```\n" + "\n".join(lines).rstrip() + "\n```\n")
    return "\n".join(parts)


def _arguments(thing: Any) -> str:
    """Return the names of what it takes, and defaults."""
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return ""
    signature = inspect.signature(thing)
    plain = [of.replace(annotation=of.empty) for name, of in signature.parameters.items() if name != "self"]
    text = str(signature.replace(parameters=plain, return_annotation=signature.empty))
    return re.sub(r"<(?:function|object|factory)\s*(\w*)[^>]*>", lambda match: match[1] or "...", text)


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
        "starts": of_methods.starts(),
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
    wanted = {ROOT / "docs/guide/commands.md": commands(), ROOT / "docs/guide/reference.md": reference()}
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
