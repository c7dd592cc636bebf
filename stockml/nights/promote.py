"""The promote step: the verdict goes into the promotion history.

No champion of a later session is displaced, no rollback undone: `final_verdict` checks this before
the night's record is written, so that every page shows the same, and `promote` again. If killed in
between: `night_log.promote_pending`.
"""

from dataclasses import replace
from datetime import date, datetime

from stockml.evaluation.promotion_gate import Verdict
from stockml.home import HomePaths
from stockml.models.registry import Promotion, Registry
from stockml.storage.files import sha256_of
from stockml.storage.receipts import ModelReceipt, PromotionReceipt


def final_verdict(
    home: HomePaths, ticker: str, session: date, key: str, verdict: Verdict
) -> Verdict:
    """The gate's verdict, or "not promoted" where a later session has a champion, or the night's
    was replaced since."""
    registry = Registry(home.models)
    champion = registry.champion(ticker)
    if not verdict.promoted or champion is None or champion.key == key:
        return verdict
    if champion.session > session:
        reason = f"a past night: today's model, of {champion.session}, is unchanged"
    elif any(line.key == key for line in registry.history(ticker)):
        reason = f"it was before; the champion since then, {champion.session}'s, stays"
    else:
        return verdict
    return replace(verdict, promoted=False, reason=reason)


def promote(
    home: HomePaths,
    model: ModelReceipt,
    key: str,
    version: str | None,
    verdict: Verdict,
    *,
    at: datetime,
) -> PromotionReceipt:
    """Write the verdict into the promotion history, once per the night's key.  version: the model's
    in MLflow.

    The receipt says whether the model is champion afterwards, which it is not when a rollback took
    it out before.
    """
    registry = Registry(home.models)
    verdict = final_verdict(home, model.ticker, model.session, key, verdict)
    if verdict.promoted:
        line = (key, model.path, model.sha256, version, model.session, verdict.reason, at)
        registry.promote(Promotion(model.ticker, "promote", *line))
    history = str(registry.file(model.ticker))
    return PromotionReceipt(
        model.ticker, history, sha256_of(history) or "", verdict.promoted, verdict.reason
    )
