"""A night's key facts, all that pages need: the verdict, what is published, what the network adds
to it.

Kept beside a ticker's nights as `newest.json`, so that a hundred tickers are shown without reading
their records.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

from stockml.evaluation.path_scores import LAST_CLOSE, PUBLISHED
from stockml.forecasts.forecast import Age, age_of
from stockml.forecasts.ledger_scores import first_known
from stockml.home import HomePaths
from stockml.nights.card import SPAN, Card
from stockml.nights.record import Night, kept_nights
from stockml.prices.calendar import sessions_for
from stockml.prices.store import BarStore
from stockml.storage.files import write_atomically
from stockml.storage.os_errors import unreadable
from stockml.storage.receipts import read_record, record, sealed, unsealed, written_record

NEWEST_FILE = "newest.json"
WIDTH = "answer/width_against_usual_pct"

GainAndP = tuple[float | None, float | None]  # what the network adds, and its p-value


@record
@dataclass(frozen=True)
class KeyFigures:
    """One completed night. Skills, gains and coverages are fractions (0.01 is one percent); None
    where unknown.

    network_adds: CRPS skill of the network that would publish, over the ridge regression; …_p: its
    p-value. training_adds: of tonight's trained network, published or not, over the pretrained one.
    path_adds: where the published network forecasts a path, how much of that path's skill is lost
    without it. published_skill: of the published path, over the last close.  crps_skill: of the
    published distribution, over the regression's.  width_against_usual: 1 is as wide as ten years
    of this share's moves.  live_…: of forecasts published in time; live_independent: how many of
    them share no session.  close, low, high: prices; the range holds 80 % in 20 sessions.  mood: as
    an outlook has it; mood_before: on the session before.
    """

    ticker: str
    session: date
    key: str
    finished_at: datetime
    headline: str
    close: float | None
    low: float | None
    high: float | None
    mood: str
    promoted: bool | None
    verdict: str
    publisher: str
    expires_after: int
    calendar: str | None = None
    published_skill: float | None = None
    network_adds: float | None = None
    network_adds_p: float | None = None
    path_adds: float | None = None
    path_adds_p: float | None = None
    crps_skill: float | None = None
    coverage_80: float | None = None
    live_skill: float | None = None
    live_coverage_80: float | None = None
    live_independent: int | None = None
    width_against_usual: float | None = None
    training_adds: float | None = None
    network_helps: bool | None = None
    day_change: float | None = None
    mood_before: str = ""

    @classmethod
    def of(cls, night: Night) -> "KeyFigures":
        """A completed night's figures; None where not measured."""
        path, figures, path_adds, adds = (
            night.score(PUBLISHED),
            night.metrics,
            night.path_adds,
            night.network_adds,
        )
        over_regression, training = night.over_regression, night.training_adds
        card = Card.of(night.ticker, night.forecast, night) if night.forecast else None
        span = next((each for each in card.ranges if each.lead == SPAN), None) if card else None
        is_over_close = night.score(LAST_CLOSE) is not None  # first versions: mid price
        fractions = {
            name: percent / 100 for name, percent in figures.items() if name.endswith("_pct")
        }
        return cls(
            ticker=night.ticker,
            session=night.session,
            key=night.key,
            finished_at=night.finished_at,
            headline=card.headline if card else "",
            close=card.close if card else None,
            low=span.low if span else None,
            high=span.high if span else None,
            mood=card.outlook.mood if card and card.outlook else "",
            promoted=night.verdict.promoted if night.verdict else None,
            verdict=night.verdict.reason if night.verdict else "",
            publisher=night.publisher,
            expires_after=night.expires_after,
            calendar=night.calendar,
            published_skill=path.skill if path and is_over_close else None,
            network_adds=adds.skill if adds else None,
            network_adds_p=adds.p_value if adds else None,
            path_adds=path_adds.skill_difference if path_adds else None,
            path_adds_p=path_adds.p_value if path_adds else None,
            crps_skill=over_regression.skill if over_regression else None,
            coverage_80=fractions.get("answer/coverage_80_pct"),
            live_skill=first_known(figures, "skill") if is_over_close else None,
            live_coverage_80=first_known(figures, "coverage_80"),
            live_independent=int(figures["live/independent"])
            if "live/independent" in figures
            else None,
            width_against_usual=fractions.get(WIDTH),
            training_adds=training.skill if training else None,
            network_helps=night.network_helps,
            day_change=card.change if card else None,
        )

    @property
    def gains(self) -> tuple[GainAndP, GainAndP]:
        """What the network adds to the distribution, and to the path."""
        return (self.network_adds, self.network_adds_p), (self.path_adds, self.path_adds_p)

    @property
    def news(self) -> list[str]:
        """What is new since the session before but for the close, in a few words each."""
        was = (
            [f"was {self.mood_before}"]
            if self.mood_before and self.mood_before != self.mood
            else []
        )
        return [*was, *(["new model"] if self.promoted else [])]

    @property
    def changes(self) -> str:
        """What is new since the session before, in a few words."""
        return ", ".join(
            [*([] if self.day_change is None else [f"{self.day_change:+z.1%}"]), *self.news]
        )

    def metrics(self) -> dict[str, float]:
        """The track record's known figures under MLflow's names: in percent, one count, and
        promoted as 1 or 0.

        Without the test part's figures where it has too few origins: a lucky one would top every
        chart.
        """
        of_test_part = {
            "skill": self.published_skill,
            "crps_skill": self.crps_skill,
            "network_adds": self.network_adds,
            "training_adds": self.training_adds,
            "band80": self.coverage_80,
        }
        fractions = ({} if is_untested(*self.gains) else of_test_part) | {
            "live_skill": self.live_skill,
            "live_band80": self.live_coverage_80,
            "width": self.width_against_usual,
        }
        metrics = {
            name: round(100 * value, 3) for name, value in fractions.items() if value is not None
        }
        if self.live_independent is not None:
            metrics["live_count"] = float(self.live_independent)
        return metrics if self.promoted is None else {**metrics, "promoted": float(self.promoted)}


def is_untested(*gains: GainAndP) -> bool:
    """Whether gains were measured, but on too few origins to test; so were the skills, on the same
    origins."""
    measured = [p for gain, p in gains if gain is not None]
    return bool(measured) and not any(p is not None for p in measured)


def keep_newest(nights: Path, night: Night) -> None:
    """Write the night's key figures beside the ticker's nights, unless those of a later night are
    there."""
    before, figures = newest(nights, night.ticker), KeyFigures.of(night)
    if before is None or (before.session, before.finished_at) <= (
        figures.session,
        figures.finished_at,
    ):
        if before:
            same = before.session == figures.session
            figures = replace(figures, mood_before=before.mood_before if same else before.mood)
        write_atomically(nights / night.ticker / NEWEST_FILE, sealed(written_record(figures)))


def newest(nights: Path, ticker: str) -> KeyFigures | None:
    """The ticker's newest completed night; None before its first.  Raises RecordUnreadable where it
    may not be read."""
    path = nights / ticker / NEWEST_FILE
    try:
        figures = read_record(KeyFigures, unsealed(path.read_bytes()))
    except (
        PermissionError
    ) as error:  # the records beside it are then closed too, and would seem not to be there
        raise unreadable(path, error) from error
    except (OSError, ValueError):  # earlier versions kept none, or in another form
        figures = None
    if figures and figures.ticker == ticker:
        return figures
    return next(reversed(history(nights, ticker)), None)  # the records hold it all


def calendar_of(figures: KeyFigures | None, override: str | None) -> str | None:
    """The ticker's calendar: `override`, else its newest night's; None: the one of its suffix."""
    return override or (figures.calendar if figures else None)


def store_of(home: HomePaths, ticker: str, override: str | None = None) -> BarStore:
    """The store, with the ticker's calendar."""
    return BarStore.of(home, calendar_of(newest(home.nights, ticker), override))


def history(nights: Path, ticker: str) -> list[KeyFigures]:
    """Each session's last finished night, oldest first; unreadable records are left out."""
    last = {night.session: night for night in kept_nights(nights, ticker)}
    return [KeyFigures.of(night) for night in last.values()]


def night_age(nights: Path, night: Night, now: datetime) -> Age | None:
    """The age of the night's forecast, if it has one; and whether it is still its session's."""
    if night.forecast is None:
        return None
    age = age_of(
        night.session, sessions_for(night.ticker, night.calendar), now, night.expires_after
    )
    last = newest(nights, night.ticker)
    return replace(
        age, superseded=last is not None and last.session == night.session and last.key != night.key
    )
