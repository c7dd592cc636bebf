"""Parsing and validation of `tickers.yaml`: what runs every night, when, and with which
settings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from stockml.errors import InvalidFile, InvalidSetting, refused_as
from stockml.prices.calendar import FINAL_AFTER_CLOSE, sessions_for
from stockml.settings import Profile, nested, night_settings, settings_for
from stockml.tickers import validated_ticker

TICKERS_FILE = Path(__file__).parents[1] / "tickers.yaml"
AFTER_FINAL = timedelta(minutes=15)
DIGEST_AT = time(7)
# minutes over which equal start times are spread; the price client spaces its requests itself
STAGGER_WINDOW = 40
_DST_ENDS = time(3, 0)
_A_WINTER_DAY = date(2026, 1, 14)


def start_time(text: Any) -> str:
    """Normalise a time to HH:MM. Raises ValueError for all else, and for times that clock changes
    skip or repeat."""
    try:
        start = time.fromisoformat(text)
        is_early = start < _DST_ENDS
    except (ValueError, TypeError) as error:  # TypeError: no text, or it has a UTC offset
        raise ValueError(f'expected a time as "23:00", found {text!r}') from error
    if is_early:
        raise ValueError(
            "expected a time outside 00:00 to 03:00, which clock changes skip or repeat, found "
            f"{text}"
        )
    return start.strftime("%H:%M")


def digest_time(environ: Mapping[str, str]) -> time:
    """The New York time to report missing forecasts at: STOCKML_DIGEST_AT, default 07:00. Raises
    InvalidSetting."""
    text = environ.get("STOCKML_DIGEST_AT")
    try:
        return time.fromisoformat(start_time(text)) if text else DIGEST_AT
    except ValueError as error:
        expected = (
            'a time such as "07:00" outside 00:00 to 03:00, which clock changes skip or repeat'
        )
        raise InvalidSetting("STOCKML_DIGEST_AT", text, expected) from error


def _valid_ticker(text: str) -> str:
    with refused_as(ValueError):
        return validated_ticker(text)


class TickerEntry(BaseModel):
    """One ticker with its options, the file's defaults filled in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ticker: Annotated[str, AfterValidator(_valid_ticker)]
    profile: Profile = "nightly"
    calendar: str | None = None
    at: Annotated[str, BeforeValidator(start_time)] | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    tags: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _settings_exist(self) -> "TickerEntry":
        with refused_as(ValueError):
            if other := next((name for name in self.settings if "." not in name), None):
                raise ValueError(
                    f"expected a setting as evaluation.direction_step, found {other!r}"
                )
            night_settings(settings_for(self.profile, self.settings))
        return self

    @model_validator(mode="after")
    def _starts_when_bars_are_final(self) -> "TickerEntry":
        # the usual start, on an exchange that is known: its calendar takes long
        if not (self.at or self.calendar):
            return self
        with refused_as(ValueError):
            close, final = _close_and_final(self)
        if self.at and close.time() <= time.fromisoformat(self.at) < final.time():
            raise ValueError(
                f"expected a start after {final:%H:%M}, when the day's bar is final, found "
                f"{self.at}"
            )
        return self

    def cron(self, minutes_later: int = 0) -> str:
        """The cron line: weekdays at the start time, or the mornings after if it is before the
        exchange's close.

        An evening start is put off till the day's bar is final, where that is after midnight, as in
        Frankfurt.
        """
        close, final = _close_and_final(self)
        start = datetime.combine(_A_WINTER_DAY, time.fromisoformat(self.at)) if self.at else close
        if close <= start < final:
            start = _default_start(final)
        evening = start.date() == _A_WINTER_DAY and start > close
        start += timedelta(minutes=minutes_later)
        if evening:  # stay before midnight, after which clocks change
            start = min(start, datetime.combine(_A_WINTER_DAY, time(23, 59)))
        return (
            f"{start.minute} {start.hour} * * "
            f"{'0-6' if self.calendar == '24/7' else '1-5' if evening else '2-6'}"
        )

    @property
    def timezone(self) -> str:
        return sessions_for(self.ticker, self.calendar).tz.key

    @property
    def opens(self) -> time:
        """When the exchange opens on a winter day, by its clocks."""
        return sessions_for(self.ticker, self.calendar).open_time(_A_WINTER_DAY).time()

    @property
    def own(self) -> dict[str, Any]:
        """The flow's parameters apart from the ticker, only those that differ from the form's
        defaults."""
        chosen = {
            "profile": self.profile,
            "calendar": self.calendar,
            "settings": nested(self.settings),
        }
        return {name: value for name, value in chosen.items() if value and value != "nightly"}

    def parameters(self) -> dict[str, Any]:
        return {"ticker": self.ticker, "profile": self.profile} | self.own


class TickersFile(BaseModel):
    """The list: `tickers:`, each an entry or only its ticker, and `defaults:` for what entries
    leave out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tickers: tuple[TickerEntry, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            raise ValueError("expected `tickers:` with a list")
        defaults = raw.get("defaults") or {}
        if not isinstance(defaults, Mapping):
            raise ValueError("expected `defaults:` with settings below it")
        listed = raw.get("tickers") or []
        if not isinstance(listed, list):
            raise ValueError(
                f"expected `tickers:` with one `- TICKER` a line below it, found {listed!r}"
            )
        entries = [_with_defaults(entry, defaults) for entry in listed]
        return {
            **{name: value for name, value in raw.items() if name != "defaults"},
            "tickers": entries,
        }


def read_tickers(path: Path = TICKERS_FILE) -> TickersFile:
    """Read and check the file. Raises InvalidFile, which names the entry and the rule."""
    try:
        return parsed(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        kinds = {FileNotFoundError: "no file", IsADirectoryError: "a folder"}
        found = kinds.get(type(error), f"one that cannot be read ({error.strerror})")
        raise InvalidFile(str(path), f"expected a list of tickers, found {found}") from error
    except UnicodeDecodeError as error:
        raise InvalidFile(
            str(path), "expected text in UTF-8, found other bytes; is it a list of tickers?"
        ) from error


def parsed(text: str, where: str) -> TickersFile:
    """Parse and check the list from YAML. Raises InvalidFile with `where`, the line and what was
    expected."""
    try:
        file = TickersFile.model_validate(YAML(typ="safe", pure=True).load(text))
    except ValidationError as error:
        problems = error.errors()  # report an empty list only if no other problem explains it
        shown = [each for each in problems if each["type"] != "too_short"] or problems
        faults = [f"line {_line(text, each['loc'])}: {_in_words(each)}" for each in shown[:3]]
        raise InvalidFile(where, "; ".join(faults)) from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InvalidFile(where, f"line {line}: expected YAML, found: {error.problem}") from error
    except (YAMLError, ValueError) as error:  # ValueError: it looks like a date, and is none
        raise InvalidFile(where, f"expected YAML, found: {' '.join(str(error).split())}") from error
    names = [entry.ticker for entry in file.tickers]
    for at, name in enumerate(names):
        if name in names[:at]:
            line = _line(text, ("tickers", at))
            raise InvalidFile(where, f"line {line}: expected every ticker once, found {name} again")
    return file


def _line(text: str, place: Sequence[str | int]) -> int:
    """The line of a value of this YAML, or of what it is missing from."""
    node, line = YAML().load(text), 0
    for part in place:
        if isinstance(node, CommentedMap) and part in node:
            line = node.lc.key(part)[0]
        elif isinstance(node, CommentedSeq):
            line = node.lc.item(part)[0]
        else:
            break
        node = node[part]
    return line + 1


def staggered(entries: tuple[TickerEntry, ...]) -> list[tuple[TickerEntry, str]]:
    """Pair each entry with its cron line; equal start times are spread over the minutes that
    follow."""
    seen, lines = Counter[tuple[str, str]](), []
    for entry in entries:
        start = (entry.timezone, entry.cron())
        lines.append((entry, entry.cron(seen[start] % STAGGER_WINDOW)))
        seen[start] += 1
    return lines


def _with_defaults(entry: Any, defaults: Mapping[str, Any]) -> Any:
    ticker = entry.get("ticker", "") if isinstance(entry, Mapping) else entry
    if not isinstance(ticker, str):  # YAML reads TRUE as a boolean, 0005 as a number
        raise ValueError(
            f"expected a ticker, found {ticker!r}; "
            'put one that YAML reads otherwise in quotes, as "TRUE"'
        )
    return {**defaults, **({"ticker": entry} if isinstance(entry, str) else entry)}


def _close_and_final(entry: TickerEntry) -> tuple[datetime, datetime]:
    """When the exchange closes on a winter day, and when its bar is final, by the exchange's
    clocks."""
    final = (
        sessions_for(entry.ticker, entry.calendar).final_time(_A_WINTER_DAY).replace(tzinfo=None)
    )
    return final - FINAL_AFTER_CLOSE, final


def _default_start(final: datetime) -> datetime:
    """15 minutes after bars are final, or 06:00 the next morning if the stagger could then pass
    midnight."""
    start, midnight = (
        final + AFTER_FINAL,
        datetime.combine(_A_WINTER_DAY + timedelta(days=1), time.min),
    )
    could_pass = start + timedelta(minutes=STAGGER_WINDOW) >= midnight
    return max(start, midnight + timedelta(hours=6)) if could_pass else start


def _in_words(problem: Any) -> str:
    where, name = (
        ".".join(str(part) for part in problem["loc"]),
        str(problem["loc"][-1]) if problem["loc"] else "",
    )
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        fields = TickerEntry.model_fields if len(problem["loc"]) > 1 else ("defaults", "tickers")
        message = f"expected one of {', '.join(sorted(fields))}, found {name!r}"
    if problem["type"] == "too_short":
        message = "expected at least one ticker, found none"
    return f"{where}: {message}" if where else message
