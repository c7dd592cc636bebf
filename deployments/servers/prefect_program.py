"""Prefect's server and page behind the guard, as `prefect server start` runs them; or only its API, for one command.

The latter serves an inherited socket. The parent listens before it starts this process, so requests queue in the socket
while both processes import Prefect at the same time. Services that only a permanent server needs (schedules,
automations) stay off.
"""

import hmac
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock

from deployments.process import imports_uncollected
from deployments.servers import databases
from deployments.servers.access import Access, Guard
from stockml.home import current_home
from stockml.storage.files import write_atomically

KEY_BYTES = 32
_OFF = (
    "PREFECT_API_BLOCKS_REGISTER_ON_START",
    "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION",
    "PREFECT_API_DATABASE_MIGRATE_ON_START",
    "PREFECT_SERVER_EVENTS_STREAM_OUT_ENABLED",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED",
    "PREFECT_SERVER_UI_ENABLED",
)


def protect(access: Access, port: int) -> None:
    """Set what guards Prefect against pages of other origins; its own page asks only where it came from."""
    os.environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = access.url(port)
    os.environ["PREFECT_SERVER_CSRF_PROTECTION_ENABLED"] = "true"


def main(port: int) -> None:
    access = Access.of(os.environ)
    protect(access, port)
    os.environ["PREFECT_SERVER_UI_API_URL"] = "/api"  # relative: works under any of the server's names
    if folder := page_folder(os.environ):
        os.environ["PREFECT_SERVER_UI_STATIC_DIRECTORY"] = folder
    if database := databases.local_database(os.environ):
        databases.create_prefect(database)
    with imports_uncollected():
        import uvicorn
        from prefect.server.api import collections
        from prefect.server.api.server import create_app
        from prefect.settings import get_current_settings

        collections.KNOWN_VIEWS["aggregate-worker-metadata"] = ""  # the installed list of workers, not of GitHub
        begin_immediate()
        databases.migrate_without_this_folder()
        if database:
            derive_csrf_tokens(token_key(database.parent))
        server, app = get_current_settings().server, create_app(final=True)
    uvicorn.run(
        Guard(app, access),
        host=access.address,
        port=port,
        timeout_keep_alive=server.api.keepalive_timeout,
        log_level=server.logging_level.lower(),
    )


def page_folder(environ: Mapping[str, str]) -> str | None:
    """The folder where Prefect builds its page once, in PREFECT_HOME; None if one is set or Prefect can write its own.

    An installation often belongs to another user (in an image, under systemd); Prefect would then serve no page.
    """
    installed = Path(str(find_spec("prefect").origin)).parent / "server"  # type: ignore[union-attr]
    if environ.get("PREFECT_SERVER_UI_STATIC_DIRECTORY") or os.access(installed, os.W_OK):
        return None
    return str(Path(environ["PREFECT_HOME"]) / "page")


def begin_immediate() -> None:
    """Make all of Prefect's SQLite transactions take the write lock when they begin, as Prefect does for some.

    A transaction that reads first fails at once, with 503, if another has written in between.
    """
    from prefect.server.database.configurations import AioSqliteConfiguration

    prefects: Any = AioSqliteConfiguration
    begin = prefects.begin_transaction
    prefects.begin_transaction = lambda self, session, **_: begin(self, session, with_for_update=True)


def derive_csrf_tokens(key: bytes) -> None:
    """Make Prefect compute the CSRF token of a client, instead of storing each one in its database.

    The token is the HMAC (RFC 2104) of the client's name under `key`, which no page of another origin can know or read.
    """
    from prefect.server.models import csrf_token
    from prefect.server.schemas.core import CsrfToken
    from prefect.settings import PREFECT_SERVER_CSRF_TOKEN_EXPIRATION

    async def token(*, session: object, client: str) -> CsrfToken:
        expires = datetime.now(UTC) + PREFECT_SERVER_CSRF_TOKEN_EXPIRATION.value()
        return CsrfToken(client=client, token=hmac.new(key, client.encode(), "sha256").hexdigest(), expiration=expires)

    async def delete_none(*, session: object) -> int:
        return 0

    models: Any = csrf_token
    models.create_or_update_csrf_token = models.read_token_for_client = token
    models.delete_expired_tokens = delete_none


def token_key(folder: Path) -> bytes:
    """The key kept beside the database, so that open pages survive a restart of the server.

    A truncated key could be guessed, so it is replaced; open pages must then be reloaded.
    """
    path = folder / "tokens.key"
    with FileLock(folder / "tokens.lock"):
        if not path.is_file() or path.stat().st_size != KEY_BYTES:
            write_atomically(path, secrets.token_bytes(KEY_BYTES))
        return path.read_bytes()


def serve_socket(descriptor: int, folder: Path) -> None:
    """Bring the database up to date and serve the API on the listening socket. folder: Prefect's in the home."""
    os.environ.update(dict.fromkeys(_OFF, "false"))
    listening = socket.socket(fileno=descriptor)
    access = Access()
    protect(access, listening.getsockname()[1])
    with imports_uncollected():
        _bring_up_to_date(folder)
        import uvicorn
        from prefect.server.api.server import create_app

        begin_immediate()
        derive_csrf_tokens(secrets.token_bytes(KEY_BYTES))  # no page uses this server
        app = Guard(create_app(ephemeral=True), access)
    config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=3)
    uvicorn.Server(config).run(sockets=[listening])


def _bring_up_to_date(folder: Path) -> None:
    """Migrate the database once per Prefect version, one process at a time, even of homes that share a server."""
    version_file = folder / "migrated.txt"
    version_line = f"{version('prefect')}\n".encode()
    folder.mkdir(parents=True, exist_ok=True)
    if local := databases.local_database(os.environ):
        databases.create_prefect(local)
    with FileLock(folder / "migrated.lock"), databases.exclusive_connection(current_home()):
        if not (local and local.is_file() and version_file.is_file() and version_file.read_bytes() == version_line):
            databases.migrate()
            write_atomically(version_file, version_line)


if __name__ == "__main__":
    os.environ.pop("PREFECT_API_URL", None)  # this server's clients know it, not the server
    if len(sys.argv) == 2:
        main(int(sys.argv[1]))
    else:
        serve_socket(int(sys.argv[1]), Path(sys.argv[2]))
