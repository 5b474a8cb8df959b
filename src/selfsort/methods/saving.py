"""A fitted method as two files, ``config.json`` and ``model.safetensors``, and their checksums.

Nothing in them can run.
"""

from __future__ import annotations

import importlib
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from selfsort.arguments import PATH, checked, meant
from selfsort.errors import DataError, ModelError
from selfsort.files import atomic_write, content_id, read_sums, write_sums
from selfsort.methods import METHODS
from selfsort.run_folder import save_json
from selfsort.run_schema import parse_json

if TYPE_CHECKING:
    from selfsort.methods.base import SelfsortClusterer

CONFIG, ARRAYS = "config.json", "model.safetensors"
_VERSION = 1
#: What a model that somebody else wrote may lead to when it is built.
_DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError, MemoryError)


def method_class(name: str) -> type[SelfsortClusterer]:
    """Return the estimator of this name.

    Raises
    ------
    DataError
        If there is none, or the packages that it needs are not installed.
    """
    if name not in METHODS:
        raise DataError(f"There is no method {name!r}.{meant(name, METHODS)} Choose one of: {', '.join(METHODS)}.")
    module, attribute = METHODS[name].split(":")
    try:
        found: type[SelfsortClusterer] = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "lightning_fabric"):
            raise
        raise DataError(f"The method {name!r} trains a network. Install: pip install 'selfsort[learn]'.") from error
    return found


def save_model(model: SelfsortClusterer, folder: Path) -> None:
    """Write what is needed to predict on new images.

    Parameters
    ----------
    model : SelfsortClusterer
        Fitted.
    folder : Path
        Is there already.
    """
    from safetensors.numpy import save

    names = {target: name for name, target in METHODS.items()}
    kind = type(model)
    arrays, facts = model._state()
    with atomic_write(folder / ARRAYS) as path:
        # not save_file, whose files only their owner may read; ascontiguousarray would add an axis to scalars
        path.write_bytes(save({name: np.asarray(array, order="C") for name, array in arrays.items()}))
    method = names[f"{kind.__module__}:{kind.__qualname__}"]
    save_json(folder / CONFIG, {"schema": _VERSION, "method": method, "params": plain_params(model), "facts": facts})
    write_sums(folder, (CONFIG, ARRAYS))  # in a run folder those of all files come in its place


@checked(folder=PATH)
def load_model(folder: str | Path) -> SelfsortClusterer:
    """Read what `save_model` wrote, here or in another process or on another machine.

    Parameters
    ----------
    folder : path
        A run folder of `selfsort.fit`.

    Returns
    -------
    SelfsortClusterer
        The fitted estimator, on the processor.

    Raises
    ------
    ModelError
        If there is no model, or it is damaged or from a newer selfsort.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    folder = Path(folder)
    try:
        config = parse_json((folder / CONFIG).read_bytes())
        if config["schema"] > _VERSION:  # before checksums: another version may not have them
            raise ModelError(
                f"{folder} holds a model of format {config['schema']}, this selfsort reads up to {_VERSION}. "
                "Update selfsort."
            )
        sums = read_sums(folder)
        config = parse_json(_read(folder / CONFIG, sums))
        params = {key: tuple(value) if isinstance(value, list) else value for key, value in config["params"].items()}
        model = method_class(config["method"])(**params)
        model._set_state(load(_read(folder / ARRAYS, sums)), config["facts"])
    except FileNotFoundError as error:
        raise ModelError(
            f"{folder} holds no model: {Path(error.filename or ARRAYS).name} is missing. Give the folder that "
            "`selfsort fit` wrote."
        ) from error
    except (*_DAMAGED, AssertionError, SafetensorError) as error:
        if isinstance(error, (ModelError, DataError)):
            raise
        what = " ".join(str(error).split())[:300]
        raise ModelError(f"The model in {folder} is damaged: {what}. Fit it again.") from error
    return model


def _read(path: Path, sums: dict[str, str]) -> bytes:
    content = path.read_bytes()
    if content_id(content) != sums.get(path.name):
        raise ValueError(f"{path.name} is not as it was written")
    return content


def plain_params(model: SelfsortClusterer) -> dict[str, Any]:
    """Return a model's parameters as JSON can hold them; a generator's state, which is spent, is left out."""
    return {name: _plain(value) for name, value in model.get_params(deep=False).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple, np.ndarray)):
        return np.asarray(value).tolist()
    return None
