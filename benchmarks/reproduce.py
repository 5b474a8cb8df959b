"""Published figures beside ours: each row that `selfsort reproduce` prints, appended to the results.

    SELFSORT_DATA=... python benchmarks/reproduce.py [NAME ...] [--seeds 5] [--budget MINUTES] [--device auto] [-o DIR]

All recipes without a NAME. What the folder holds is not run again, so a stopped call goes on where it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from record import record
from selfsort.methods import METHODS
from selfsort.methods.saving import method_class
from selfsort.reproduce import RECIPES
from selfsort.reproduce.recipe import load_recipe, reproduce


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure published rows and append them to the results.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="recipes, all if none is given")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budget", type=float, help="minutes for each recipe")
    parser.add_argument("--device", default="auto")
    parser.add_argument("-o", "--output", type=Path, default=Path("reproduced"))
    arguments = parser.parse_args()
    names = arguments.names or list(RECIPES)
    methods = {name: load_recipe(name).method for name in names}  # a wrong name is said before work starts
    for name in names:
        options = {"device": arguments.device, "budget": arguments.budget, "n_seeds": arguments.seeds}
        for row in reproduce(name, arguments.output, **options):
            record("reproduce", **(row | {"device": _device(methods[name], arguments.device)}))


def _device(method: str, name: str) -> str:
    """Return what the method ran on: "cpu", or the name of the GPU."""
    if method in METHODS and "device" not in method_class(method)._parameter_constraints:
        return "cpu"
    import torch

    from selfsort.training.session import resolve_device

    device = resolve_device(name)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


if __name__ == "__main__":
    main()
