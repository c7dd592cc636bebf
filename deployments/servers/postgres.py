"""The databases on a PostgreSQL server, the two servers' and that of shared state: made when they are not there."""

from collections.abc import Mapping

from deployments.servers.errors import ServerUnavailable

DATABASES = ("mlflow", "prefect", "stockml")


def create_databases(environ: Mapping[str, str]) -> None:
    """Create what is missing on the server that STOCKML_DATABASE_URL names; nothing without it.

    Raises ServerUnavailable, without the address's password.
    """
    url = environ.get("STOCKML_DATABASE_URL")
    if not url:
        return
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    place = f"{parts.hostname}:{parts.port or 5432}"
    try:
        import psycopg

        with psycopg.connect(f"postgresql://{parts.netloc}/postgres", autocommit=True, connect_timeout=10) as server:
            found = {row[0] for row in server.execute("SELECT datname FROM pg_database")}
            for name in DATABASES:
                if name not in found:
                    server.execute(f"CREATE DATABASE {name}")
    except ImportError as error:
        raise ServerUnavailable(
            "PostgreSQL's driver", place, "install it with `pip install stockml[postgres]`"
        ) from error
    except psycopg.Error as error:
        why = type(error).__name__
        raise ServerUnavailable("PostgreSQL", f"{place} ({why})", "check STOCKML_DATABASE_URL") from None
