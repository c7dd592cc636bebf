"""Generated bars, batches and edits for property tests: always valid, on New York's calendar,
small."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
from hypothesis import strategies as st

from stockml.prices.bars import Bars, Split, make_bars
from stockml.prices.calendar import sessions_for

NEW_YORK = sessions_for("IBM")
CALENDAR = NEW_YORK.between(date(2024, 1, 2), date(2024, 12, 31))
RECORDING_STARTS = datetime(2025, 1, 2, 4, 0, tzinfo=UTC)

prices = st.integers(1, 10_000_000).map(lambda cents: cents / 10_000)
volumes = st.integers(0, 10**10).map(float) | st.just(float("nan"))


@st.composite
def bar_values(draw: st.DrawFn) -> tuple[float, float, float, float, float]:
    """Valid (open, high, low, close, volume)."""
    low, first, second, high = sorted(draw(st.lists(prices, min_size=4, max_size=4)))
    opened, close = draw(st.permutations([first, second]))
    return opened, high, low, close, draw(volumes)


def bars_of(values: dict[date, tuple[float, float, float, float, float]]) -> Bars:
    """Bars of a mapping from session to (open, high, low, close, volume)."""
    days = sorted(values)
    table = np.array([values[day] for day in days])
    return make_bars(
        days, dict(zip(("open", "high", "low", "close", "volume"), table.T, strict=True))
    )


@st.composite
def series(draw: st.DrawFn, min_size: int = 1, max_size: int = 12) -> Bars:
    """Bars of some sessions of 2024, not necessarily neighbours."""
    days = draw(
        st.lists(st.sampled_from(CALENDAR), min_size=min_size, max_size=max_size, unique=True)
    )
    return bars_of({day: draw(bar_values()) for day in days})


@st.composite
def payloads(draw: st.DrawFn, max_size: int = 5) -> list[tuple[datetime, Bars]]:
    """A provider's answers over time, which overlap, later ones restating earlier ones."""
    answers = draw(st.lists(series(max_size=6), min_size=1, max_size=max_size))
    gaps = draw(st.lists(st.integers(1, 10**12), min_size=len(answers), max_size=len(answers)))
    times = np.cumsum(gaps).tolist()
    return [
        (RECORDING_STARTS + timedelta(microseconds=t), bars)
        for t, bars in zip(times, answers, strict=True)
    ]


factors = st.one_of(
    st.sampled_from([2.0, 3.0, 1.5, 4.0, 15.0, 20.0, 0.1, 0.5, 1.046]),
    st.floats(0.01, 100, allow_subnormal=False),
)
splits = st.lists(
    st.builds(Split, st.sampled_from(CALENDAR), factors),
    max_size=4,
    unique_by=lambda split: split.effective,
)
