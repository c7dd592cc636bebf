"""An object store that answers slowly, wrongly or not at all is named; one that restarts is waited for."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem

from stockml.errors import StoreError
from stockml.storage.objects import Objects, StoredObject, WriteConflict, sha256_of
from tests.support.object_store import environment, object_store
from tests.support.own_servers import free_port


@contextmanager
def answering(*answers: bytes, asked: list[socket.socket] | None = None) -> Iterator[str]:
    """A server that gives each connection the next answer, then always the last; stays silent if it is empty."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        open_ones, coming = [] if asked is None else asked, iter(answers)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                open_ones.append(connection)
                if answer := next(coming, answers[-1]):
                    connection.recv(65536)
                    connection.sendall(answer)
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        for connection in open_ones:
            connection.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 403 No\r\n\r\n",
    ],
    ids=["silence", "503", "another protocol", "403"],
)
def test_a_store_that_gives_no_proper_answer_is_named(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(answer) as address:
        for name, value in {"ENDPOINT_URL": address, "ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": "secret"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        with pytest.raises(
            StoreError, match=r"s3://bucket/state/parts/IBM\.json: could not be read or written"
        ) as told:
            Objects("s3://bucket/state", request_timeout_s=0.2, retry_for_s=0).read("parts/IBM.json")
        assert "secret" not in str(told.value)
        fsspec.filesystem("s3").clear_instance_cache()


def test_a_store_that_stays_silent_is_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person waits meanwhile, 20 seconds each time."""
    asked: list[socket.socket] = []
    with answering(b"", asked=asked) as address:
        for name, value in {"ENDPOINT_URL": address, "ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": "secret"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        with pytest.raises(StoreError, match="ReadTimeoutError"):
            Objects("s3://bucket/state", request_timeout_s=0.3).names("parts")
        fsspec.filesystem("s3").clear_instance_cache()
    assert len(asked) == 2


@pytest.mark.slow
def test_a_store_that_is_down_is_named_and_waited_for_while_it_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens yet when the store is asked: its program takes a second to import."""
    port = free_port()
    for name, value in environment(port).items():
        monkeypatch.setenv(name, value)
    state = Objects("s3://state/stockml")
    with pytest.raises(StoreError, match=r"parts/IBM\.json: could not be read or written \(EndpointConnectionError"):
        replace(state, retry_for_s=0).read("parts/IBM.json")
    with ThreadPoolExecutor(2) as asking:
        found, sha256 = asking.submit(state.read, "parts/IBM.json"), asking.submit(sha256_of, f"{state.root}/other")
        with object_store(tmp_path, "state", port):
            assert (found.result(), sha256.result()) == (StoredObject(None), None)
    fsspec.filesystem("s3").clear_instance_cache()


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_store_that_is_too_busy_or_behind_a_gateway_that_misses_it_is_asked_again(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night failed at the first such answer, of which each provider sends a few."""
    busy = b"HTTP/1.1 %d Later\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status
    found = b'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
    with answering(busy, found) as address:
        for name, value in {"ENDPOINT_URL": address, "ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": "secret"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        assert Objects("s3://bucket/state").read("parts/IBM.json").content == b""
        fsspec.filesystem("s3").clear_instance_cache()


def test_a_listing_that_is_refused_is_not_taken_for_an_empty_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clean-up deleted every object of a state: none of its manifests was listed."""
    here = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with answering(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", here) as address:
        for name, value in {"ENDPOINT_URL": address, "ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": "secret"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        with pytest.raises(StoreError, match="parts: could not be read or written"):
            Objects("s3://bucket/state").names("parts")
        fsspec.filesystem("s3").clear_instance_cache()


@pytest.mark.parametrize("write", ["put", "replace"])
def test_a_write_that_another_program_answered_is_not_taken_for_done(
    write: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest named objects that no store had got: no machine could read the state any more."""
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n<p/>"
    with answering(page) as address:
        for name, value in {"ENDPOINT_URL": address, "ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": "secret"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        objects = Objects("s3://bucket/state")
        with pytest.raises(StoreError, match="another program answered in its place: expected an ETag, found none"):
            objects.put({"a": b"x"}) if write == "put" else objects.replace("a", b"x", StoredObject(None))
        fsspec.filesystem("s3").clear_instance_cache()


def test_a_conflict_that_the_store_names_by_its_code_alone_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every store has words for it: such a commit failed, with advice to see whether one may use the address."""
    said = b"<Error><Code>PreconditionFailed</Code><Message></Message></Error>"
    refused = b"HTTP/1.1 412 No\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(said), said)
    another = b'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
    with answering(refused, another) as address:
        for name, value in {"ENDPOINT_URL": address, "ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": "secret"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        with pytest.raises(WriteConflict):
            Objects("s3://bucket/state").replace("parts/IBM.json", b"mine", StoredObject(None))
        fsspec.filesystem("s3").clear_instance_cache()


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_folder_whose_name_looks_like_a_chain_of_addresses_is_read_where_it_is_written(
    tmp_path: Path, form: str
) -> None:
    objects = Objects(form.format(tmp_path / "disk::prices"))
    objects.replace("IBM.parquet", b"bars", objects.read("IBM.parquet"))
    assert objects.read("IBM.parquet").content == b"bars"
    assert list(objects.names("")) == ["IBM.parquet"]
    with pytest.raises(StoreError, match=r"/disk::prices/IBM\.parquet/x: .*: make room or restore access, then run"):
        objects.read("IBM.parquet/x")


@pytest.mark.parametrize("address", ["s3://stat/stockml", "s3:///stockml"], ids=["mistyped", "none"])
def test_a_bucket_that_does_not_exist_is_not_taken_for_an_empty_one(s3_folder: str, address: str) -> None:
    assert Objects(s3_folder).read("parts/IBM.json").content is None
    assert Objects(s3_folder).names("parts") == {}
    elsewhere = Objects(address)
    for ask in (lambda: elsewhere.read("parts/IBM.json"), lambda: elsewhere.names("parts")):
        with pytest.raises(StoreError, match="expected a bucket, found none; create it, or correct the address"):
            ask()


class OneFolderOnly(BaseHTTPRequestHandler):
    """A store whose login may see a folder of the bucket, which is empty, but not the bucket itself."""

    def do_HEAD(self) -> None:
        self.send_response(403 if self.path.strip("/") == "bucket" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        content = b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


def test_a_login_that_may_not_see_the_whole_bucket_reads_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), OneFolderOnly) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        for name, value in {"ENDPOINT_URL": address, "ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": "secret"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        objects = Objects("s3://bucket/state")
        assert (objects.read("parts/IBM.json").content, objects.names("parts")) == (None, {})
        fsspec.filesystem("s3").clear_instance_cache()
        server.shutdown()


class Undated(MemoryFileSystem):
    """As stores over FTP or SFTP."""

    protocol = "undated"
    modified = AbstractFileSystem.modified


def test_an_object_that_goes_while_it_is_asked_when_it_was_written_counts_as_new_and_so_do_undated_ones(
    tmp_path: Path,
) -> None:
    """As the temporary file of a commit in progress, which the clean-up lists."""
    fsspec.register_implementation("undated", Undated, clobber=True)
    for objects in (Objects(f"file://{tmp_path}/state"), Objects("undated://state")):
        before = datetime.now(UTC)
        objects.put({"objects/x": b"1"})
        [(name, about)] = objects.names("objects").items()
        objects.remove([name])
        assert before <= objects.written_at(name, about) <= datetime.now(UTC)


def test_objects_that_may_not_be_deleted_are_not_reported_as_deleted(s3_folder: str) -> None:
    objects, bucket = Objects(s3_folder), fsspec.filesystem("s3")
    objects.put({"objects/ab/abc": b"old"})
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::state/*"}
    bucket.call_s3("put_bucket_policy", Bucket="state", Policy=json.dumps({"Statement": [deny]}))
    with pytest.raises(StoreError, match=r"objects/ab/abc: expected it to be deleted, found it still there"):
        objects.remove(objects.names("objects"))
    bucket.call_s3("delete_bucket_policy", Bucket="state")
    objects.remove(objects.names("objects"))
    assert objects.names("objects") == {}
