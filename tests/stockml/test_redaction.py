"""A reason that is cut short keeps its advice and is one line."""

from hypothesis import given
from hypothesis import strategies as st

from stockml.redaction import brief, excerpt
from stockml.tickers import unnamed


@given(found=st.text(), advice=st.text(st.characters(exclude_characters=";"), max_size=40), length=st.integers(80, 200))
def test_what_is_cut_is_no_longer_than_asked_and_keeps_the_advice(found: str, advice: str, length: int) -> None:
    said = brief(f"{found}; {advice}", length)
    assert len(said) <= length
    assert "\n" not in said
    assert said.endswith(excerpt(advice)) or not advice.strip()


def test_a_ticker_is_left_out_where_it_stands_at_the_beginning_alone() -> None:
    for why, expected in {
        "KO: today's requests are used up": "today's requests are used up",
        "NoData: KO: expected": "NoData: expected",
        "NoData: KOO: expected, KO: found": "NoData: KOO: expected, KO: found",
        "training diverged": "training diverged",
    }.items():
        assert unnamed("KO", why) == expected
