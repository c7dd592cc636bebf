"""A reason that is cut short keeps its advice and is one line; a key in a text is recognised and
left out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.redaction import brief, excerpt, redacted


@given(
    found=st.text(),
    advice=st.text(st.characters(exclude_characters=";"), max_size=40),
    length=st.integers(80, 200),
)
def test_what_is_cut_is_no_longer_than_asked_and_keeps_the_advice(
    found: str, advice: str, length: int
) -> None:
    said = brief(f"{found}; {advice}", length)
    assert len(said) <= length
    assert "\n" not in said
    assert said.endswith(excerpt(advice)) or not advice.strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET /query?symbol=IBM&apikey=ABC123&x=1", "GET /query?symbol=IBM&apikey=***&x=1"),
        ("apikey%3DABC123", "apikey%3D***"),
        ("detected your API key as ABC123 and our", "detected your API key as *** and our"),
        (json.dumps({"apikey": "ABC123"}), '{"apikey": "***"}'),
        (
            "the parameter apikey is invalid or missing",
            "the parameter apikey is invalid or missing",
        ),
    ],
)
def test_a_key_is_recognised_by_its_context(text: str, expected: str) -> None:
    assert redacted(text) == expected
