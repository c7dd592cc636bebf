"""A temporary PostgreSQL server for tests, on a free loopback port."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from tests.support.own_servers import free_port
from tests.support.patience import PATIENCE_S

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def is_installed() -> bool:
    return bool(BINARIES)


needs_postgres = pytest.mark.skipif(
    not is_installed(), reason="PostgreSQL is not installed: apt-get install postgresql"
)


@contextmanager
def postgres_server(folder: Path, password: str = "") -> Iterator[str]:
    """Yield the address `postgresql://stockml@127.0.0.1:PORT` of a fresh server in `folder`; asks
    for a `password`."""
    cluster, file = folder / "cluster", folder / "password"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(password)
    file.chmod(0o644)  # whatever the umask: another user reads it
    asks = ("-A", "scram-sha-256", "--pwfile", str(file)) if password else ("-A", "trust")
    _run("initdb", "-D", str(cluster), "-U", "stockml", *asks, "--no-sync", folder=folder)
    port = _started(folder, cluster)
    try:
        yield f"postgresql://stockml@127.0.0.1:{port}"
    finally:
        _run("pg_ctl", "-D", str(cluster), "-w", "-m", "immediate", "stop", folder=folder)
        shutil.rmtree(cluster, ignore_errors=True)


@retry(
    retry=retry_if_exception_type(subprocess.CalledProcessError),
    stop=stop_after_attempt(3),
    reraise=True,
)
def _started(folder: Path, cluster: Path) -> int:
    """Start the server and return its port. Retried, as another process may take the free port
    first."""
    port = free_port()
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
    log = str(folder / "postgres.log")
    waiting = ("-w", "-t", str(int(PATIENCE_S)))
    _run("pg_ctl", "-D", str(cluster), "-l", log, *waiting, "-o", options, "start", folder=folder)
    return port


def create_databases(address: str, *names: str) -> None:
    """Create databases as a person does before a first start; by default all that this project
    uses."""
    with psycopg.connect(f"{address}/postgres", autocommit=True) as server:
        for name in names or ("prefect", "mlflow", "stockml"):
            server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _run(program: str, *arguments: str, folder: Path) -> None:
    """Run a program of PostgreSQL's; if we are root, which it refuses, as user `postgres`, who must
    reach `folder`."""
    as_user = {}
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        for above in folder.parents:
            if above.stat().st_uid == 0 and above != Path("/"):
                above.chmod(above.stat().st_mode | 0o011)
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    # the server inherits the standard streams, so a pipe would never close
    subprocess.run(
        [str(BINARIES[-1] / program), *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        timeout=PATIENCE_S,
        **as_user,  # type: ignore[call-overload]
    )
