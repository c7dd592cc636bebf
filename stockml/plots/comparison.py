"""Last night against tonight: what changed, and its effect."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from stockml.errors import quantity
from stockml.forecasts.forecast import Price, price_text
from stockml.nights.record import Night
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
from stockml.storage.arrays import Days, Floats

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


def nights(
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
