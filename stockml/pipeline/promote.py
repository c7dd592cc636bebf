"""The promote step: the verdict goes into the promotion history."""

from datetime import datetime

from stockml.home import Home
from stockml.models.registry import Promotion, Registry
from stockml.storage.files import sha256_of
from stockml.storage.receipts import ModelReceipt, PromotionReceipt, RunReceipt


def promote(
    home: Home, model: ModelReceipt, run: RunReceipt, *, promoted: bool, reason: str, at: datetime
) -> PromotionReceipt:
    """Write the verdict into the promotion history, once a key; a champion of a later session is never displaced."""
    registry = Registry(home.models)
    champion = registry.champion(model.ticker)
    displaced = champion is not None and champion.session > model.session
    if promoted and not displaced:
        registry.promote(
            Promotion(
                ticker=model.ticker,
                event="promote",
                key=run.key,
                path=model.path,
                sha256=model.sha256,
                version=run.model_version,
                session=model.session,
                reason=reason,
                at=at,
            )
        )
    if promoted and displaced:
        reason = f"{reason}; a later session's champion stays"
    history = registry.file(model.ticker)
    return PromotionReceipt(
        model.ticker, str(history), sha256_of(str(history)) or "", run.key, promoted and not displaced, reason
    )
