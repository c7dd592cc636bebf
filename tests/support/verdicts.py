"""One verdict a night, on every page."""

from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from stockml.home import Home
from stockml.models.registry import Registry
from stockml.nights import summary
from stockml.nights.record import Night


def check_every_page_says_the_same(home: Home, night: Night) -> None:
    """The record, the command line, its JSON, Prefect's state and artifact, MLflow's tags and note word one verdict;
    the alias names the champion of the promotion history, whose night says that it was promoted."""
    assert night.verdict
    word = "promoted" if night.verdict.promoted else "not promoted"
    told = f"{word.capitalize()}: {night.verdict.reason}."
    assert f"{word} {' '.join(night.verdict.reason.split())}" in " ".join(summary.text(night).split())
    assert summary.as_json(night)["promoted"] is night.verdict.promoted
    assert f"; {word}: {night.verdict.reason}" in summary.message(night)
    pages = artifacts(night)
    assert pages
    assert [page for page in pages if told not in page] == []
    client = MlflowClient(tracking_uri=home.tracking_uri, registry_uri=home.tracking_uri)
    tags = client.get_run(night.mlflow_run_id).data.tags
    assert (tags["verdict"], tags["verdict_reason"]) == (word, night.verdict.reason)
    assert told in tags["mlflow.note.content"]
    champion = Registry(home.models).champion(night.ticker)
    assert champion
    named = client.get_model_version_by_alias(f"lstm-{night.ticker}", "champion")
    assert client.get_run(named.run_id).data.tags["stockml.key"] == champion.key
    assert client.get_run(named.run_id).data.tags["verdict"] == "promoted"


def artifacts(night: Night) -> list[str]:
    """What Prefect shows of a night since it was made; more than one where it was run again."""
    key = ArtifactFilter(key=ArtifactFilterKey(any_=[f"night-{night.ticker.lower()}"]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=key)
    named = f"{night.ticker} {night.session}"
    since = [each for each in found if each.created and night.finished_at and each.created >= night.finished_at]
    return [str(each.data) for each in since if each.description == named]
