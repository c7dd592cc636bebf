"""Prefect's own application behind a check of the Host name: `python -m deployments.servers.prefect_app HOST PORT`.

Without it, a web page that rebinds its own name to this machine's address would reach Prefect's API.
"""

import os
import socket
import sys

from starlette.middleware.trustedhost import TrustedHostMiddleware

HOSTS = "STOCKML_PREFECT_HOSTS"  # comma separated, without ports


def app(*, api_only: bool = False) -> TrustedHostMiddleware:
    """api_only: without page, schedules and automations."""
    from prefect.server.api.server import create_app

    hosts = os.environ.get(HOSTS, "127.0.0.1,localhost").split(",")
    return TrustedHostMiddleware(create_app(ephemeral=api_only), allowed_hosts=hosts)


if __name__ == "__main__":
    import uvicorn

    if len(sys.argv) == 2:  # a listening socket's number: for one command
        config = uvicorn.Config(app(api_only=True), log_level="error", timeout_graceful_shutdown=3)
        uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
    else:
        uvicorn.run(app(), host=sys.argv[1], port=int(sys.argv[2]), log_level="warning")
