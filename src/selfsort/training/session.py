"""Where a fit runs: device, precision, seed, checkpoints, progress and the log of its metrics."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor

from selfsort.errors import DataError
from selfsort.files import atomic_write, read_sealed, write_sealed
from selfsort.run_folder import METRICS, json_line
from selfsort.runtime import Progress, silent
from selfsort.training.batches import Batches, Samples, mixed
from selfsort.training.checkpoint import load_checkpoint, save_checkpoint


@dataclass
class Session:
    """What all stages of one fit share.

    Attributes
    ----------
    seed : int
    device : str
        ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
    precision : str
        ``"auto"`` (bf16 where the hardware multiplies it faster), ``"bf16-mixed"``, ``"16-mixed"`` or ``"32-true"``.
    folder : Path, optional
        Where checkpoints and metrics are kept; without it nothing is, and a fit that is killed is lost.
    fingerprint : str
        Hash of everything the result depends on; checkpoints with another one are refused.
    progress : callable
    channels_last : bool
        Keep the channels of images and convolutions innermost, which is faster nearly everywhere.
    checkpoint_seconds : float
        Time between two checkpoints of a stage.
    fabric : Fabric, optional
        For training by several processes: one that was launched. Made from `device` and `precision` otherwise.
    """

    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    folder: Path | None = None
    fingerprint: str = ""
    progress: Progress = silent
    channels_last: bool = True
    checkpoint_seconds: float = 60.0
    history: list[dict[str, Any]] = field(default_factory=list)
    given_fabric: Fabric | None = None
    kept: dict[str, dict[str, npt.NDArray[Any]]] = field(default_factory=dict, repr=False)

    @cached_property
    def fabric(self) -> Fabric:
        """The device and precision that training uses."""
        if self.given_fabric is not None:
            return self.given_fabric
        device = resolve_device(self.device)
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision
        return Fabric(
            accelerator=device.type,
            devices=[device.index or 0] if device.type == "cuda" else 1,
            precision=resolve_precision(self.precision, device),  # type: ignore[arg-type]
        )

    def shared(self, fingerprint: str) -> Session:
        """Return the same session for a stage that depends on less than the whole fit, which others can go on from."""
        return replace(self, fingerprint=fingerprint if self.fingerprint else "", given_fabric=self.fabric)

    def batches(
        self,
        samples: Samples | Tensor,
        batch_size: int,
        view: Callable[[Tensor, Tensor], tuple[Tensor, ...]],
        *,
        stream: int = 0,
        steps_per_epoch: int | None = None,
        before_step: Callable[[int], None] | None = None,
    ) -> Batches:
        """Return batches for this device and process; stages with another number of `stream` see another order."""
        return Batches(
            samples,
            batch_size,
            mixed(self.seed, stream),
            view,
            device=self.fabric.device,
            steps_per_epoch=steps_per_epoch,
            before_step=before_step,
            rank=self.fabric.global_rank,
            world_size=self.fabric.world_size,
        )

    def path(self, name: str) -> Path | None:
        """Return the file `name` of the folder, if there is one."""
        if self.folder is None:
            return None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.folder} cannot be made: {error.strerror}. Give another folder.") from error
        return self.folder / name

    def load(self, stage: str) -> dict[str, Any] | None:
        """Return the last checkpoint of a stage, if there is one."""
        path = self.path(f"{stage}.pt")
        return None if path is None else load_checkpoint(path, self.fingerprint, self.fabric.device)

    def save(self, stage: str, state: dict[str, Any]) -> None:
        """Keep a checkpoint of a stage."""
        path = self.path(f"{stage}.pt")
        if path is not None and self.fabric.is_global_zero:
            try:
                save_checkpoint(path, state, self.fingerprint)
            except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
                raise DataError(
                    f"The checkpoint {path} cannot be written: {error}. Make room, then resume: the last one is kept."
                ) from error

    def keep(self, name: str, compute: Callable[[], dict[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
        """Compute arrays once for this fit, or read those that a run of it kept before it was killed."""
        if name not in self.kept:
            self.kept[name] = self._read_or_compute(name, compute)
        return self.kept[name]

    def _read_or_compute(
        self, name: str, compute: Callable[[], dict[str, npt.NDArray[Any]]]
    ) -> dict[str, npt.NDArray[Any]]:
        path = self.path(f"{name}-{self.fingerprint}.npz")
        if path is not None and path.exists():
            damaged = (OSError, ValueError, EOFError, zipfile.BadZipFile)
            with contextlib.suppress(*damaged), np.load(io.BytesIO(read_sealed(path)), allow_pickle=False) as kept:
                return dict(kept)
        arrays = compute()
        if path is not None:
            content = io.BytesIO()
            np.savez(content, allow_pickle=False, **arrays)
            write_sealed(path, content.getbuffer())
        return arrays

    def log(self, rows: list[dict[str, Any]]) -> None:
        """Append rows of metrics to the history and write it out."""
        self.history += rows
        path = self.path(METRICS)
        if path is not None and self.fabric.is_global_zero:
            with atomic_write(path) as temporary:
                temporary.write_bytes(b"".join(map(json_line, self.history)))


def take_up(source: Path, folder: Path, stage: str | None = None) -> None:
    """Let a fit in a new folder go on from what one in `source` kept, if it did, or from one stage of it."""
    if not (source / METRICS).exists():
        return
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:  # the folder is there whole or not at all
        copy = Path(place, folder.name)
        wanted = {METRICS, f"{stage}.pt"}
        shutil.copytree(source, copy, ignore=lambda _, names: [] if stage is None else set(names) - wanted)
        if stage is not None:
            lines = (copy / METRICS).read_text(encoding="utf-8").splitlines(keepends=True)
            of_stage = (line for line in lines if json.loads(line)["stage"] == stage)
            (copy / METRICS).write_text("".join(of_stage), encoding="utf-8")
        copy.rename(folder)


def resolve_device(name: str) -> torch.device:
    """Return the device of this name.

    Raises
    ------
    DataError
        If there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DataError(f"There is no device {name!r}. Pass auto, cpu, cuda, cuda:1 or mps.") from error
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(device.type, False):
        raise DataError(f"The device {name!r} is not available here. Pass auto or cpu.")
    return device


def resolve_precision(name: str, device: torch.device) -> str:
    """Return the name of a precision that Fabric knows; "auto" takes bf16 where there is hardware for it."""
    if name != "auto":
        if name not in ("32-true", "bf16-mixed", "16-mixed"):
            raise DataError(f"The precision must be auto, 32-true, bf16-mixed or 16-mixed: got {name!r}.")
        if name == "16-mixed" and device.type == "cpu":
            raise DataError("precision='16-mixed' needs a GPU. Pass bf16-mixed or auto.")
        return name
    if device.type == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    if device.type == "cpu":
        return "bf16-mixed" if "amx" in torch.backends.cpu.get_cpu_capability().lower() or _has_bf16() else "32-true"
    return "32-true"


def _has_bf16() -> bool:
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


@contextlib.contextmanager
def random_state(seed: int) -> Iterator[None]:
    """Set torch's random state inside the block, and put the caller's back after it."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield
