"""Faults of the store: after each, no row is lost or doubled, or an error names the file and the
way back."""

import re
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stockml.errors import StoreUnreadable
from stockml.prices.store import BarStore
from tests.stockml.prices.stored import IBM, NOW, append
from tests.support.patience import PATIENCE_S


@pytest.fixture
def store(tmp_path):
    return BarStore(tmp_path / "store", tmp_path / "locks")


@pytest.mark.slow
def test_two_writers_at_once_store_every_session_once(store):
    command = [sys.executable, "-W", "error", "-m", "tests.support.appending", "write"]
    command += [str(store.root), str(store.locks)]
    both = [subprocess.Popen([*command, first, "2"], stderr=subprocess.PIPE) for first in "01"]
    assert [writer.communicate(timeout=PATIENCE_S)[1] for writer in both] == [b"", b""]
    last_2000 = IBM.iloc[-2000:]
    assert store.read("IBM").equals(last_2000.iloc[:200])
    sources = pq.read_table(store.path("IBM"))["source"].to_pylist()
    assert Counter(sources) == {"writer 0": 100, "writer 1": 100}


def test_a_damaged_file_is_an_error_that_names_it_and_stays_as_it_is(store):
    """For every kind of damage: flipped_bits.py."""
    path = Path(append(store, IBM.iloc[:1000]).path)
    whole = path.read_bytes()
    path.write_bytes(damaged := whole[: len(whole) // 2])
    uses = (store.read, store.adjusted, store.restatements, store.last_session)
    for use in (*uses, store.unexplained_jumps):
        said = re.escape(str(path)) + ".*restore it from a backup"
        with pytest.raises(StoreUnreadable, match=said):
            use("IBM")
    with pytest.raises(StoreUnreadable):
        append(store, IBM.iloc[:1100])
    assert path.read_bytes() == damaged
    path.write_bytes(whole)
    assert append(store, IBM.iloc[900:1100], NOW + timedelta(days=1)).added == 100
