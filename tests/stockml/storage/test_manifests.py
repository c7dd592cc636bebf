"""What a shared state may bring into a home: who can write there reaches none of a machine's own files."""

import hashlib
from pathlib import Path

import pytest

from stockml.errors import StoreError
from stockml.storage.documents import Database
from stockml.storage.manifests import Manifest
from stockml.storage.shared_state import SharedState

NOWHERE = Database("nobody@127.0.0.1:1", "no test here asks it")
CONTENT = b"planted"


@pytest.mark.parametrize(
    "name",
    [
        "results/x",
        "prefect/profiles.toml",
        "servers.json",
        "locks/restoring",
        ".shared/IBM.json",
        "models/../x",
        "/x",
        "",
        "store",
        "store/I\0BM",
    ],
)
def test_a_manifest_with_a_file_that_no_state_has_brings_nothing(tmp_path: Path, name: str) -> None:
    """Of Prefect's results, say, which may hold a pickle, or the address that the password is sent to."""
    state, sha = (
        SharedState(f"file://{tmp_path}/state", tmp_path / "home", NOWHERE),
        hashlib.sha256(CONTENT).hexdigest(),
    )
    known, more = "models/IBM/x/y.npz", (sha, len(CONTENT), 0)
    for files in ({known: more}, {known: more, name: more}):
        manifest = Manifest("IBM", files, commit=str(len(files)))
        state.objects.put({f"objects/{sha[:2]}/{sha}": CONTENT, "parts/IBM.json": manifest.content()})
        if len(files) == 1:
            state.checkout("IBM")
    state.objects.put({"parts/away/IBM.json": manifest.content()})
    assert state.parts().keys() == {"IBM"}
    with pytest.raises(StoreError, match=r"parts/IBM.json: .*that no state has"):
        state.checkout("IBM")
    brought = [path for path in state.root.rglob("*") if path.is_file() and path.read_bytes() == CONTENT]
    assert brought == [state.root / known]


@pytest.mark.parametrize("written", [10**30, 2**40, -(2**40)])
def test_a_manifest_with_a_time_that_no_file_bears_is_damaged(written: int) -> None:
    """Some disks take times beyond the years that Python knows, of which the next clean-up ended."""
    content = Manifest("IBM", {"models/IBM/x/y.npz": ("0f", 1, written)}).content()
    with pytest.raises(StoreError, match=r"IBM\.json: .*files\.models/IBM/x/y\.npz\.2"):
        Manifest.read(content, "parts/IBM.json")
