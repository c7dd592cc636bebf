"""Prefect's application, closed to other names and pages: `python -m
deployments.servers.prefect_app HOST PORT`.

A web page can rebind its own name to this machine's address, and may open web sockets anywhere.
"""

import os
import socket
import sys
from collections.abc import Sequence
from typing import Any

from starlette.middleware.trustedhost import TrustedHostMiddleware

HOSTS, ORIGINS = "STOCKML_PREFECT_HOSTS", "PREFECT_SERVER_CORS_ALLOWED_ORIGINS"
LOCAL = ("127.0.0.1", "localhost")


def closed_to_others(origins: Sequence[str], hosts: Sequence[str] = LOCAL) -> dict[str, str]:
    """The server's settings: only pages of these origins may use it, under these names."""
    named = {HOSTS: ",".join(hosts), ORIGINS: ",".join(origins)}
    return named | {"PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true"}


def app(*, api_only: bool = False) -> TrustedHostMiddleware:
    """api_only: without page, schedules and automations."""
    from prefect.server.api.server import create_app

    stock, origins = create_app(ephemeral=api_only), os.environ[ORIGINS].split(",")

    async def own_pages_only(scope: Any, receive: Any, send: Any) -> None:
        origin = dict(scope.get("headers", ())).get(b"origin", b"").decode()
        if scope["type"] == "websocket" and origin and origin not in origins:
            await send({"type": "websocket.close"})
        else:
            await stock(scope, receive, send)

    return TrustedHostMiddleware(own_pages_only, allowed_hosts=os.environ[HOSTS].split(","))


if __name__ == "__main__":
    import uvicorn

    if len(sys.argv) == 2:  # a listening socket's number: for one command
        config = uvicorn.Config(app(api_only=True), log_level="error", timeout_graceful_shutdown=3)
        uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
    else:
        uvicorn.run(app(), host=sys.argv[1], port=int(sys.argv[2]), log_level="warning")
