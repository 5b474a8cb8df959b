"""Shutdown of the server process."""

from __future__ import annotations

from types import FrameType

import uvicorn

from selfsort.images import stop_decoding


class Server(uvicorn.Server):
    """Server that stops at once: pending requests for pictures fail first, so that nothing waits for them."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the shutdown on a signal."""
        super().handle_exit(sig, frame)
        stop_decoding()
