"""Search a ticker's settings on its validation part; its nights then use what was found."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from prefect import flow
from prefect.logging import get_run_logger
from pydantic import Field

from flows.form import NO_CHANGES, CalendarName, Changes, TickerName, chosen
from stockml.home import home
from stockml.storage.sharing import commit_common, refresh
from stockml.tickers import validated_ticker
from tasks.learning import show_tuned, tune_settings

if TYPE_CHECKING:
    from stockml.training.tuning import TuningResult

Trials = Annotated[int, Field(ge=1, le=10_000)]


@flow(name="tune", flow_run_name="tune {ticker}")
def tune(
    ticker: TickerName = Field("IBM", description="A symbol whose bars are in the store"),
    trials: Trials = Field(
        30, description="How many the search has in all (1 to 10,000); run again, it goes on from those it has"
    ),
    sampler: Literal["tpe", "random", "grid"] = Field(
        "tpe",
        description="How the next settings are chosen: from what earlier trials showed, at random, or all in turn",
    ),
    space: dict[str, list[Any]] = Field(
        {}, description='Values to try, by setting, such as {"network.units": [[16], [32]]}; empty tries the usual ones'
    ),
    calendar: CalendarName = Field("", description="Exchange calendar such as XNYS; empty goes by the suffix"),
    settings: Changes = Field(
        NO_CHANGES, description="What all trials have in common; empty fields keep the profile's values"
    ),
) -> "TuningResult":
    """Try settings, judge each on the validation part, and write the best as the ticker's settings file."""
    ticker, base = validated_ticker(ticker), chosen("tutorial", "auto", settings)
    refresh(home(), [ticker])
    tuned = tune_settings(ticker, base, trials=trials, sampler=sampler, space=space, calendar=calendar or None)
    commit_common(home())
    show_tuned(tuned)
    get_run_logger().info("validation loss %.5f, settings in %s", tuned.loss, tuned.path)
    return tuned
