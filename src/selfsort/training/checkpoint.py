"""Checkpoints: one file per stage of a fit, replaced as a whole, with a checksum: torch does not notice all damage."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from selfsort.errors import DataError
from selfsort.files import read_sealed, write_sealed

_VERSION = 1


def save_checkpoint(path: Path, state: dict[str, Any], fingerprint: str) -> None:
    """Write a state of tensors, numbers and texts; a reader sees the old file or the new one, never a part."""
    content = io.BytesIO()
    torch.save({"version": _VERSION, "fingerprint": fingerprint, "state": state}, content)
    write_sealed(path, content.getbuffer())


def load_checkpoint(path: Path, fingerprint: str, device: torch.device) -> dict[str, Any] | None:
    """Read a state, or None where there is none yet.

    Raises
    ------
    DataError
        If the file is damaged, comes from a newer selfsort, or belongs to another fit: other data or parameters.
    """
    try:
        content = torch.load(io.BytesIO(read_sealed(path)), map_location=device, weights_only=True)
        version, found, state = content["version"], content["fingerprint"], content["state"]
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise DataError(
            f"The checkpoint {path} is damaged ({path.stat().st_size:,} bytes). Delete it to train this stage again; "
            "the stages before it are kept."
        ) from error
    if version > _VERSION:
        raise DataError(f"{path} has checkpoint format {version}, this selfsort reads up to {_VERSION}. Update it.")
    if found != fingerprint:
        raise DataError(
            f"{path} belongs to a fit with other data or parameters. Continue with those, or give a new folder."
        )
    return dict(state)
