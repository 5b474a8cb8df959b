"""The server as a process: how it ends."""

from __future__ import annotations

from types import FrameType

import uvicorn

from selfsort.images import stop_decoding


class Server(uvicorn.Server):
    """Ends at once: requests that wait for a picture fail first, so that nothing waits for them."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end, as a signal asks."""
        super().handle_exit(sig, frame)
        stop_decoding()
