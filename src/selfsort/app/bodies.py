"""What the page sends, checked before anything is done with it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from selfsort.photos.belonging import SidecarNames
from selfsort.photos.export import Mode

_MAX_ROWS = 1_000_000


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _OfRun(_Body):
    """What names pictures and groups by numbers of one run, which is told by its stamp."""

    run: Annotated[str, Field(max_length=40)]


class Correction(_OfRun):
    """See `Review.correct`."""

    do: str
    rows: Annotated[list[int], Field(max_length=_MAX_ROWS)] = []
    keys: Annotated[list[int], Field(max_length=10_000)] = []
    name: Annotated[str, Field(max_length=1000)] | None = None


class Person(_Body):
    """See `selfsort.photos.persons.name_persons`."""

    person: int
    name: Annotated[str, Field(max_length=1000)]


class Split(_OfRun):
    """See `Review.split`."""

    key: int
    parts: Annotated[int, Field(ge=2, le=1000)] | None = None


class Step(_Body):
    """Which correction to undo or to do again; the last if not given."""

    number: int | None = None


class Regroup(_Body):
    """See `selfsort.app.work.group_again`."""

    groups: Annotated[int, Field(ge=1, le=100_000)] | None = None
    find: bool = False


class Export(_Body):
    """See `selfsort.app.work.export_groups`; without a destination, sidecars go beside the originals."""

    mode: Mode
    destination: Annotated[str, Field(max_length=4096)] | None = None
    names: SidecarNames = "full"
    dry_run: bool = False


class Trash(_OfRun):
    """Pictures to move to the trash; without `confirmed` it is only said what that would be.

    Files that are the only copy of their content need to be confirmed by themselves; of what belongs to pictures only
    that goes which was `shown`, by its path.
    """

    rows: Annotated[list[int], Field(min_length=1, max_length=_MAX_ROWS)]
    confirmed: bool = False
    only_copies: bool = False
    shown: Annotated[list[str], Field(max_length=_MAX_ROWS)] = []
