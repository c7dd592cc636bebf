"""An S3-compatible object store for tests, a process on a free loopback port that counts its requests."""

import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pytest
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from tests.support.own_servers import free_port
from tests.support.patience import PATIENCE_S

SERVE = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"
KINDS = ("GET", "PUT", "HEAD", "POST", "DELETE")


@dataclass(frozen=True)
class ObjectStore:
    """A running object store. environ: the variables that a client needs."""

    environ: Mapping[str, str]
    log: Path

    def asked(self) -> Counter[str]:
        """Count the answered requests by kind; LIST is a GET of a bucket."""
        found: Counter[str] = Counter()
        for line in self.log.read_text().splitlines():
            _, quote, request = line.partition('"')
            kind = next((kind for kind in KINDS if kind in request.partition(" ")[0]), "")
            if quote and kind:
                found["LIST" if "list-type=" in request else kind] += 1
        return found


@contextmanager
def object_store(folder: Path, bucket: str, port: int | None = None) -> Iterator[ObjectStore]:
    """Run a store with one bucket, on `port` or a free one; its log goes to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    environ = environment(port)
    log = folder / "object-store.log"
    with log.open("wb") as said:
        server = subprocess.Popen([sys.executable, "-c", SERVE, str(port)], stdout=said, stderr=said)
    try:
        _made(bucket, port)
        yield ObjectStore(environ, log)
    finally:
        server.kill()
        server.wait()


def environment(port: int) -> dict[str, str]:
    """The variables that a client of a store on this port needs."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@retry(retry=retry_if_exception_type(OSError), wait=wait_fixed(0.05), stop=stop_after_delay(PATIENCE_S), reraise=True)
def _made(bucket: str, port: int) -> None:
    """Create the bucket by a PUT of its name, which needs no signature."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{bucket}", method="PUT")
    with urllib.request.urlopen(request, timeout=PATIENCE_S):
        pass


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """One store for all tests of a process; each test gets its own bucket (`s3_folder`)."""
    with object_store(tmp_path_factory.mktemp("object-store"), "first") as running:
        yield running


@pytest.fixture
def s3_folder(s3_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a folder in a new bucket, with the environment set for its clients."""
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    bucket = fsspec.filesystem("s3")
    bucket.mkdir("state")
    yield "s3://state/stockml"
    bucket.rm("state", recursive=True)
    type(bucket).clear_instance_cache()
