"""A payload is kept once, under the hash of its content."""

import gzip
from concurrent.futures import ThreadPoolExecutor

import pytest

from stockml.errors import InvalidTicker, StoreError
from stockml.provider.http import Payload, archive, read_archived
from tests.stockml.provider.connected import DAILY, NOW

PAYLOAD = Payload("BRK-B", DAILY, NOW)


def test_a_payload_archived_by_many_threads_is_kept_once_under_the_hash_of_its_content(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        (kept,) = set(pool.map(lambda _: archive(PAYLOAD, tmp_path), range(64)))
    before = kept.stat()
    assert archive(PAYLOAD, tmp_path) == kept
    assert kept.stat().st_mtime_ns == before.st_mtime_ns
    assert [*(tmp_path / "BRK-B").iterdir()] == [kept]
    assert read_archived(kept) == DAILY
    time_in_header = kept.read_bytes()[4:8]
    assert time_in_header == bytes(4)


@pytest.mark.parametrize(
    "damage",
    [b"no gzip", gzip.compress(b"another content", mtime=0), gzip.compress(DAILY, mtime=0)[:-20]],
)
def test_a_damaged_payload_is_named_and_rewritten_when_it_comes_again(tmp_path, damage):
    kept = archive(PAYLOAD, tmp_path)
    kept.write_bytes(damage)
    with pytest.raises(StoreError, match="delete it") as caught:
        read_archived(kept)
    assert str(kept) in str(caught.value)
    assert archive(PAYLOAD, tmp_path) == kept
    assert read_archived(kept) == DAILY


def test_a_payload_whose_ticker_is_a_path_is_refused(tmp_path):
    with pytest.raises(InvalidTicker):
        archive(Payload("../../etc", DAILY, NOW), tmp_path)
