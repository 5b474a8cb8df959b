"""The only module that imports ONNX Runtime, because its telemetry must be turned off before the import."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from selfsort.errors import ModelError
from selfsort.files import hash_file
from selfsort.given import read_given

_MODEL_BYTES = 8 << 30  # limit of an ONNX file


def _runtime() -> Any:
    """Import ONNX Runtime without its telemetry.

    By default the import creates a device id and a database in the user's cache folder, and a session sends data about
    the machine to the vendor. `disable_telemetry_events` alone comes too late for the files.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # child processes inherit this
    import onnxruntime

    return onnxruntime


def open_session(model: Path | bytes, *, keep_memory: bool = True, n_threads: int = 1) -> Any:
    """Open a network on the CPU. Threads can call the session in parallel.

    Parameters
    ----------
    model : Path or bytes
        An ONNX file, or its content.
    keep_memory : bool
        Whether to keep memory for the next input. Wasteful if inputs have many sizes.
    n_threads : int
        Threads of one call. 1 with one call per processor avoids barriers inside small layers.

    Returns
    -------
    onnxruntime.InferenceSession
    """
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = n_threads, 1
    options.enable_cpu_mem_arena = keep_memory
    options.log_severity_level = 4  # errors raise exceptions anyway
    source = model if isinstance(model, bytes) else str(model)
    return runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def open_onnx(path: Path) -> tuple[Any, bytes]:
    """Open a user's ONNX file with its external weights.

    Returns
    -------
    session : onnxruntime.InferenceSession
    identity : bytes
        Changes with the model or its weights: the file's bytes, then the hashes of the other files.

    Raises
    ------
    ModelError
        If it cannot be loaded, or needs weights from outside its folder.
    """
    try:
        data = read_given(path, "model", most=_MODEL_BYTES)
        weights = external_weights(path, data)
        session = open_session(path if weights else data)
        return session, data + "".join(hash_file(part) for part in weights).encode()
    except ModelError:
        raise
    except Exception as error:  # ONNX Runtime has no base class for its errors
        raise ModelError(
            f"{path} could not be loaded as an ONNX model: {' '.join(str(error).split())[:300]}"
        ) from error


def external_weights(path: Path, data: bytes) -> list[Path]:
    """Return the external weight files of an ONNX model, sorted by name.

    Parameters
    ----------
    path : Path
        The model's file. Names are relative to its folder.
    data : bytes
        Its content.

    Raises
    ------
    ModelError
        If a file is outside the folder, or missing.
    """
    import onnx

    names = sorted(set(_external_names(onnx.load_model_from_string(data))))
    inside = {path.parent.resolve(), path.resolve().parent}  # the second: caches that link to files with other names
    for name in names:
        parts = {*PurePosixPath(name).parts, *PureWindowsPath(name).parts}
        whole = path.parent / name
        leaves = ".." in parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor or "\0" in name
        if leaves or not any(whole.resolve().is_relative_to(folder) for folder in inside):
            raise ModelError(
                f"{path} wants weights from {name[:200]!r}, which is not in its folder. Put them beside the model and "
                "save it with that name."
            )
        if not whole.is_file():
            raise ModelError(f"{path} needs the weights {name!r} beside it, and they are not there. Copy them too.")
    return [path.parent / name for name in names]


def _external_names(message: Any) -> Iterator[str]:
    """Yield the file name of each external tensor anywhere in an ONNX message."""
    from onnx import TensorProto

    if isinstance(message, TensorProto):
        if message.data_location == TensorProto.EXTERNAL:
            yield from (entry.value for entry in message.external_data if entry.key == "location")
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if hasattr(value, "__len__") else (value,):
                yield from _external_names(part)
