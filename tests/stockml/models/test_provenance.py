"""A model's provenance reads back as written; anything else is an error that names the file."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockml.errors import InvalidFile
from stockml.models.trained_model import Provenance


@settings(deadline=None)  # each example writes a file
@given(made_of=st.builds(Provenance))
def test_provenance_reads_back_as_written(made_of: Provenance, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("model")
    made_of.write(folder)
    assert Provenance.read(folder) == made_of


@pytest.mark.parametrize("content", [b"", b"[]", b'{"code": "c"}', b'{"code": "c", "dataset": "d", "adjustment": 1}'])
def test_content_that_is_not_provenance_is_an_error_that_names_the_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "provenance.json").write_bytes(content)
    with pytest.raises(InvalidFile, match=r"provenance\.json: expected a model's provenance, found "):
        Provenance.read(tmp_path)


def test_missing_provenance_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"provenance\.json"):
        Provenance.read(tmp_path)
