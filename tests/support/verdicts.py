"""A check that every page opens with the same card and shows the same verdict of a night."""

from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import ArtifactSort

from stockml import clock
from stockml.home import HomePaths
from stockml.models.registry import Registry
from stockml.nights import summary
from stockml.nights.card import Card
from stockml.nights.key_figures import night_age
from stockml.nights.record import Night


def check_every_page_says_the_same(home: HomePaths, night: Night) -> None:
    """Check that record, command line, JSON, Prefect's state and artifact and MLflow's note and
    record agree.

    The alias names the history's champion, whose night says it was promoted.
    """
    assert night.verdict
    assert night.forecast
    word = "promoted" if night.verdict.promoted else "not promoted"
    told, card = (
        f"decision: {word}: {night.verdict.reason}",
        Card.of(night.ticker, night.forecast, night),
    )
    assert summary.text(night, details=True).startswith(card.text())
    assert summary.as_json(night)["promoted"] is night.verdict.promoted
    assert summary.message(night).startswith(card.headline)
    pages = artifacts(night)
    assert pages
    aged = Card.of(night.ticker, night.forecast, night, night_age(home.nights, night, clock.now()))
    lines = [line for line in aged.markdown().splitlines() if line.startswith(("|", "- "))]
    assert [
        page for page in pages if told not in page or not all(line in page for line in lines)
    ] == []
    client = MlflowClient(tracking_uri=home.tracking_uri, registry_uri=home.tracking_uri)
    tags = client.get_run(night.mlflow_run_id).data.tags
    assert tags["verdict_reason"] == night.verdict.reason
    assert told in tags["mlflow.note.content"]
    assert tags["mlflow.note.content"].startswith(card.markdown())
    record = track_record(client, night.ticker)
    if record["session"] == str(night.session):
        assert (record["verdict"], record["published"]) == (word, card.headline)
    champion = Registry(home.models).champion(night.ticker)
    assert champion
    named = client.get_model_version_by_alias(f"lstm-{night.ticker}", "champion")
    assert client.get_run(named.run_id).data.tags["stockml.key"] == champion.key
    assert client.get_run(named.run_id).data.params["promoted"] == "yes"


def track_record(client: MlflowClient, ticker: str) -> dict[str, str]:
    """The tags of the ticker's run in the experiment of all tickers."""
    overview = client.get_experiment_by_name("stockml")
    [run] = client.search_runs([overview.experiment_id], f"tags.ticker = '{ticker}'")
    return dict(run.data.tags)


def artifacts(night: Night) -> list[str]:
    """Prefect's artifacts of the night since it finished; several if it ran again."""
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(sort=ArtifactSort.CREATED_DESC, limit=200)
    named = f"{night.ticker} {night.session}"
    since = [
        each
        for each in found
        if each.created and night.finished_at and each.created >= night.finished_at
    ]
    return [str(each.data) for each in since if each.description == named]
