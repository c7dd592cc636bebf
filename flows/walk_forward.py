"""Replay past sessions night by night: what would each retraining policy have earned, and cost?"""

from typing import TYPE_CHECKING

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger
from pydantic import Field

from flows.form import SettingsForm, chosen
from stockml.config import Mode, Profile
from stockml.home import validated_ticker
from tasks.replay import replay_policy

if TYPE_CHECKING:
    from stockml.walk_forward import Walked


@flow(name="walk forward", flow_run_name="walk forward {ticker}")
def walk_forward(
    ticker: str = Field("IBM", description="A symbol whose bars are in the store"),
    nights: int = Field(60, ge=1, le=2_500, description="Past sessions to replay, the newest with a known outcome"),
    every: int = Field(1, ge=1, le=250, description="Sessions between two of them"),
    policies: list[Mode] = Field(
        ["retrain", "fine-tune", "auto", "keep"], description="Policies to compare, each from a full training on"
    ),
    profile: Profile = Field("nightly", description="nightly, or the published tutorial recipe"),
    settings: SettingsForm | None = Field(None, description="What to change in the profile; empty keeps its values"),
    calendar: str | None = Field(None, description="Exchange calendar such as XNYS; empty goes by the suffix"),
) -> "list[Walked]":
    """Replay the nights once a policy, and show skill and seconds side by side."""
    from stockml.walk_forward import table

    ticker = validated_ticker(ticker)
    wanted = chosen(profile, "auto", settings, ticker=ticker)
    rows = [replay_policy(ticker, policy, wanted, nights=nights, every=every, calendar=calendar) for policy in policies]
    text = "\n".join(table(rows))
    key = f"walk-forward-{ticker.lower().replace('.', '-')}"
    create_markdown_artifact(text, key=key, description=f"{ticker}, {nights} nights")
    get_run_logger().info("\n%s", text)
    return rows
