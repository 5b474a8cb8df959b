import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import selfsort

pytest.importorskip("importlinter")

PACKAGE = Path(selfsort.__file__).parent
PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
CONTRACTS = {
    contract["id"]: contract for contract in tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"]
}
LEARNING = {"methods", "information", "training", "nets", "losses", "augment", "reproduce"}
COMMANDS = {"cli"}  # imports a method inside the command that needs it


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "selfsort", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "selfsort"


def broken_contracts(copy):
    """Return the ids of the contracts that a copy of the package breaks, and what import-linter says."""
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    options = ["--config", str(PYPROJECT), "--no-cache", "--no-logo"]
    result = subprocess.run(
        [sys.executable, "-c", command, *options],
        cwd=copy.parent,
        env={**os.environ, "PYTHONPATH": str(copy.parent), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    broken = {key for key, contract in CONTRACTS.items() if f"{contract['name']} BROKEN" in result.stdout}
    assert re.search(rf"Contracts: {len(CONTRACTS) - len(broken)} kept, {len(broken)} broken", result.stdout), result
    assert result.returncode == bool(broken)
    return broken, result.stdout


def test_the_package_keeps_every_contract(copy):
    assert broken_contracts(copy)[0] == set()


# what is planted: lines to append to files of the package, and one name that the message has to tell
VIOLATIONS = [
    ("layers", {"errors.py": "import selfsort.runtime"}, "selfsort.errors -> selfsort.runtime"),
    ("layers", {"clusters.py": "def f():\n    from selfsort import report"}, "selfsort.clusters -> selfsort.report"),
    ("layers", {"report.py": "from selfsort.photos import export"}, "selfsort.report -> selfsort.photos.export"),
    ("layers", {"sources/base.py": "import selfsort.clusters"}, "selfsort.sources.base -> selfsort.clusters"),
    ("layers", {"learn/fit.py": "import selfsort.photos.export"}, "selfsort.learn.fit -> selfsort.photos.export"),
    ("layers", {"photos/organize.py": "import selfsort.learn.fit"}, "selfsort.photos.organize -> selfsort.learn.fit"),
    ("layers", {"figures.py": "from selfsort import publish"}, "selfsort.figures -> selfsort.publish"),
    ("layers", {"training/loop.py": "import selfsort.features.graph"}, "selfsort.training.loop"),
    ("layers", {"helpers.py": "import os"}, "helpers"),
    ("methods", {"methods/kmeans.py": "import selfsort.methods.graph"}, "selfsort.methods.kmeans"),
    ("methods", {"methods/base.py": "import selfsort.methods.graph"}, "selfsort.methods.base"),
    ("methods", {"methods/dec.py": "import selfsort.methods.ae_kmeans"}, "selfsort.methods.dec"),
    ("methods", {"methods/trained.py": "import selfsort.methods.pretrain"}, "selfsort.methods.trained"),
    ("methods", {"methods/fresh.py": "import os"}, "fresh"),
    ("no-torch", {"metrics.py": "def f():\n    import torch.nn"}, "selfsort.metrics -> torch"),
    ("no-torch", {"photos/fresh.py": "import transformers"}, "selfsort.photos.fresh -> transformers"),
    (
        "no-torch",
        {"evaluation.py": "import selfsort.methods.base", "methods/base.py": "import torch"},
        "selfsort.methods.base -> torch",
    ),
    (
        "no-torch",
        {"learn/result.py": "def f():\n    from selfsort.methods.dec import DEC"},
        "selfsort.learn.result -> selfsort.methods.dec",
    ),
    ("no-torch", {"methods/saving.py": "import lightning_fabric"}, "selfsort.methods.saving -> lightning_fabric"),
    ("torch-door", {"features/neighbors.py": "import selfsort.features.torch_encoder"}, "selfsort.features.neighbors"),
    ("torch-kmeans-door", {"methods/kmeans.py": "import selfsort.features.torch_kmeans"}, "selfsort.methods.kmeans"),
    ("onnx-door", {"photos/ocr.py": "def f():\n    import onnxruntime"}, "selfsort.photos.ocr -> onnxruntime"),
    ("no-root", {"report.py": "from selfsort import organize"}, "selfsort.report -> selfsort"),
]


@pytest.mark.parametrize(("contract", "plants", "named"), VIOLATIONS)
def test_a_planted_violation_breaks_its_contract(copy, contract, plants, named):
    for file, line in plants.items():
        with open(copy / file, "a") as target:
            target.write(f"\n{line}\n")
    broken, message = broken_contracts(copy)
    assert contract in broken
    assert named in message


def test_every_contract_has_a_planted_violation():
    assert {contract for contract, _, _ in VIOLATIONS} == set(CONTRACTS)


def test_every_module_is_of_one_half():
    listed = {name.removeprefix("selfsort.") for name in CONTRACTS["no-torch"]["source_modules"]}
    reading = {name for name in listed if "." not in name}  # of the methods some train and some do not
    modules = {module.name for module in pkgutil.iter_modules([str(PACKAGE)])}
    assert modules - LEARNING - COMMANDS == reading, "name the module in the contract no-torch of pyproject.toml"


def in_fresh_python(code):
    env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout


def test_the_reading_half_is_imported_where_there_is_no_torch():
    in_fresh_python(f"""
import importlib, pkgutil, sys
class Refuse:  # not None in sys.modules, which SciPy looks into
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "lightning_fabric", "transformers"):
            raise ModuleNotFoundError(f"no {{name}} here", name=name)
sys.meta_path.insert(0, Refuse())
for name in {CONTRACTS["no-torch"]["source_modules"]}:
    module = importlib.import_module(name)
    for below in pkgutil.walk_packages(getattr(module, "__path__", []), name + "."):
        if below.name != "selfsort.features.torch_kmeans":  # torch is all it is for
            importlib.import_module(below.name)
""")


def test_import_is_quick_and_light():
    code = """
import time; start = time.perf_counter()
import selfsort, sys
print(time.perf_counter() - start, *sorted({name.partition(".")[0] for name in sys.modules}))
"""
    runs = [in_fresh_python(code).split() for _ in range(3)]
    assert min(float(run[0]) for run in runs) < 0.3
    heavy = {"torch", "transformers", "numpy", "scipy", "sklearn", "PIL", "onnxruntime", "onnx", "faiss", "pyarrow"}
    heavy |= {"matplotlib", "jinja2", "fastapi", "rich", "click"}
    assert not heavy & set(runs[0][1:])
