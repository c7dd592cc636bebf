"""A reason that is cut short keeps its advice and is one line."""

from hypothesis import given
from hypothesis import strategies as st

from stockml.redaction import brief, excerpt


@given(found=st.text(), advice=st.text(st.characters(exclude_characters=";"), max_size=40), length=st.integers(80, 200))
def test_what_is_cut_is_no_longer_than_asked_and_keeps_the_advice(found: str, advice: str, length: int) -> None:
    said = brief(f"{found}; {advice}", length)
    assert len(said) <= length
    assert "\n" not in said
    assert said.endswith(excerpt(advice)) or not advice.strip()
