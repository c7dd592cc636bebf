"""Prefect's server and page, as `prefect server start` runs them, behind the guard."""

import os
import sys
from collections.abc import MutableMapping

from deployments.servers.access import Access, Guard


def protection(access: Access, port: int) -> dict[str, str]:
    """Prefect's own settings against pages of other origins."""
    return {
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(access.origins(port)),
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    }


def main(port: int, environ: MutableMapping[str, str] = os.environ) -> None:
    """Serve until SIGTERM."""
    access = Access.of(environ)
    environ.update(protection(access, port))
    environ["PREFECT_SERVER_UI_API_URL"] = "/api"  # by whichever of its names the page was opened
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    server = get_current_settings().server
    uvicorn.run(
        Guard(create_app(final=True), access),
        host=access.address,
        port=port,
        timeout_keep_alive=server.api.keepalive_timeout,
        log_level=server.logging_level.lower(),
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
