"""The decision to retrain, fine-tune or keep, and the training that follows: facts are gathered
here, `retrain_policy` decides, `training.train` learns."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from stockml.errors import InvalidFile
from stockml.forecasts.ledger import Ledger
from stockml.forecasts.ledger_scores import MIN_INDEPENDENT
from stockml.home import HomePaths
from stockml.models.registry import Promotion, Registry, champion_for, check_intact
from stockml.models.trained_model import (
    Chosen,
    Decision,
    Facts,
    Provenance,
    decide,
    load_model,
    vintage_folders,
)
from stockml.nights.night_key import evaluation_code, training_code
from stockml.prices.calendar import sessions_for
from stockml.prices.series import PriceSeries
from stockml.settings import Settings
from stockml.storage.files import sha256_of, write_atomically
from stockml.storage.receipts import (
    DatasetReceipt,
    DecisionReceipt,
    ModelReceipt,
    read_record,
    record,
    written_record,
)
from stockml.training.checkpoint import EpochProgress
from stockml.training.train import facts_about, learning_sha256, train


@record
@dataclass(frozen=True)
class DecisionRecord:
    """A decision, the champion that it was based on, and the reason if that champion could not be
    read."""

    session: date
    champion: str | None
    champion_sha256: str | None
    mode: Chosen
    reason: str
    unreadable: str | None = None


def decide_mode(
    home: HomePaths, dataset: DatasetReceipt, settings: Settings, by_hand: str = ""
) -> DecisionReceipt:
    """Decide for tonight, given the present champion, and keep the decision with that champion.

    The file is named after what makes the night's key (data, pretrained networks, settings, code of
    the numbers): a repeated night finds what was decided before its own promotion, even if other
    code changed or the cached result is gone.

    by_hand: what a person did to the champion since, for the reason.
    """
    name = f"{dataset.sha256} {dataset.pretrained} {settings.sha256()} {evaluation_code()}"
    path = (
        home.nights
        / dataset.ticker
        / f"decision-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
    )
    stored = _earlier_decision(path)
    if stored is None:
        champion, facts, unreadable = _champion_and_facts(home, dataset, settings)
        decision = decide(facts, settings.mode, settings.policy)
        folder, sha256 = (champion.path, champion.sha256) if champion else (None, None)
        reason = "; ".join(filter(None, (by_hand, decision.reason)))
        stored = DecisionRecord(dataset.session, folder, sha256, decision.mode, reason, unreadable)
        write_atomically(path, written_record(stored))
    return DecisionReceipt(
        dataset.ticker, str(path), sha256_of(path) or "", stored.mode, stored.reason
    )


def champion_of_decision(decision: DecisionReceipt) -> tuple[Path | None, str | None]:
    """The champion's folder, or None, and the reason if it could not be read. Raises StoreError if
    it is damaged."""
    stored = read_record(DecisionRecord, Path(decision.path).read_bytes())
    if stored.champion is None:
        return None, stored.unreadable
    check_intact(decision.ticker, stored.champion, stored.champion_sha256)
    return Path(stored.champion), stored.unreadable


def train_night(
    home: HomePaths,
    dataset: DatasetReceipt,
    decision: DecisionReceipt,
    settings: Settings,
    *,
    on_epoch: Callable[[EpochProgress], None] | None = None,
) -> ModelReceipt:
    """Train as decided; the same inputs end with the same model. Raises TooFewBars, Diverged."""
    name = (
        f"{dataset.sha256} {dataset.pretrained} {decision.sha256} {learning_sha256(settings)} "
        f"{training_code()}"
    )
    folder = home.models / dataset.ticker / hashlib.sha256(name.encode()).hexdigest()[:16]
    Provenance(dataset.adjustment, training_code(), dataset.sha256).write(folder)
    model = train(
        PriceSeries.read(Path(dataset.path)),
        settings,
        Decision(decision.mode, decision.reason),  # type: ignore[arg-type]
        champion=champion_of_decision(decision)[0],
        folder=folder,
        on_epoch=on_epoch,
    )
    # what was learned may not be worth using
    sha256, chosen = (
        sha256_of(folder) or "",
        model.decision,
    )
    return ModelReceipt(
        dataset.ticker, str(folder), sha256, dataset.session, chosen.mode, chosen.reason
    )


def _earlier_decision(path: Path) -> DecisionRecord | None:
    """An earlier decision, if the champion that it was based on is still on disk unchanged."""
    try:
        stored = read_record(DecisionRecord, path.read_bytes())
    except (OSError, ValueError):
        return None
    return (
        stored
        if stored.champion is None or sha256_of(stored.champion) == stored.champion_sha256
        else None
    )


def _champion_and_facts(
    home: HomePaths, dataset: DatasetReceipt, settings: Settings
) -> tuple[Promotion | None, Facts, str | None]:
    """The champion that tonight may use, the facts to decide by, and the reason if it cannot be
    read."""
    champion = champion_for(home, dataset.ticker, dataset.session)
    if champion is None:
        newest = Registry(home.models).champion(dataset.ticker)
        later = newest is not None and newest.session > dataset.session
        why = "the champion is of a later session" if later else "no champion yet"
        return None, Facts(no_champion=why), None
    try:
        model, provenance = load_model(Path(champion.path)), Provenance.read(Path(champion.path))
    except InvalidFile as problem:
        return None, Facts(no_champion=f"the champion cannot be continued: {problem}"), str(problem)
    series = PriceSeries.read(Path(dataset.path))
    unchanged = {
        "same_code": provenance.code == training_code(),
        "same_adjustment": provenance.adjustment == dataset.adjustment,
    }
    facts = facts_about(model, series, settings, vintage_folders(Path(champion.path)), **unchanged)
    if not model.published.forecasts_path:
        return champion, facts, None  # training cannot improve a path that is not the model's own
    live = Ledger(home.ledger).live(
        dataset.ticker, series, sessions_for(dataset.ticker, dataset.calendar)
    )
    return (
        champion,
        replace(facts, live_skill=live.skill if live.independent >= MIN_INDEPENDENT else None),
        None,
    )
