import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from selfsort.cli.parameters import parse
from selfsort.methods.saving import method_class

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)


#: Of the pages about methods; on the others networks are trained.
QUICK = ("README.md", "graph.md", "kmeans.md")
#: Of the guide: networks are trained, or the demo is grouped many times.
SLOW = ("choosing.md", "corrections.md", "getting-started.md", "learning.md", "mutual-information.md", "training.md")


def _with_commands():
    for page in PAGES:
        if BLOCK.search(page.read_text(encoding="utf-8")):
            slow = page.name in SLOW or (page.parent.name == "methods" and page.name not in QUICK)
            yield pytest.param(page, id=page.name, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("page", list(_with_commands()))
def test_what_a_page_tells_to_run_runs(page, tmp_path):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        command = ["sh", "-e", "-c", block] if language == "sh" else [sys.executable, "-c", block]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{block}\n{result.stdout}\n{result.stderr}"


@pytest.mark.parametrize("page", sorted((ROOT / "docs/methods").glob("*.md")), ids=lambda p: p.name)
def test_settings_on_the_pages_of_methods_are_allowed(page):
    pytest.importorskip("torch")
    commands = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for command in re.findall(r"^selfsort fit (\w\S* .*)", commands, re.MULTILINE):
        method = command.split()[0]
        assert parse(method_class(method), method, re.findall(r"--set (\S+)", command)) or "--set" not in command


def test_help_texts_and_tables_are_up_to_date():
    command = [sys.executable, str(ROOT / "docs" / "write.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{result.stdout}{result.stderr}Run: python docs/write.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
