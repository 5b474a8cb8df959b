"""What steers `selfsort.organize`."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from selfsort.arguments import meant
from selfsort.errors import DataError
from selfsort.features.encoders import DEFAULT, LAYERED

#: What can be read of each picture, each by a switch of its own.
FACETS = ("metadata", "looks", "text", "people")


@dataclass(frozen=True)
class Settings:
    """What steers `organize`; every field but the last ends up in ``run.json``.

    Attributes
    ----------
    groups : int, optional
        How many groups the default level has; found if not given.
    granularity : float
        Above 1: more and smaller groups; below 1: fewer and larger ones.
    encoder : str
        See `selfsort.features.encoders.load_encoder`.
    n_neighbors : int, optional
        15, and fewer below 225 pictures.
    metadata : bool
        Whether it is read from the files when, where and how pictures were taken. It steers no groups.
    looks : bool
        Whether it is read from the pixels how pictures look. It tells what kind they are (photographs, screenshots,
        documents and so on), what is wrong with them, and which are the same; links between kinds, and between what
        shows different things, are weakened.
    text : bool
        Whether text in pictures is read too, which takes much longer than all else. It steers no groups.
    people : bool
        Whether faces are counted too, which takes longer than all else but text. It steers no groups.
    learn : bool
        Whether it is found out how much an earlier layer of the built-in encoder should count beside its last, by the
        modularity of the groups that come of it.
    seed : int
    online : bool
        Whether the encoder may be downloaded: not where only the record of a run names it.
    """

    groups: int | None = None
    granularity: float = 1.0
    encoder: str = DEFAULT
    n_neighbors: int | None = None
    metadata: bool = True
    looks: bool = True
    text: bool = False
    people: bool = False
    learn: bool = False
    seed: int = 0
    online: bool = True

    @classmethod
    def of_run(cls, run: Mapping[str, Any]) -> Settings:
        """Return what steered a run, by its ``run.json``; what it does not tell is as usual."""
        params = run.get("params") or {}
        known = {each.name for each in fields(cls)} - {"online"}
        return cls(**{name: params[name] for name in known & params.keys()}, online=False)

    def params(self) -> dict[str, Any]:
        """Return what steers a run, as ``run.json`` records it."""
        return {name: value for name, value in asdict(self).items() if name != "online"}

    def having(self, **options: Any) -> Settings:
        """Return these settings with other values for some of them; raise `DataError` for a name that is none."""
        names = [each.name for each in fields(self)]
        if unknown := [name for name in options if name not in names]:
            raise DataError(
                f"There is no setting {unknown[0]!r}.{meant(unknown[0], names)} There are: {', '.join(names)}."
            )
        return replace(self, **options)

    def __post_init__(self) -> None:
        self._make_plain()
        if self.groups is not None and self.groups < 1:
            raise DataError(
                f"The number of groups must be 1 or more: got {self.groups}. Leave it out to have it found."
            )
        if not 0.05 <= self.granularity <= 20:
            raise DataError(
                f"The granularity must be from 0.05 (few, large groups) to 20 (many, small ones): "
                f"got {self.granularity}."
            )
        if self.n_neighbors is not None and self.n_neighbors < 1:
            raise DataError(f"The number of neighbors (--neighbors) must be 1 or more: got {self.n_neighbors}.")
        if not isinstance(self.encoder, str):
            raise DataError(f"The encoder must be a name or path (str): got {self.encoder!r}.")
        if self.encoder == LAYERED:
            raise DataError(
                f"The encoder {LAYERED} is what learning uses. Leave it out, and pass --learn (learn=True)."
            )
        if self.learn and self.encoder not in (DEFAULT, "default"):
            raise DataError(
                f"Only of the built-in encoder more than one layer is known: got --learn (learn=True) and the encoder "
                f"{self.encoder}. Leave one of them out."
            )
        if not 0 <= self.seed < 2**32:
            raise DataError(f"The seed must be from 0 to 4294967295: got {self.seed}.")

    def _make_plain(self) -> None:
        """Turn numpy's numbers into Python's, which JSON knows; say which value is none."""
        for name in ("groups", "n_neighbors", "seed"):
            value = getattr(self, name)
            if value is None and name != "seed":
                continue
            try:
                object.__setattr__(self, name, operator.index(value))
            except TypeError as error:
                raise DataError(f"{name} must be a whole number: got {value!r}.") from error
        try:
            object.__setattr__(self, "granularity", float(self.granularity))
        except (TypeError, ValueError) as error:
            raise DataError(f"The granularity must be a number: got {self.granularity!r}.") from error
        for name in (*FACETS, "learn"):
            value = getattr(self, name)
            if not isinstance(value, (bool, np.bool_)):
                raise DataError(f"{name} must be True or False: got {value!r}.")
            object.__setattr__(self, name, bool(value))
