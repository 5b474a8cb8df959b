"""``selfsort review``."""

from __future__ import annotations

import secrets
import socket
import threading
import webbrowser
from pathlib import Path

import click

from selfsort.cli.output import PATH, progress_bar, shown
from selfsort.errors import DataError


@click.command()
@click.argument("run", type=PATH, metavar="RUN|FOLDER")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where to listen.  [default: a free port]")
@click.option("--open/--no-open", "opens", default=True, show_default=True, help="Open the page in your browser.")
def review(run: Path, port: int, opens: bool) -> None:
    """Look at the groups of RUN on a page and correct them; of a folder of pictures, group them first.

    The page is served to this machine only, to the browser that has the address with its token. Every correction is
    kept in the catalog beside the run at once and can be undone, also another day. Originals are only read. End it with
    Ctrl-C.
    """
    try:
        import uvicorn

        from selfsort.app.connections import PER_TURN, Connection, Listener, allow_files
        from selfsort.app.listening import Server
        from selfsort.app.server import create_app
    except ModuleNotFoundError as error:
        if error.name not in ("uvicorn", "fastapi", "pydantic", "starlette"):
            raise
        raise DataError("The page needs more packages. Install: pip install 'selfsort[app]'") from error
    run = _grouped(run)
    allow_files()
    listening = _listen(Listener(socket.AF_INET, socket.SOCK_STREAM), port)
    port = listening.getsockname()[1]
    home = f"http://127.0.0.1:{port}/"
    token, once = secrets.token_urlsafe(24), secrets.token_urlsafe(24) if opens else None
    app = create_app(run, token=token, port=port, once=once)
    click.echo(f"{shown(str(run))} is at {home}?token={token}\nEnd with Ctrl-C.")
    if opens:  # other users can read the command line of the browser
        threading.Timer(0.5, webbrowser.open, (f"{home}?once={once}",)).start()
    config = uvicorn.Config(
        app,
        http=Connection,
        loop="asyncio",  # which asks `Listener` for connections
        ws="none",
        backlog=PER_TURN,
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=1,
        server_header=False,
        proxy_headers=False,  # a header must not say whose a connection is
    )
    Server(config).run([listening])


def _grouped(path: Path) -> Path:
    """Return the run: the path itself, or what becomes of the pictures in it."""
    from selfsort.cli.organize import stem
    from selfsort.clusters import Clusters
    from selfsort.photos.organize import organize
    from selfsort.photos.settings import Settings

    if not path.exists():
        raise DataError(f"There is nothing at {shown(str(path))}. Give a run, or a folder of pictures.")
    if (path / "run.json").exists():
        return path
    target = Path(f"{stem(path)}.selfsort")
    settings = None
    if (target / "run.json").exists():  # as it was grouped last
        settings = Settings.of_run(Clusters.load(target).run)
    with progress_bar() as progress:
        organize(path, target, settings=settings, progress=progress)
    return target


def _listen(listening: socket.socket, port: int) -> socket.socket:
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen()  # from now on a browser waits instead of being refused
    except OSError as error:
        listening.close()
        raise DataError(f"Port {port} cannot be used: {error.strerror}. Leave --port out, or give another.") from error
    return listening
