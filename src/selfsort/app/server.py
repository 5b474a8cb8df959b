"""The review page's server: requests in, one call, answer out. It listens on this machine only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import anyio
import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import Field

from selfsort.app import facts, similar, work
from selfsort.app.bodies import Correction, Export, Person, Regroup, Split, Step, Trash
from selfsort.app.guard import PICTURE_SEARCH, Guard
from selfsort.app.pack import pack
from selfsort.app.page import READING_TEXT, OtherRunError, Page
from selfsort.app.pictures import prune
from selfsort.app.review import Review
from selfsort.app.splitting import parts
from selfsort.errors import DataError, SelfsortError
from selfsort.images import Unreadable, stop_decoding
from selfsort.photos.ocr import check_installed
from selfsort.photos.trash import Doomed, move_to_trash, plan_trash
from selfsort.runtime import n_threads
from selfsort.sources import display_path

_STATIC = files("selfsort") / "app" / "static"
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_BINARY = "application/octet-stream"
_FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_N_SIMILAR = 200
#: FastAPI else reports requests to wherever the environment says.
_NO_TELEMETRY: Any = dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False)


def create_app(run: Path, *, token: str, port: int, once: str | None = None) -> Guard:
    """Return the server's application.

    Parameters
    ----------
    run : Path
        A run folder of `selfsort.organize`.
    token, once : str
        See `Guard`.
    port : int
        Where it will listen.
    """
    Review(run).close()  # what is wrong with it is said before anything is served

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.page = Page(run)
        # pictures are made in threads; more of them than processors would only keep the event loop from its turn
        anyio.to_thread.current_default_thread_limiter().total_tokens = n_threads()
        pruning = asyncio.create_task(asyncio.to_thread(prune))
        try:
            yield
        finally:
            pruning.cancel()
            stop_decoding()
            app.state.page.close()

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan, telemetry=_NO_TELEMETRY)
    app.add_exception_handler(OtherRunError, lambda _, error: _error(409, str(error)))
    app.add_exception_handler(SelfsortError, lambda _, error: _error(400, str(error)))
    app.add_exception_handler(Unreadable, lambda _, error: _error(404, f"It cannot be shown: {error}."))
    app.add_exception_handler(RequestValidationError, _invalid)
    _serve_page(app, token)
    _serve_groups(app)
    _serve_facts(app)
    _serve_pictures(app)
    _serve_jobs(app)
    return Guard(app, token, port, once)


def _error(status: int, message: str) -> JSONResponse:
    text = " ".join(message.encode("utf-8", "backslashreplace").decode().split())
    return JSONResponse({"error": text}, status)


def _invalid(_: Request, error: Exception) -> JSONResponse:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": "not valid"}
    return _error(422, f"{'.'.join(map(str, first['loc'][1:])) or 'The request'}: {first['msg']}.")


def _page(request: Request) -> Page:
    page: Page = request.app.state.page
    return page


def _serve_page(app: FastAPI, token: str) -> None:
    """Serve the page and its parts; their names are looked up, never joined to a path."""
    parts = {entry.name: entry for entry in _STATIC.iterdir() if Path(entry.name).suffix in _TYPES}
    parts["colors.css"] = files("selfsort") / "templates" / "colors.css"  # the report's

    @app.get("/")
    async def index() -> Response:
        text = parts["index.html"].read_text(encoding="utf-8").replace("{{ token }}", token)
        return Response(text, media_type="text/html")

    @app.get("/static/{name}")
    async def static(name: str) -> Response:
        if name not in parts or name == "index.html":
            return _error(404, "There is no such part of the page.")
        kind = _TYPES[Path(name).suffix]
        return Response(parts[name].read_bytes(), media_type=kind, headers={"Cache-Control": "no-cache"})


def _serve_groups(app: FastAPI) -> None:
    @app.get("/api/run")
    async def run(request: Request) -> Response:
        return Response(_page(request).fresh().columns(), media_type=_BINARY)

    @app.get("/api/names")
    async def names(request: Request) -> list[str]:
        page = _page(request)
        page.fresh()
        return list(map(display_path, page.paths))

    @app.get("/api/groups")
    async def groups(request: Request, n: Annotated[int | None, Field(ge=1, le=1_000_000)] = None) -> Response:
        return Response(_page(request).fresh().groups(n), media_type=_BINARY)

    @app.post("/api/correct")
    async def correct(request: Request, body: Correction) -> Response:
        page = _page(request)
        async with page.turn:
            review = page.fresh(body.run)
            review.correct(body.do, rows=body.rows, keys=body.keys, name=body.name)
            return Response(review.groups(), media_type=_BINARY)

    @app.post("/api/split")
    async def split(request: Request, body: Split) -> Response:
        page = _page(request)
        async with page.turn:
            contents, features = page.fresh(body.run).members(body.key)
            labels = await asyncio.to_thread(parts, features, body.parts)
            review = page.fresh(body.run)
            review.split(body.key, contents, labels)
            return Response(review.groups(), media_type=_BINARY)

    @app.post("/api/undo")
    async def undo(request: Request, body: Step) -> Response:
        page = _page(request)
        async with page.turn:
            review = page.fresh()
            review.undo(body.number)
            return Response(review.groups(), media_type=_BINARY)

    @app.post("/api/redo")
    async def redo(request: Request, body: Step) -> Response:
        page = _page(request)
        async with page.turn:
            review = page.fresh()
            review.redo(body.number)
            return Response(review.groups(), media_type=_BINARY)

    @app.get("/api/history")
    async def history(request: Request) -> list[dict[str, Any]]:
        return _page(request).fresh().history()


def _serve_facts(app: FastAPI) -> None:
    @app.get("/api/facts")
    async def all_facts(request: Request) -> Response:
        found: facts.Facts = await _page(request).once("facts", facts.read)
        text = pack(
            {"events": found.events, "flaws": facts.FLAWS},
            time=found.time,
            latitude=found.latitude,
            longitude=found.longitude,
            flaws=found.flaws,
            event=found.event,
        )
        return Response(text, media_type=_BINARY)

    @app.get("/api/duplicates")
    async def duplicates(request: Request) -> list[dict[str, Any]]:
        page = _page(request)
        different = page.fresh().state.different
        if different != page.told_apart:
            page.told_apart = set(different)
            page.forget("duplicates")
        return list(await page.once("duplicates", facts.duplicates))

    @app.get("/api/pictures")
    async def pictures(request: Request, rows: str) -> list[dict[str, Any]]:
        page = _page(request)
        review = page.fresh()
        found: facts.Facts = await page.once("facts", facts.read)
        wanted = [int(row) for row in rows.split(",") if row.isascii() and row.isdigit() and len(row) < 10][:500]
        wanted = [row for row in wanted if row < len(review.ids)]
        missing = await asyncio.to_thread(lambda: {row for row in wanted if page.pictures.is_missing(row)})
        return [review.described_picture(row, found) | {"missing": row in missing} for row in wanted]

    @app.post("/api/person")
    async def person(request: Request, body: Person) -> dict[str, Any]:
        _page(request).fresh().name_person(body.person, body.name)
        return {}

    @app.get("/api/search")
    async def search(request: Request, q: Annotated[str, Field(max_length=1000)]) -> dict[str, Any]:
        page = _page(request)
        return {"rows": page.fresh().search(q, page.paths)}

    @app.get("/api/search/like/{row}")
    async def like(request: Request, row: int, run: str | None = None) -> dict[str, Any]:
        review = _page(request).fresh(run)
        review.contents([row])
        if review.clusters.embedding is None:
            raise DataError("This run holds no features to search by. Make it with selfsort organize.")
        vector = np.asarray(review.clusters.embedding[row])
        rows = await asyncio.to_thread(similar.nearest, review.clusters, vector, _N_SIMILAR)
        return {"rows": rows.tolist()}

    @app.post(PICTURE_SEARCH)
    async def by_picture(request: Request) -> dict[str, Any]:
        review, data = _page(request).fresh(), await request.body()
        vector = await asyncio.to_thread(similar.encode, review.clusters, data)
        rows = await asyncio.to_thread(similar.nearest, review.clusters, vector, _N_SIMILAR)
        return {"rows": rows.tolist()}


def _serve_pictures(app: FastAPI) -> None:
    def check(page: Page, row: int) -> None:
        if not 0 <= row < len(page.paths):
            raise Unreadable("there is no such picture")

    @app.get("/picture/{row}/small")
    async def small(request: Request, row: int) -> Response:  # a slice of a file in memory: it waits for no thread
        page = _page(request)
        check(page, row)
        data = page.pictures.small(row)
        if data is None:
            raise Unreadable("there is no picture of it")
        return Response(data, media_type="image/jpeg", headers=_FOR_EVER)

    @app.get("/picture/{row}/tile")
    def tile(request: Request, row: int) -> Response:
        page = _page(request)
        check(page, row)
        return Response(page.pictures.tile(row), media_type="image/jpeg", headers=_FOR_EVER)

    @app.get("/picture/{row}/large")
    def large(request: Request, row: int) -> Response:
        page = _page(request)
        check(page, row)
        return Response(page.pictures.large(row), media_type="image/jpeg", headers=_FOR_EVER)


def _told(file: Doomed) -> dict[str, Any]:
    """Return what the page says of a file that goes to the trash."""
    of = display_path(file.pictures[0]) if file.pictures else None
    return {"path": display_path(file.path), "size": file.size, "only_copy": file.only_copy, "belongs_to": of}


def _serve_jobs(app: FastAPI) -> None:
    @app.get("/api/now")
    async def now(request: Request) -> dict[str, Any]:
        return _page(request).now()

    @app.post("/api/text")
    async def text(request: Request) -> dict[str, Any]:
        page = _page(request)
        check_installed()
        page.jobs.start(READING_TEXT, work.read_text, run=str(page.review.run))
        return {"job": page.jobs.facts()}

    @app.post("/api/regroup")
    async def regroup(request: Request, body: Regroup) -> dict[str, Any]:
        page = _page(request)
        work.pictures_of(page.fresh().clusters)
        facts = {"n_groups": body.groups, "find": body.find}
        page.jobs.start("Grouping again", work.group_again, run=str(page.review.run), **facts)
        return {"job": page.jobs.facts()}

    @app.post("/api/export")
    async def export(request: Request, body: Export) -> dict[str, Any]:
        page = _page(request)
        try:
            place = str(Path(body.destination).expanduser()) if body.destination is not None else None
        except RuntimeError as error:
            raise DataError(f"There is no such folder: {body.destination!r}.") from error
        if place is not None and not Path(place).is_absolute():
            raise DataError(f"The folder needs a whole path, such as {Path.home() / 'sorted'}: got {place!r}.")
        facts: dict[str, Any] = {"mode": body.mode, "names": body.names, "dry_run": body.dry_run}
        name = "Planning the export" if body.dry_run else "Exporting"
        page.jobs.start(name, work.export_groups, run=str(page.review.run), destination=place, **facts)
        return {"job": page.jobs.facts()}

    @app.post("/api/trash")
    async def trash(request: Request, body: Trash) -> dict[str, Any]:
        page = _page(request)
        review = page.fresh(body.run)
        review.contents(body.rows)
        paths = [page.paths[row] for row in dict.fromkeys(body.rows)]
        plan = await asyncio.to_thread(plan_trash, review.clusters, paths)
        page.fresh(body.run)
        if not body.only_copies and body.confirmed:
            alone = [(file.path, "it is the only copy of its content") for file in plan.files if file.only_copy]
            plan.refused += alone
            plan.files = [file for file in plan.files if not file.only_copy]
        if body.confirmed:  # and nothing that was not shown before
            shown = set(body.shown)
            plan.files = [file for file in plan.files if not file.pictures or display_path(file.path) in shown]
            await asyncio.to_thread(move_to_trash, review.clusters, plan)
        files = [_told(file) for file in plan.files]
        refused = [display_path(f"{path}: {reason}") for path, reason in plan.refused]
        return {"files": files, "trashed": len(plan.done), "refused": refused}

    @app.post("/api/stop")
    async def stop(request: Request) -> dict[str, Any]:
        page = _page(request)
        await asyncio.to_thread(page.jobs.stop)
        return {"job": page.jobs.facts()}
