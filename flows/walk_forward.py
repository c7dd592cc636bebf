"""Replay past sessions night by night: what would each retraining policy have earned, and cost?"""

from typing import TYPE_CHECKING, Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.form import NO_CHANGES, CalendarName, Changes, TickerName, chosen
from stockml.settings import Mode, Profile
from stockml.tickers import as_key, validated_ticker
from tasks.backtest import replay_policy

if TYPE_CHECKING:
    from stockml.evaluation.backtest import PolicyScore


Nights = Annotated[int, Field(ge=1, le=2_500)]
Every = Annotated[int, Field(ge=1, le=250)]
Policies = Annotated[list[Mode], Field(min_length=1, max_length=4)]


@flow(name="walk forward", flow_run_name="walk forward {ticker}")
def walk_forward(
    ticker: TickerName = Field("IBM", description="A symbol whose bars are in the store"),
    nights: Nights = Field(60, description="Past sessions to replay, the newest with a known outcome (1 to 2,500)"),
    every: Every = Field(1, description="Replay every n-th session only (1 to 250)"),
    policies: Policies = Field(
        ["retrain", "fine-tune", "auto", "keep"], description="Policies to compare, each from a full training on"
    ),
    profile: Profile = Field("nightly", description="nightly, or the published tutorial recipe"),
    settings: Changes = Field(NO_CHANGES, description="What to change in the profile; empty fields keep its values"),
    calendar: CalendarName = Field("", description="Exchange calendar such as XNYS; empty goes by the suffix"),
) -> "list[PolicyScore]":
    """Replay the nights once a policy, and show skill and seconds side by side."""
    from stockml.evaluation.backtest import table

    ticker = validated_ticker(ticker)
    wanted = chosen(profile, "auto", settings, ticker=ticker)
    rows = [
        replay_policy(ticker, policy, wanted, nights=nights, every=every, calendar=calendar or None)
        for policy in dict.fromkeys(policies)
    ]
    text = "\n".join(table(rows))
    key = f"walk-forward-{as_key(ticker)}"
    create_markdown_artifact(text, key=key, description=f"{ticker}, {nights} nights")
    return rows
