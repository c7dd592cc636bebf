"""The promote step: the verdict goes into the promotion history.

A champion of a later session is never displaced: `as_it_stands` checks this before the night's record is written, so
that every page shows the same verdict, and `promote` checks it again. If a night is killed between the two, the next
one promotes it.
"""

from dataclasses import replace
from datetime import date, datetime

from stockml import clock
from stockml.evaluation.promotion_gate import Verdict
from stockml.home import Home
from stockml.models.registry import Promotion, Registry
from stockml.nights.glance import newest
from stockml.nights.record import kept_night, night_path
from stockml.storage.objects import sha256_of
from stockml.storage.receipts import ModelReceipt, PromotionReceipt, RunReceipt


def as_it_stands(home: Home, ticker: str, session: date, verdict: Verdict) -> Verdict:
    """The gate's verdict, or "not promoted" where it promotes but a later session's champion is in office."""
    champion = Registry(home.models).champion(ticker)
    if not verdict.promoted or champion is None or champion.session <= session:
        return verdict
    reason = f"a later session's champion stays, {champion.session}'s; the gate said: {verdict.reason}"
    return replace(verdict, promoted=False, reason=reason)


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


def promote(home: Home, model: ModelReceipt, run: RunReceipt, verdict: Verdict, *, at: datetime) -> PromotionReceipt:
    """Write the verdict into the promotion history, once per key.

    The receipt tells whether the model is champion afterwards: a night that is run again after a rollback, or after
    another night of its session was promoted, changes nothing, and its model is not called champion.
    """
    registry = Registry(home.models)
    verdict = as_it_stands(home, model.ticker, model.session, verdict)
    if verdict.promoted:
        promotion = Promotion(
            ticker=model.ticker,
            event="promote",
            key=run.key,
            path=model.path,
            sha256=model.sha256,
            version=run.model_version,
            session=model.session,
            reason=verdict.reason,
            at=at,
        )
        champion = promotion if registry.promote(promotion) else registry.champion(model.ticker)
        if champion is None or champion.key != run.key:
            verdict = Verdict(False, "promoted before; another champion was put in office since, and stays", {})
    history = str(registry.file(model.ticker))
    sha256 = sha256_of(history) or ""
    return PromotionReceipt(model.ticker, history, sha256, verdict.promoted, verdict.reason)
