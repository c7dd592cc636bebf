"""What a training writes, what it starts from, and the facts about a champion that decide whether
it goes on."""

from dataclasses import replace

import numpy as np
import pytest

from stockml.errors import InvalidFile, NoChampion, TooFewBars
from stockml.models import vintage_store
from stockml.models.trained_model import Decision, decide, load_model, save
from stockml.models.tutorial_recipe import TutorialForecaster, TutorialScale, prepare
from stockml.models.vintage_store import SHIPPED
from stockml.prices.calendar import A_DAY
from stockml.settings import settings_for
from stockml.training.train import facts_about, learning_sha256, train
from tests.stockml.models.test_trained_model import usual
from tests.stockml.training.test_ticker_training import EAGER, FINE_TUNE, RETRAIN, SERIES, same
from tests.support.walks import SMALL, turning, walk, with_prices


@pytest.fixture
def champion(tmp_path):
    save(usual(), tmp_path / "models" / "ABC" / "champion")
    return tmp_path / "models" / "ABC" / "champion"


@pytest.mark.slow
def test_training_again_writes_the_same_bytes_even_over_what_a_killed_one_left(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    model = train(SERIES, EAGER, RETRAIN, champion=None, folder=one)
    two.mkdir()
    (two / "held_out.npz").write_bytes(b"half a file")
    train(SERIES, EAGER, RETRAIN, champion=None, folder=two)
    for name in ("held_out.npz", "published.npz", "model.json"):
        assert (two / name).read_bytes() == (one / name).read_bytes()
    again = load_model(one)
    assert (again.decision, again.evidence) == (model.decision, model.evidence)
    assert same(again.published, model.published)


def test_keeping_writes_the_champion(champion):
    folder = champion.parent / "tonight"
    kept = train(SERIES, SMALL, Decision("keep", "nothing new"), champion=champion, folder=folder)
    assert kept.decision == Decision("keep", "nothing new")
    assert same(load_model(folder).published, usual().published)


def test_the_installations_own_vintage_is_used_when_it_is_newer(tmp_path):
    series, folder = walk(100), tmp_path / "models" / "ABC" / "tonight"
    series = replace(series, sessions=series.sessions + 1_000 * A_DAY)
    before = train(series, SMALL, RETRAIN, champion=None, folder=folder)
    own = tmp_path / "pretrained"
    own.mkdir()
    # it may have seen tonight too, to publish with
    newer = replace(before.published.vintages.pretrained, through=series.sessions[-1].item())
    vintage_store.write(newer, own)
    after = train(series, SMALL, RETRAIN, champion=None, folder=folder)
    assert after.published.vintages.pretrained.through == newer.through
    assert after.held_out.vintages.identity() == before.held_out.vintages.identity()
    assert load_model(folder).published.vintages.identity() == after.published.vintages.identity()
    for folders, changed in (([own, SHIPPED], ("pretrained network",)), ([SHIPPED], ())):
        assert facts_about(before, series, SMALL, folders).changed == changed


def test_facts_about_a_champion_count_sessions_and_compare_what_affects_learning():
    facts = facts_about(usual(), turning(903, turn=903), SMALL)
    assert (facts.new_sessions, facts.sessions_since_retrain) == (3, 3)
    assert (facts.changed, facts.scale_drift) == ((), 1.0)
    other = SMALL.changed(training=SMALL.training.changed(seed=8))
    facts = facts_about(usual(), SERIES, other, same_code=False, same_adjustment=False)
    assert facts.changed == ("settings", "code", "price adjustment")
    assert learning_sha256(SMALL.changed(mode="keep")) == learning_sha256(SMALL)
    other = SMALL.changed(evaluation=SMALL.evaluation.changed(replace_after_sessions=5))
    assert learning_sha256(other) == learning_sha256(SMALL)


@pytest.mark.parametrize("wanted", ["keep", "fine-tune"])
def test_after_a_split_a_champion_that_is_scaled_to_prices_is_not_continued(wanted):
    weights = tuple(np.zeros(shape, np.float32) for shape in ((1, 4), (1, 4), (4,), (1, 1), (1,)))
    scale = TutorialScale.of(prepare(SERIES.mid, 800), SERIES.sessions)
    scaled = TutorialForecaster(settings_for("tutorial"), weights, scale, SERIES.sessions[600])
    champion = replace(usual(), held_out=scaled, published=scaled)
    divided = with_prices(SERIES, 0.25)
    for model, series, same_adjustment, mode in (
        (champion, divided, False, "retrain"),
        (champion, SERIES, True, wanted),
        (usual(), divided, False, wanted),  # of ratios
    ):
        facts = facts_about(model, series, SMALL, same_adjustment=same_adjustment)
        assert decide(facts, wanted, SMALL.policy).mode == mode


def test_what_cannot_be_trained_is_refused_with_a_typed_error(tmp_path):
    with pytest.raises(TooFewBars):
        train(walk(26), SMALL, RETRAIN, champion=None, folder=tmp_path)
    with pytest.raises(NoChampion):
        train(SERIES, SMALL, FINE_TUNE, champion=None, folder=tmp_path)
    with pytest.raises(InvalidFile, match="absent"):
        train(SERIES, SMALL, FINE_TUNE, champion=tmp_path / "absent", folder=tmp_path)
