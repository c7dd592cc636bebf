"""The home that a command works in; and its arguments and options: every ticker, session, time and
setting is checked before it is used.

The home is chosen once before the command starts; the environment is restored afterwards. The rule:
STOCKML_HOME, else `~/.stockml`, is the market's from the first key or import on; until then, and
without a key, commands use the recorded prices in its folder `replay`.
"""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from typer import Argument, BadParameter, Option

from deployments.process import restored
from stockml.errors import InvalidFile, StoreError, refused_as
from stockml.home import LOOPBACK, HomePaths, current_home, make_private, user_root
from stockml.provider.price_source import is_named, kind_here, replay_home
from stockml.settings import Mode as TrainingMode
from stockml.settings import Profile, nested, settings_for, tutorial_settings
from stockml.storage.os_errors import check_home
from stockml.tickers import validated_ticker

SHOWN_ROWS = 10  # rows printed of a long list
YEARS = range(1700, 2200)  # what pandas can represent in nanoseconds, in every time zone


def as_ticker(text: str) -> str:
    with refused_as(BadParameter):
        return validated_ticker(text)


def as_folder(text: str) -> Path:
    if not (text and Path(text).is_dir()):  # an unset variable is not the folder one is in
        raise BadParameter(f"expected a folder, found {text[:200]!r}")
    return Path(text)


def as_session(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadParameter(f"expected a trading day as YYYY-MM-DD, found {text[:40]!r}") from error


def as_time(text: str) -> datetime:
    """Parse an aware time: UTC if no zone is given, the day's last second if only a day is. Raises
    BadParameter."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.year not in YEARS:
            raise ValueError(f"year {moment.year}")
    except ValueError as error:
        raise BadParameter(
            f"expected a time as 2026-11-20T22:45:00-05:00, found {text[:40]!r}"
        ) from error
    if len(text) <= len("2026-11-20"):
        moment = moment.replace(hour=23, minute=59, second=59)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def as_calendar(name: str) -> str:
    from stockml.prices.calendar import sessions_for

    with refused_as(BadParameter):
        sessions_for("", name)
    return name


def as_share(text: str) -> float:
    """`1%` as 0.01."""
    try:
        percent = float(text.removesuffix("%")) if text.endswith("%") else math.nan
    except ValueError:
        percent = math.nan
    if not 0 < percent <= 100:
        raise BadParameter(
            "expected a share of the capital above 0% and up to 100%, such as 1%, found "
            f"{text[:40]!r}"
        )
    return percent / 100


def as_settings(assignments: Sequence[str] | None) -> Mapping[str, Any] | None:
    """Parse `training.epochs=3 network.units=[8,8]` to `{"training": {"epochs": 3}, "network":
    {"units": [8, 8]}}`."""
    # bounds only: what a night refuses besides goes by its ticker's profile
    return nested(_by_name(assignments, partial(settings_for, "tutorial"))) or None


def as_tutorial_settings(assignments: Sequence[str] | None) -> dict[str, Any]:
    """Parse `network.cell=gru` to `{"network.cell": "gru"}`; refuse a setting that has no effect on
    the tutorial."""
    return _by_name(assignments, tutorial_settings)


def as_days(assignments: Sequence[str] | None) -> dict[str, int]:
    """Parse `model_days=30` to `{"model_days": 30}`."""
    from stockml.maintenance.retention import RetentionSettings

    return _by_name(
        assignments, lambda days: RetentionSettings().changed(**days), int, like="model_days=30"
    )


def _by_name(
    assignments: Sequence[str] | None,
    check: Callable[[dict[str, Any]], object],
    read: Callable[[str], Any] | None = None,
    like: str = "evaluation.direction_step=20",
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for assignment in assignments or ():
        name, equals, value = assignment.partition("=")
        if not (equals and all(name.strip().split("."))) or ("." in name) != ("." in like):
            raise BadParameter(f"expected a setting as {like}, found {assignment[:60]!r}")
        try:
            values[name.strip()] = (read or _value)(value)
        except (YAMLError, ValueError) as error:  # ValueError: it looks like a date, and is none
            raise BadParameter(
                f"expected a plain value for {name}, found {value[:40]!r}"
            ) from error
    with refused_as(BadParameter):
        check(values)
    return values


def _value(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def day(text: str, *names: str, metavar: str = "DATE") -> Any:
    return Option(*names, parser=as_session, metavar=metavar, help=text)


def folder(text: str) -> Any:
    return Option(parser=as_folder, metavar="FOLDER", help=text)


_TICKER = Argument(parser=as_ticker, metavar="TICKER", help="Such as IBM, BRK-B or TSCO.LON.")
Ticker = Annotated[str, _TICKER]
Tickers = Annotated[list[str] | None, _TICKER]
Session = Annotated[date | None, day("Trading day, YYYY-MM-DD; default: the newest.")]
Calendar = Annotated[
    str | None,
    Option(parser=as_calendar, metavar="NAME", help="Exchange calendar such as XNYS or XLON."),
]
Mode = Annotated[
    TrainingMode, Option(help="From the pretrained network, from the champion, or not at all.")
]
OwnProfile = Annotated[
    Profile | None, Option(help="A named set of model settings; default: the list's, else nightly.")
]
Settings = Annotated[
    list[str] | None,
    Option("--set", metavar="NAME=VALUE", help="Such as evaluation.direction_step=20; repeatable."),
]
Details = Annotated[bool, Option("--details", help="Show the scores too.")]
Json = Annotated[bool, Option("--json", help="Print one JSON object and nothing else.")]


SECRETS = (
    "TIINGO_API_KEY",
    "ALPHAVANTAGE_API_KEY",
    "PGPASSWORD",
    "PREFECT_SERVER_API_AUTH_STRING",
    "STOCKML_DATABASE_URL",
    "STOCKML_WEBHOOK_URL",
)
FOR_THE_MARKET = ("import", "restore")  # a recording needs no imported history
NO_PROXY = ("no_proxy", "NO_PROXY")  # if the two differ, the first wins


@contextmanager
def in_home(
    command: str = "", environ: MutableMapping[str, str] = os.environ
) -> Iterator[HomePaths]:
    """Yield the home that the environment names, with STOCKML_HOME set to it meanwhile. Raises
    InvalidFile.

    With no API key and no home in use, it is the replay's home, and the clock stands at the
    recording's end if it is not set. Secrets are also read from the files named by NAME_FILE
    variables. Proxies are bypassed for this machine's own servers. The home's folder is closed to
    other users.
    """
    with restored(environ, ("STOCKML_HOME", "STOCKML_STORE", "STOCKML_CLOCK", *SECRETS, *NO_PROXY)):
        # no_proxy alone would hide the system's
        if any(name.lower().endswith("_proxy") for name in environ):
            environ.update(dict.fromkeys(NO_PROXY, _unproxied(environ)))
        environ.update(
            {
                name: _content(environ[f"{name}_FILE"])
                for name in SECRETS
                if environ.get(f"{name}_FILE")
            }
        )
        home = _choose_home(command, environ)
        make_private(home)
        try:
            yield home
        finally:
            make_private(home)  # it may be a home only now


def _choose_home(command: str, environ: MutableMapping[str, str]) -> HomePaths:
    home = current_home(environ)
    user_root()  # which Prefect's settings need too, wherever the home is
    environ["STOCKML_HOME"] = str(home.root)
    # which reports them among its checks
    with suppress(*([StoreError] if command == "doctor" else [])):
        check_home(home, restoring=command == "restore")
        if (
            command not in FOR_THE_MARKET
            and kind_here(home, environ) == "replay"
            and not is_named(environ)
        ):
            from stockml.clock import END_OF_RECORDING

            home = replay_home(environ)
            clock = environ.get("STOCKML_CLOCK") or END_OF_RECORDING.isoformat()
            environ.update(STOCKML_CLOCK=clock, STOCKML_HOME=str(home.root))
            check_home(home)
    return home


def json_text(plain: Mapping[str, Any], default: Callable[[Any], Any] | None = None) -> str:
    """One JSON object that also names the home and its kind of prices."""
    home = current_home()
    try:
        prices: str | None = kind_here(home, os.environ)
    except StoreError:  # `stockml doctor` reports it
        prices = None
    return json.dumps(
        {**plain, "home": {"folder": str(home.root), "prices": prices}}, default=default
    )


def _unproxied(environ: Mapping[str, str]) -> str:
    bypassed = next(filter(None, map(environ.get, NO_PROXY)), "")
    hosts = [host.strip() for host in bypassed.split(",") if host.strip()]
    return bypassed if hosts == ["*"] else ",".join(dict.fromkeys([*hosts, *LOOPBACK]))


def _content(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "no text"
        raise InvalidFile(
            file, f"expected a file with a secret, found that it cannot be read ({why})"
        ) from error
