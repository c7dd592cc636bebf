"""A night's figures, all drawn with it; and last night against tonight: what changed, and its
effect."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stockml.errors import quantity
from stockml.evaluation.assessment import VOLATILITY_SESSIONS, Assessment
from stockml.evaluation.path_scores import PUBLISHED
from stockml.features.origins import every_nth, to_newest_units
from stockml.forecasts.forecast import Forecast, Price, price_text
from stockml.forecasts.ledger import Ledger, entries_of
from stockml.home import HomePaths
from stockml.models.trained_model import TrainedModel
from stockml.nights.key_figures import newest
from stockml.nights.record import Night, kept_night, kept_nights
from stockml.plots import diagnostics, forecast, style, training, tutorial
from stockml.plots.forecast import fan, scale_of
from stockml.plots.style import (
    GRID,
    INK,
    MODEL,
    MUTED,
    TRUTH,
    canvas,
    draw_price,
    over_time,
    price_label,
)
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from stockml.storage.arrays import Days, Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Makers = Mapping[str, "Callable[[], Figure]"]


def makers(
    home: HomePaths, night: Night, series: PriceSeries, assessment: Assessment, model: TrainedModel
) -> Makers:
    """The function that makes each figure of the night, including the change since the night
    before."""
    ledger, store = Ledger(home.ledger), BarStore.of(home, night.calendar)
    calendar, units = (
        store.sessions(night.ticker),
        store.restated_price_factors(night.ticker, until=night.session),
    )
    sessions, units_now = series.sessions, to_newest_units(series)
    prices: dict[Price, Floats] = {"close": units_now * series.close, "mid": units_now * series.mid}
    live, by_name = (
        ledger.live(night.ticker, series, calendar, units),
        figures(night.ticker, series, assessment, model),
    )

    def published() -> list[Forecast]:
        counting = ledger.counting(night.ticker, calendar)
        return [
            entry.forecast
            for entry in entries_of(night.ticker, counting[counting["timing"] == "live"])
        ]

    if live.steps:
        # as in the night's text
        coverage = night.metrics.get("live/first_known_coverage_80", live.coverage_80)
        live = replace(live, coverage_80=coverage)
        by_name["ledger"] = lambda: diagnostics.ledger(
            night.ticker, published(), live, sessions, prices
        )
    if previous := _before(home, night):
        by_name["changes"] = lambda: changes(previous, night, sessions, prices)
    return by_name


def figures(
    ticker: str, series: PriceSeries, assessment: Assessment, model: TrainedModel
) -> "dict[str, Callable[[], Figure]]":
    """What draws each plot that the night has, by name; nothing is drawn yet."""
    price, sessions, evaluation = assessment.forecast.price, series.sessions, assessment.evaluation
    forecast_of = getattr(series, price)
    prices = to_newest_units(series) * forecast_of
    span = min(VOLATILITY_SESSIONS, evaluation.horizon)
    outlook = next((one for one in assessment.forecast.outlook if one.sessions == span), None)
    unseen, expected = assessment.unseen, assessment.volatility
    origins, paths = assessment.test_origins, assessment.paths[PUBLISHED]
    by_name: dict[str, Callable[[], Figure]] = {
        "forecast": lambda: forecast.forecast_fan(
            ticker, assessment.forecast, sessions, prices, stands_still=evaluation.stands_still
        ),
        "volatility": lambda: diagnostics.volatility(
            ticker, series, unseen, expected, outlook, span
        ),
        "leads": lambda: forecast.skill_by_lead(ticker, evaluation),
        "calibration": lambda: diagnostics.calibration(
            ticker, assessment.band_scores, evaluation.origins
        ),
        "residuals": lambda: diagnostics.residuals(
            ticker, sessions, forecast_of, series.close, origins, paths
        ),
        "averages": lambda: training.averages(ticker, sessions, prices, price, evaluation),
        "history": lambda: training.price_history(ticker, series, model.parts),
        "normalised": lambda: _normalised(ticker, series, model),
    }
    if model.history and model.settings.profile == "nightly":
        by_name["training"] = lambda: training.loss_curve(ticker, model.history, gain_of(model))
    elif sum(row["network"] == "held_out" for row in model.history) > 1:  # one epoch is no curve
        steps = model.settings.network.look_back  # its loss is their sum
        rows = [{**row, "loss": row["loss"] / steps} for row in model.history]
        by_name["training"] = lambda: training.training_curves(ticker, rows)
    by_epoch = [row["watched"] for row in model.history if row.get("watched")]
    if len(by_epoch) > 1:
        watched = every_nth(model.parts.test, evaluation.horizon)
        by_name["evolution"] = lambda: training.evolution(
            ticker, sessions, series.mid, watched, np.array(by_epoch)
        )
    return by_name


def gain_of(model: TrainedModel) -> str:
    """What the training gained on the validation part, in words."""
    gain = model.evidence.skill if model.evidence else 0.0
    return f"tonight's training gained {gain:+z.3%} of CRPS on the validation part"


def _normalised(ticker: str, series: PriceSeries, model: TrainedModel) -> "Figure":
    """The series as it is scaled: daily moves by their volatility; in the `tutorial` profile,
    prices by windows."""
    if model.settings.profile == "tutorial":
        network: Any = model.held_out
        end = int(np.searchsorted(series.sessions, network.learned_until, side="right"))
        scaled, next_part = (
            network.scale.prepared(series, end),
            "validation" if model.parts.validation else "test",
        )
        return tutorial.normalised_series(ticker, series.sessions, series.mid, scaled, next_part)
    return training.normalised(ticker, series)


def draw(by_name: Makers, names: Iterable[str], folder: Path) -> tuple[Path, ...]:
    """Write these figures as <name>.png where they are missing; returns the files drawn."""
    return style.save(
        {name: by_name[name] for name in names if not (folder / f"{name}.png").exists()}, folder
    )


def _before(home: HomePaths, night: Night) -> Night | None:
    """The newest kept night of an earlier session; reads one record when nights come in order."""
    last = newest(home.nights, night.ticker)
    if (
        last
        and last.session < night.session
        and (previous := kept_night(home.nights, night.ticker, last.key))
    ):
        return previous
    earlier = [
        other for other in kept_nights(home.nights, night.ticker) if other.session < night.session
    ]
    return earlier[-1] if earlier else None


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HISTORY_SHOWN = 40
ROWS = (
    ("skill, published", "published/skill", "{:+z.4f}"),
    ("network adds, CRPS", "answer/network_adds_crps_pct", "{:+z.2f}%"),
    ("training adds, CRPS", "answer/training_adds_crps_pct", "{:+z.2f}%"),
    ("network adds, path", "answer/network_adds_pct", "{:+z.2f}%"),
    ("CRPS skill, published", "answer/published_crps_skill_pct", "{:+z.2f}%"),
    ("volatility, 20 sessions", "answer/volatility_20_pct", "{:.1f}%"),
    ("skill, LSTM", "lstm/skill", "{:+z.4f}"),
    ("MSE, LSTM, range²", "lstm/mse", "{:.6f}"),
    ("MSE, last close, range²", "baselines/last_close_mse", "{:.6f}"),
    ("inside the 80% bands", "intervals/coverage_80", "{:.1%}"),
)
# an earlier version's were over the last mid price
OVER_THE_CLOSE = ("published/skill", "lstm/skill")
LIVE = "answer/live_beats_last_close_pct"
SAME = 0.005  # of the MSE: one session more and one fewer move it as much


def changes(
    previous: Night, latest: Night, sessions: Days, prices: Mapping[Price, Floats]
) -> "Figure":
    """Both forecasts over the last sessions, and the figures side by side. sessions, prices: (n,),
    through tonight."""
    subtitle = "; ".join(changed(previous, latest))
    figure, (axes, table) = canvas(
        _finding(previous, latest), subtitle, columns=2, width_ratios=(1.15, 1)
    )
    price: Price = latest.forecast.price if latest.forecast else "close"
    draw_price(axes, sessions[-HISTORY_SHOWN:], prices[price][-HISTORY_SHOWN:], TRUTH, 1.5)
    ends = []
    for night, colour, dashes in ((previous, MUTED, (0, (4, 1))), (latest, MODEL, "-")):
        if forecast := night.forecast:
            scale = scale_of(forecast, sessions, prices)
            fan(
                axes,
                forecast,
                colour,
                {80: 0.25},
                start=forecast.now,
                linewidth=2,
                scale=scale,
                linestyle=dashes,
            )
            ends.append((price_text(scale * forecast.path[-1]), scale * forecast.path[-1], colour))
    over_time(axes, f"{price_label(latest.ticker, price)}, 80% bands", ends)
    _figures(table, previous, latest, [text for text, _, _ in ends])
    return figure


def changed(previous: Night, latest: Night) -> list[str]:
    """What differs between the two nights' causes, in words: bars, settings, code."""
    restated = f", {latest.rows_restated} restated" if latest.rows_restated else ""
    names = sorted({*previous.settings, *latest.settings})
    pairs = [
        (name, *(_short(night.settings.get(name)) for night in (previous, latest)))
        for name in names
    ]
    settings = [f"{name} {old} → {new}" for name, old, new in pairs if old != new] or [
        "same settings"
    ]
    more = [quantity(len(settings) - 2, "more setting")] if len(settings) > 2 else []
    code = "same code" if previous.code_hash == latest.code_hash else "code changed"
    return [_new_bars(previous, latest) + restated, *settings[:2], *more, code]


def _new_bars(previous: Night, latest: Night) -> str:
    """How many bars tonight's answer added, or that the new sessions' bars came with an earlier
    answer."""
    new = latest.sessions - previous.sessions
    if latest.rows_added or new <= 0:
        return f"{quantity(latest.rows_added, 'bar')} added"
    bars = "its bar" if new == 1 else "their bars"
    return f"{quantity(new, 'new session')}, {bars} came with an earlier answer"


def _finding(previous: Night, latest: Night) -> str:
    """The title: expected volatility, or a path network's own MSE, as its skill may fall with the
    last close's."""
    last, now = (night.metrics.get("answer/volatility_20_pct") for night in (previous, latest))
    old, new = (night.metrics.get("lstm/mse") for night in (previous, latest))
    if old and new is not None:
        change = new / old - 1
        word = "as good as" if abs(change) < SAME else "better than" if change < 0 else "worse than"
        return (
            f"{latest.ticker}: tonight's model is {word} the one of {previous.session}, MSE "
            f"{change:+z.1%}"
        )
    if last is not None and now is not None:
        return (
            f"{latest.ticker}: {now:.1f}% volatility a year expected, after {last:.1f}% on "
            f"{previous.session}"
        )
    return f"{latest.ticker}: {latest.session} beside {previous.session}"


def _figures(axes: "Axes", previous: Night, latest: Night, ends: Sequence[str]) -> None:
    """Draw the table: a row per figure, last night and tonight.  ends: the forecasts' ends, in
    tonight's shares."""
    axes.axis("off")
    both, rows = (previous, latest), []
    for label, name, template in ROWS:
        values = [_figure(night, name) for night in both]
        if values != [None, None]:
            rows.append(
                (label, *("–" if value is None else template.format(value) for value in values))
            )
    if any(LIVE in night.metrics for night in both):
        rows.append(("live skill, independent", _live(previous), _live(latest)))
    if previous.forecast and latest.forecast:
        rows.append(("end of the forecast", *ends))
        chances = previous.forecast.probability_of_rise, latest.forecast.probability_of_rise
        shown = (
            "–" if night.stands_still else f"{each:.0%}"
            for night, each in zip(both, chances, strict=True)
        )
        rows.append(("chance of a rise", *shown))
    rows.append(("trained", previous.mode, latest.mode))
    rows.append(
        (
            "promoted",
            *("yes" if night.verdict and night.verdict.promoted else "no" for night in both),
        )
    )
    columns = ((0.0, "left", MUTED), (0.74, "right", MUTED), (1.0, "right", INK))
    head = ("", str(previous.session), str(latest.session))
    step = min(0.077, 0.93 / len(rows))  # share of the axes' height; many rows must fit
    for line, row in enumerate([head, *rows]):
        height = 0.97 - line * step
        for (x, side, colour), cell in zip(columns, row, strict=True):
            weight = "bold" if line == 0 else "normal"
            axes.text(
                x, height, cell, ha=side, va="center", color=colour, fontsize=10, fontweight=weight
            )
        axes.axhline(height - step / 2, color=GRID, linewidth=0.8)


def _figure(night: Night, name: str) -> float | None:
    if name in OVER_THE_CLOSE and "baselines/last_close_mse" not in night.metrics:
        return None
    return night.metrics.get(name)


def _live(night: Night) -> str:
    """The live skill, never without the number of forecasts behind it that share no session."""
    skill, independent = night.metrics.get(LIVE), night.metrics.get("live/independent")
    count = "" if independent is None else f" of {independent:.0f}"
    return "–" if skill is None else f"{skill:+z.1f}%{count}"


def _short(value: object) -> str:
    return " ".join(str(part) for part in value) if isinstance(value, list | tuple) else str(value)
