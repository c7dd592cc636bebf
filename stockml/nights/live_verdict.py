"""What the network is worth live, over all tickers, beside what the newest nights' backtests say,
in a sentence."""

from collections.abc import Iterable
from contextlib import suppress

import numpy as np

from stockml.errors import NoBars, StoreError, quantity
from stockml.evaluation.live_gain import LiveGain, live_gains, live_losses
from stockml.evaluation.significance import p_text
from stockml.forecasts.ledger import Ledger
from stockml.forecasts.ledger_scores import scored_steps
from stockml.home import HomePaths
from stockml.models.vintage_store import SHIPPED
from stockml.nights.key_figures import newest, store_of
from stockml.nights.record import Night, kept_night
from stockml.prices.series import PriceSeries


def live_verdict(home: HomePaths, tickers: Iterable[str]) -> str:
    """The live gain at leads 1, 5 and 20, each with its p-value, and the mean of the backtests'.

    A ticker without bars, or whose files cannot be read, is left out.
    """
    losses, nights = [], list[Night]()
    for ticker in tickers:
        with suppress(StoreError, NoBars):
            store = store_of(home, ticker)
            series = PriceSeries.from_bars(store.adjusted(ticker))
            counting = Ledger(home.ledger).counting(ticker, store.sessions(ticker))
            scored = scored_steps(counting, series, store.restated_price_factors(ticker))
            losses.append(live_losses(series, scored, (home.pretrained, SHIPPED)))
            if (figures := newest(home.nights, ticker)) and (
                night := kept_night(home.nights, ticker, figures.key)
            ):
                nights.append(night)
    return _worded(live_gains(losses), _backtests(nights))


def _backtests(nights: Iterable[Night]) -> dict[int, float]:
    """By lead, the mean over nights of what the network added on the test part."""
    by_lead = dict[int, list[float]]()
    for night in nights:
        if night.distributions and night.network_adds:
            for lead, gain in zip(
                night.distributions.leads, night.network_adds.skill_by_lead, strict=True
            ):
                by_lead.setdefault(lead, []).append(gain)
    return {lead: float(np.mean(gains)) for lead, gains in by_lead.items()}


def _worded(gains: Iterable[LiveGain], backtests: dict[int, float]) -> str:
    parts = []
    for each in gains:
        p = f"p {p_text(each.test.p_value)}" if each.test else "too few months to test"
        backtest = f", {backtests[each.lead]:+z.1%} in backtests" if each.lead in backtests else ""
        parts.append(
            f"after {quantity(each.lead, 'session')} {each.gain:+z.1%} ({p}; "
            f"{quantity(each.forecasts, 'forecast')} of "
            f"{quantity(each.tickers, 'share')}{backtest})"
        )
    if not parts:
        return "Live: no network's forecast has come due yet."
    return f"Live, what the network saves of a regression's loss: {'; '.join(parts)}."
