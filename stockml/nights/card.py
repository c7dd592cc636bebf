"""The few lines that every page opens with: a share's close and range, and what its forecast is
worth."""

import textwrap
from dataclasses import dataclass
from datetime import date

import numpy as np

from stockml.errors import quantity
from stockml.evaluation.outlook_scores import FALL, MIN_ORIGINS
from stockml.forecasts.forecast import SUPERSEDED, Age, Forecast, price_text
from stockml.forecasts.outlook import MOVES, Outlook, Touch, chance_of_fall
from stockml.models.regressions import LEVELS
from stockml.nights.record import Night
from stockml.redaction import escape_markdown, one_line

LEADS = (1, 5, 20, 50)
SPAN = 20  # sessions that the headline and the chances are about
ONE_IN_TWENTY = int(np.argmin(np.abs(LEVELS - 0.05)))
HELPS = {
    True: "Yes, beyond luck.",
    False: "No: a simple regression does better, beyond luck.",
    None: "It cannot be told from luck.",
}


@dataclass(frozen=True)
class Chance:
    """usual: how often it happened to this share, where the forecast's own chance scored no
    better."""

    value: float
    usual: bool = False

    @property
    def short(self) -> str:
        return "<1%" if 0 < self.value < 0.005 else f"{self.value:.0%}"

    def __str__(self) -> str:
        return self.short + (
            " (its past frequency: the forecast's own chance was no better)" if self.usual else ""
        )


@dataclass(frozen=True)
class Range:
    """What holds 80 % of the prices of `session`, `lead` sessions ahead."""

    lead: int
    session: date
    low: float
    high: float


@dataclass(frozen=True)
class Card:
    """One share's forecast in a person's terms; shares and changes are fractions of the close.

    state: what went wrong since; empty if last night worked.  age: None on pages that stay as they
    are. change: of the close on its day.  outlook: of SPAN sessions.  loss: what the next session
    loses in one case of twenty.  fall: of a price over 5 % lower after SPAN sessions.  touches: of
    trading so much lower at some time within them.  helps: whether the network does, beyond luck.
    leaks: whether the model is the tutorial's, which saw what it is scored on.
    """

    ticker: str
    origin: date
    close: float
    price: str
    ranges: tuple[Range, ...]
    loss: float
    fall: Chance | None = None
    touches: tuple[Touch, ...] = ()
    outlook: Outlook | None = None
    change: float | None = None
    helps: bool | None = None
    leaks: bool = False
    age: Age | None = None
    state: str = ""

    @classmethod
    def of(
        cls,
        ticker: str,
        forecast: Forecast,
        night: Night | None,
        age: Age | None = None,
        state: str = "",
    ) -> "Card":
        """night: the forecast's, if its record is still there."""
        quantiles, band = forecast.quantiles(), forecast.band(80)
        change = night.metrics.get("answer/day_change_pct") if night else None
        fall = None
        if len(quantiles) >= SPAN:
            fall = chance_of(
                FALL, SPAN, float(chance_of_fall(quantiles[SPAN - 1], MOVES[0])), night
            )
        return cls(
            ticker=ticker,
            origin=forecast.origin,
            close=forecast.now,
            price="close" if forecast.price == "close" else "mid price",
            ranges=tuple(
                Range(lead, forecast.sessions[lead - 1], band.low[lead - 1], band.high[lead - 1])
                for lead in LEADS
                if lead <= len(quantiles)
            ),
            loss=1 - float(np.exp(quantiles[0, ONE_IN_TWENTY])),
            fall=fall,
            touches=forecast.touches,
            outlook=next((each for each in forecast.outlook if each.sessions == SPAN), None),
            change=None if change is None else change / 100,
            helps=night.network_helps if night else None,
            leaks=night is not None and night.settings.get("profile") == "tutorial",
            age=age,
            state=state,
        )

    @property
    def headline(self) -> str:
        """One line, for a list of runs; of an expired forecast the close alone."""
        if self.age and self.age.expired:
            return f"closed at {price_text(self.close)} on {self.origin}"
        within = [each for each in self.ranges if each.lead <= SPAN][-1]
        return (
            f"closed at {price_text(self.close)}; 80% of {self.price}s in "
            f"{quantity(within.lead, 'session')} between {price_text(within.low)} and "
            f"{price_text(within.high)}"
            + (f", {self.outlook.mood}" if self.outlook and self.outlook.mood else "")
        )

    def text(self) -> str:
        """For the terminal, at most 80 columns."""
        first, state, *sentences = self._sentences()
        table = [
            f"  {low:>10} to {high:<10} {change:<18} {lead}"
            for low, high, change, lead in self._rows()
        ]
        heading = [f"With a chance of 80%, its {self.price} will be between"] if table else []
        parts = [textwrap.fill(each, 80, subsequent_indent="  ") for each in sentences]
        return "\n".join(
            [textwrap.fill(first, 80), textwrap.shorten(state, 80), *heading, *table, *parts]
        )

    def markdown(self) -> str:
        """For a page: the same lines, the ranges as a table."""
        first, state, *sentences = map(escape_markdown, self._sentences())
        rows = [f"| {' | '.join(row)} |" for row in self._rows()]
        heading = [f"| 80% of {self.price}s from | to | change | |", "|--:|--:|---|---|"]
        table = "\n".join([*heading, *rows]).replace("|  ", "| ") if rows else ""
        parts = [f"**{first}** {state}", table, "\n".join(f"- {each}" for each in sentences)]
        return "\n\n".join(filter(None, parts))

    def _rows(self) -> list[tuple[str, str, str, str]]:
        if self.age and self.age.expired:
            return []
        return [
            (
                price_text(each.low),
                price_text(each.high),
                f"({each.low / self.close - 1:+.1%} to {each.high / self.close - 1:+.1%})",
                f"after {quantity(each.lead, 'session')}, {_day(each.session, '%a', '%b')}",
            )
            for each in self.ranges
        ]

    def _sentences(self) -> list[str]:
        """The close and its age; last night; without an expired forecast's figures, the rest."""
        age = self.age
        change = "" if self.change is None else f" ({self.change:+z.1%})"
        when = (
            ""
            if age is None
            else f", {quantity(age.sessions, 'session')} ago"
            if age.sessions
            else ", the newest close"
        )
        opening = (
            f"{self.ticker} closed at {price_text(self.close)}{change} on "
            f"{_day(self.origin, '%A', '%B')}{when}."
        )
        state = f"Last night: {one_line(self.state)}." if self.state else "Last night worked."
        if age and age.expired:
            return [opening, state, f"No figures: {self._expired}."]
        sentences = [f"(Superseded: {SUPERSEDED}.)"] if age and age.superseded else []
        sentences.append(self._calm_or_wild())
        loss = price_text(self.loss * self.close)
        sentences.append(f"One session in twenty loses more than {self.loss:.1%}, {loss} a share.")
        if self.fall:
            sentences.append(
                f"Chance of a {self.price} over {MOVES[0]:.0%} lower after {SPAN} sessions: "
                f"{self.fall}."
            )
        sentences += self._touched()
        if self.leaks:
            sentences.append(
                "By the published tutorial's recipe, which leaks: not a model to trade by."
            )
        return [opening, state, *sentences, f"Does the network help here? {HELPS[self.helps]}"]

    def _calm_or_wild(self) -> str:
        if self.outlook is None or self.outlook.percentile is None:
            return "Its history is too short to call that calm or wild."
        lower = min(max(round(self.outlook.percentile), 1), 99)
        share, others = (lower, "calmer") if lower > 50 else (100 - lower, "wilder")
        mood = self.outlook.mood.replace("usual", "as usual")
        return f"For {self.ticker} that is {mood}: {share}% of its past forecasts were {others}."

    def _touched(self) -> list[str]:
        """The chances, and what they were worth in the past."""
        if not self.touches:
            return []
        chances = [
            f"-{each.fall:.0%}: {Chance(each.shown, usual=each.is_usual)}" for each in self.touches
        ]
        sentences = [
            f"Chance of touching, within {self.touches[0].sessions} sessions, {'; '.join(chances)}."
        ]
        first = self.touches[0]
        if first.skill is not None and first.skill > 0:
            tests = quantity(first.origins, "past test")
            better = f"{first.skill:.1%} better than this share's own frequency"
            sentences.append(f"In {tests} the chance of -{first.fall:.0%} was {better}.")
        return sentences

    @property
    def _expired(self) -> str:
        assert self.age
        return (
            f"the forecast has expired, {quantity(self.age.sessions, 'session')} old (limit "
            f"{self.age.expires_after})"
        )


def chance_of(what: str, sessions: int, chance: float, night: Night | None) -> Chance:
    """The forecast's `chance`, or the share's frequency on the test part where the forecast scored
    no better.

    what: as in `OutlookScore`. A frequency that rests on few cases is none.
    """
    origins = night.evaluation.origins if night and night.evaluation else 0
    for past in night.outlook_scores if night else ():
        is_known = MIN_ORIGINS <= past.came_true * origins <= origins - MIN_ORIGINS
        if (
            (past.what, past.sessions) == (what, sessions)
            and is_known
            and past.score >= past.constant
        ):
            return Chance(past.came_true, usual=True)
    return Chance(chance)


def _day(day: date, weekday: str, month: str) -> str:
    return f"{day:{weekday}} {day.day} {day:{month} %Y}"
