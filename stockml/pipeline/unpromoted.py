"""A night that was killed after its record said "promoted" and before it was: the next one makes it true.

Apart from `promote`, so that a change of what reads nights runs no step again.
"""

from stockml import clock
from stockml.home import Home
from stockml.models.registry import Registry
from stockml.nights.glance import newest
from stockml.nights.record import kept_night, night_path
from stockml.pipeline.promote import promote
from stockml.storage.objects import sha256_of
from stockml.storage.receipts import ModelReceipt, RunReceipt


def promote_left_over(home: Home, ticker: str) -> None:
    """Promote the newest night's model if its record says so and the night was killed before it happened."""
    left = newest(home.nights, ticker)
    if not (left and left.promoted) or any(line.key == left.key for line in Registry(home.models).history(ticker)):
        return
    night = kept_night(home.nights, ticker, left.key)
    if not (night and night.verdict and night.model_folder):
        return
    content = sha256_of(night.model_folder)
    if content is None or content != night.model_sha256:
        return
    model = ModelReceipt(ticker, night.model_folder, content, night.session, night.mode, night.reason)
    record = str(night_path(home.nights, ticker, night.key))
    run = RunReceipt(ticker, record, "", night.key, night.mlflow_run_id, night.model_version)
    promote(home, model, run, night.verdict, at=clock.now())
