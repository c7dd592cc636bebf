"""`stockml deploy` of a hundred tickers with its own Prefect server: first into an empty database,
then again."""

from collections.abc import Iterator

from deployments.replay.feed import Feed
from tests.bench.measuring import Measured, Scene
from tests.bench.processes import stockml

TICKERS = 100
REMARK = f"{TICKERS} tickers and the other flows; the server's start included"


def deployments(scene: Scene) -> Iterator[Measured]:
    """Deploy twice; the second run has nothing to do."""
    place, listed = scene.folder / "deployments", scene.folder / "tickers.yaml"
    listed.write_text("tickers: [" + ", ".join(f"N{at:02d}" for at in range(TICKERS)) + "]\n")
    with Feed() as feed:
        for figure, done in (("deployments", "created"), ("deployments again", "unchanged")):
            ended = stockml(place, feed, "deploy", "--file", str(listed), "--json")
            assert len(ended.answer()[done]) > TICKERS
            peaks = ended.largest_bytes, ended.together_bytes
            yield Measured(
                figure, (ended.seconds,), peaks[0], together_bytes=peaks[1], remark=REMARK
            )
