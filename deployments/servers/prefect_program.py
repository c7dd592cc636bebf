"""Prefect's server and page behind the guard, as `prefect server start` runs them; or its API for one command.

That one serves an inherited socket. The parent listens first and starts this process second, so requests wait in the
socket's queue while Prefect is still being imported here and in the parent at the same time. Services that only a
lasting server needs (schedules, automations) stay off.
"""

import hmac
import os
import secrets
import socket
import sys
from collections.abc import AsyncGenerator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from deployments.process import left_uncollected
from deployments.servers import databases
from deployments.servers.access import Access, Guard
from deployments.servers.prefect_schema import DATABASE, create_database, local_database, migrate
from stockml.home import home
from stockml.storage.files import write_atomically

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

KEY_BYTES = 32
_OFF = (
    "PREFECT_API_BLOCKS_REGISTER_ON_START",
    "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION",
    "PREFECT_API_DATABASE_MIGRATE_ON_START",
    "PREFECT_SERVER_EVENTS_STREAM_OUT_ENABLED",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED",
    "PREFECT_SERVER_UI_ENABLED",
)


def protection(access: Access, port: int) -> dict[str, str]:
    """Prefect's own settings against pages of other origins."""
    return {
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(access.origins(port)),
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    }


def main(port: int, environ: MutableMapping[str, str] = os.environ) -> None:
    access = Access.of(environ)
    environ.update(protection(access, port))
    environ["PREFECT_SERVER_UI_API_URL"] = "/api"  # by whichever of its names the page was opened
    if folder := page_folder(environ):
        environ["PREFECT_SERVER_UI_STATIC_DIRECTORY"] = folder
    if database := local_database(environ):
        create_database(database)
    with left_uncollected():
        import uvicorn
        from prefect.server.api.server import create_app
        from prefect.settings import get_current_settings

        write_from_the_start()
        if database:
            compute_tokens(token_key(database.parent))
        server, app = get_current_settings().server, create_app(final=True)
    uvicorn.run(
        Guard(app, access),
        host=access.address,
        port=port,
        timeout_keep_alive=server.api.keepalive_timeout,
        log_level=server.logging_level.lower(),
    )


def page_folder(environ: Mapping[str, str]) -> str | None:
    """Where Prefect keeps its page's files, which it makes once: in PREFECT_HOME if not where it is installed.

    What is installed often is another user's: in an image, under systemd. Prefect then serves no page, and goes on.
    """
    installed = Path(str(find_spec("prefect").origin)).parent / "server"  # type: ignore[union-attr]
    if environ.get("PREFECT_SERVER_UI_STATIC_DIRECTORY") or os.access(installed, os.W_OK):
        return None
    return str(Path(environ["PREFECT_HOME"]) / "page")


def write_from_the_start() -> None:
    """Have Prefect's transactions on SQLite take their turn to write when they begin, as it does with some itself.

    Those that read first are refused at once, with 503, whenever another has written in between.
    """
    from prefect.server.database import dependencies
    from prefect.server.database.configurations import AioSqliteConfiguration

    class Immediate(AioSqliteConfiguration):
        @asynccontextmanager
        async def begin_transaction(
            self, session: "AsyncSession", with_for_update: bool = False
        ) -> "AsyncGenerator[AsyncSessionTransaction, None]":
            async with super().begin_transaction(session, with_for_update=True) as begun:
                yield begun

    url = os.environ.get(DATABASE, "")
    if url.startswith("sqlite"):
        dependencies.MODELS_DEPENDENCIES["database_config"] = Immediate(connection_url=url)


def compute_tokens(key: bytes) -> None:
    """Have the tokens that a change needs computed, where Prefect writes and looks up one a client in its database.

    A client's token is the HMAC of its name by `key` (RFC 2104), which no page of another origin can know or read.
    """
    from prefect.server.models import csrf_token
    from prefect.server.schemas.core import CsrfToken
    from prefect.settings import PREFECT_SERVER_CSRF_TOKEN_EXPIRATION

    async def token(*, session: object, client: str) -> CsrfToken:
        expires = datetime.now(UTC) + PREFECT_SERVER_CSRF_TOKEN_EXPIRATION.value()
        return CsrfToken(client=client, token=hmac.new(key, client.encode(), "sha256").hexdigest(), expiration=expires)

    async def none_kept(*, session: object) -> int:
        return 0

    models: Any = csrf_token
    models.create_or_update_csrf_token = models.read_token_for_client = token
    models.delete_expired_tokens = none_kept


def token_key(folder: Path) -> bytes:
    """Kept beside the database, for pages that stay open while the server is started anew.

    One that was cut short could be guessed: another takes its place, and open pages are loaded again.
    """
    path = folder / "tokens.key"
    with FileLock(folder / "tokens.lock"):
        if not path.is_file() or path.stat().st_size != KEY_BYTES:
            write_atomically(path, secrets.token_bytes(KEY_BYTES))
        return path.read_bytes()


def serve_socket(descriptor: int, folder: Path) -> None:
    """Serve the listening socket; `folder` is Prefect's in the home, where its database is brought up to date."""
    os.environ.update(dict.fromkeys(_OFF, "false"))
    listening = socket.socket(fileno=descriptor)
    access = Access()
    os.environ.update(protection(access, listening.getsockname()[1]))
    with left_uncollected():
        _bring_up_to_date(folder)
        import uvicorn
        from prefect.server.api.server import create_app

        write_from_the_start()
        compute_tokens(secrets.token_bytes(KEY_BYTES))  # no page asks this one
        app = Guard(create_app(ephemeral=True), access)
    config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=3)
    uvicorn.Server(config).run(sockets=[listening])


def _bring_up_to_date(folder: Path) -> None:
    """Migrate the database once for each version of Prefect; no two processes do it at once, nor two homes' of one."""
    head = folder / "migrated.txt"
    wanted = f"{version('prefect')}\n".encode()
    folder.mkdir(parents=True, exist_ok=True)
    if local := local_database(os.environ):
        create_database(local)
    with FileLock(folder / "migrated.lock"), databases.alone(home()):
        if not (local and local.is_file() and head.is_file() and head.read_bytes() == wanted):
            migrate()
            write_atomically(head, wanted)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main(int(sys.argv[1]))
    else:
        serve_socket(int(sys.argv[1]), Path(sys.argv[2]))
