"""From a dataset to the verdict, through the steps' files: a champion challenged, kept, unreadable or damaged."""

import json
import shutil
import sys
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from stockml.errors import StoreError
from stockml.evaluation.assessment import Assessment, read_assessment
from stockml.evaluation.evaluate import LSTM
from stockml.home import Home
from stockml.models.pooled_vintages import SHIPPED
from stockml.models.registry import Promotion, Registry
from stockml.models.trained_model import Provenance, load_model
from stockml.pipeline.decide import decide_mode
from stockml.pipeline.evaluate import evaluate_night
from stockml.pipeline.train import train_night
from stockml.prices.series import PriceSeries
from stockml.settings import Settings
from stockml.storage.objects import sha256_of
from stockml.storage.receipts import DatasetReceipt, DecisionReceipt, ModelReceipt
from tests.support.walks import SMALL, turning

ONE = SMALL.changed(evaluation=SMALL.evaluation.changed(origin_every=1))
ALONE, OWN = turning(903, turn=680), turning(903, turn=903)  # what is learned: not worth using; worth using


@dataclass(frozen=True)
class Night:
    decision: DecisionReceipt
    model: ModelReceipt
    found: Assessment

    def promoted(self, home: Home) -> None:
        made = {"key": self.model.sha256, "path": self.model.path, "sha256": self.model.sha256, "version": None}
        now = datetime(2013, 3, 2, 4, tzinfo=UTC)
        Registry(home.models).promote(
            Promotion("ABC", "promote", session=self.model.session, reason="better", at=now, **made)
        )


def dataset_of(home: Home, series: PriceSeries) -> DatasetReceipt:
    path, session = home.datasets / "ABC" / f"{len(series)}.parquet", series.sessions[-1].item()
    series.write(path)
    return DatasetReceipt("ABC", str(path), sha256_of(path) or "", session, len(series))


def night(home: Home, series: PriceSeries, settings: Settings = ONE) -> Night:
    dataset, session = dataset_of(home, series), series.sessions[-1].item()
    decision = decide_mode(home, dataset, settings)
    model = train_night(home, dataset, decision, settings)
    upcoming = tuple(session + timedelta(days=k) for k in range(1, 6))
    found = evaluate_night(home, dataset, decision, model, settings.evaluation, upcoming=upcoming)
    return Night(decision, model, read_assessment(Path(found.path)))


def test_a_base_left_alone_is_not_a_new_model_on_the_next_night(home: Home) -> None:
    first = night(home, ALONE.until(900))
    assert (first.decision.mode, first.model.mode, first.found.kept) == ("retrain", "keep", False)
    assert first.model.reason.startswith("the base left alone was no worse")
    assert (first.found.verdict.promoted, first.found.publisher) == (True, LSTM)
    first.promoted(home)
    second = night(home, ALONE.until(901))
    assert (second.decision.mode, second.found.kept, second.found.publisher) == ("fine-tune", True, LSTM)
    assert not second.found.verdict.promoted
    assert second.found.verdict.reason.endswith("the champion stays")


def test_a_tickers_own_model_is_continued_and_judged_beside_the_champion(home: Home) -> None:
    first = night(home, OWN.until(900))
    assert first.model.mode == "retrain"
    first.promoted(home)
    second = night(home, OWN.until(902))
    assert (second.decision.mode, second.decision.reason) == ("fine-tune", "2 new sessions")
    assert (second.model.mode, second.found.kept) == ("fine-tune", False)
    assert second.found.distributions.against_champion is not None
    assert load_model(Path(second.model.path)).retrained_at == OWN.sessions[899]
    second.promoted(home)
    again = night(home, OWN.until(902))
    assert (again.decision, again.model) == (second.decision, second.model), "as before its own promotion"
    shutil.rmtree(first.model.path)
    anew = decide_mode(home, dataset_of(home, OWN.until(902)), ONE)  # beside the one that is left
    assert (anew.mode, anew.reason) == ("keep", "nothing new since the champion learned")
    after_a_split = replace(dataset_of(home, OWN.until(903)), adjustment="of other splits")
    assert decide_mode(home, after_a_split, ONE).reason == "price adjustment changed since the champion learned"
    Provenance("", "of an earlier version", "").write(Path(second.model.path))
    replace(second, model=replace(second.model, sha256=sha256_of(second.model.path) or "")).promoted(home)
    assert decide_mode(home, dataset_of(home, OWN.until(903)), ONE).reason == "code changed since the champion learned"


def test_what_was_decided_or_learned_for_other_bars_bases_or_settings_is_not_taken_for_tonights(home: Home) -> None:
    dataset, keep = dataset_of(home, OWN.until(900)), ONE.changed(mode="keep")
    nights = (
        (dataset, ONE),
        (replace(dataset, bases="newer"), ONE),
        (replace(dataset, sha256="9"), ONE),
        (dataset, keep),
    )
    decided = [decide_mode(home, *each) for each in nights]
    assert len({each.path for each in decided}) == 4
    assert len({train_night(home, each, decided[0], ONE).path for each, _ in nights[:3]}) == 3


def test_a_kept_decision_for_no_mode_is_made_anew(home: Home) -> None:
    """A changed byte would end this night, and each repetition of it."""
    dataset = dataset_of(home, OWN.until(900))
    first = decide_mode(home, dataset, ONE)
    Path(first.path).write_bytes(Path(first.path).read_bytes().replace(b'"retrain"', b'"retrbin"'))
    assert decide_mode(home, dataset, ONE) == first


def test_each_step_reads_a_models_folder_and_the_series_once(home: Home) -> None:
    """Deciding and training need the champion, evaluating needs both models, and each needs the series."""
    night(home, OWN.until(900)).promoted(home)
    read: list[object] = []
    code = {load_model.__code__: "model", PriceSeries.read.__func__.__code__: "series"}
    sys.setprofile(lambda frame, event, _: read.append(code.get(frame.f_code)) if event == "call" else None)
    try:
        second = night(home, OWN.until(902))
    finally:
        sys.setprofile(None)
    assert second.decision.mode == "fine-tune"
    assert (read.count("model"), read.count("series")) == (1 + 1 + 2, 3)


def test_a_champion_of_an_earlier_version_is_reported_and_replaced_without_a_comparison(home: Home) -> None:
    first = night(home, ALONE.until(900))
    kept = json.loads((Path(first.model.path) / "model.json").read_text())
    (Path(first.model.path) / "model.json").write_text(json.dumps({**kept, "form": 1}))
    replace(first, model=replace(first.model, sha256=sha256_of(first.model.path) or "")).promoted(home)
    second = night(home, ALONE.until(901))
    assert second.decision.mode == "retrain"
    assert "cannot be continued" in second.decision.reason
    assert "an earlier version of stockml" in second.decision.reason
    assert second.found.verdict.promoted
    assert second.found.verdict.reason.startswith("the champion has no score (")
    assert "first champion" not in second.found.verdict.reason


def test_a_damaged_champion_stops_the_night_and_nothing_takes_its_place(home: Home) -> None:
    first = night(home, ALONE.until(900))
    first.promoted(home)
    dataset = dataset_of(home, ALONE.until(901))
    decided = decide_mode(home, dataset, ONE)
    (Path(first.model.path) / "model.json").write_text("{}")
    for step in (lambda: night(home, ALONE.until(901)), lambda: train_night(home, dataset, decided, ONE)):
        with pytest.raises(StoreError, match="expected the champion as it was promoted"):
            step()


def test_a_damaged_vintage_in_the_home_is_named_and_the_night_goes_on(home: Home) -> None:
    bases = home.bases
    bases.mkdir(parents=True)
    for kind in ("base-2017-06.npz", "pooled-2017-06.json"):
        name = kind.replace("2017-06", "2002-03")
        shutil.copy(SHIPPED / kind, bases / name)
        (bases / name).write_bytes((bases / name).read_bytes()[:-9])
    found = night(home, ALONE.until(900))
    pool = load_model(Path(found.model.path)).published.pool
    assert pool.through == date(2001, 6, 29)
    for said in ("\n".join(found.found.distributions.reasons.values()), "\n".join(pool.reasons.values())):
        assert "base-2002-03.npz" in said
        assert "pooled-2002-03.json" in said
    assert found.found.publisher == LSTM


def test_before_the_first_vintage_the_night_says_why_the_simple_forecast_is_published(home: Home) -> None:
    found = night(home, replace(ALONE, sessions=ALONE.sessions - np.timedelta64(10_000, "D")).until(900))
    (reason,) = found.found.distributions.reasons.values()
    assert "the oldest has seen sessions through 1999-06-30" in reason
    assert found.model.reason == f"nothing to train: {reason}"
    assert found.found.forecast.without_network
