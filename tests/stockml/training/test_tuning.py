"""The search: on the validation part only, resumed after Ctrl-C and kill -9; and the file of what it
found, which the ticker's nights use, and a damaged one of which is named and never overwritten."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from flows.form import chosen
from stockml.errors import InvalidFile, InvalidSetting
from stockml.models.tutorial_recipe import train_length
from stockml.settings import USED_BY_TUTORIAL, Settings, settings_for
from stockml.storage.files import write_atomically
from stockml.training.train import training_part
from stockml.training.tuning import (
    SPACE,
    Search,
    TrialRecord,
    _queue_grid,
    _study,
    path_of,
    space_beside,
    tune,
    tuned_settings,
    write_tuned_settings,
)
from stockml.training.tutorial import Recipe
from tests.support.walks import altered_after, walk

SERIES, TEST_START = walk(420), 360
SMALL = settings_for(
    "tutorial",
    {
        "network.units": [4],
        "network.look_back": 5,
        "network.dropout": 0.0,
        "training.epochs": 2,
        "training.batch_size": 32,
        "training.learning_rate": 1e-3,
        "evaluation.horizon": 5,
        "evaluation.direction_step": 3,
        "evaluation.test_sessions": 60,
        "evaluation.validation_sessions": 60,
    },
)
TINY = {"network.units": ((3,), (4,)), "training.learning_rate": (1e-3, 1e-2)}


def search(sampler="tpe", initial=SMALL, series=SERIES):
    return Search("ABC", series, initial, sampler, TINY)


def tuned(home, trials, sampler="tpe"):
    heard: list[TrialRecord] = []
    return tune(home, search(sampler), trials=trials, on_trial=heard.append), heard


@pytest.mark.slow
def test_nothing_of_the_test_part_reaches_a_trial(home, tmp_path):
    found = set()
    for name, series in (("one", SERIES), ("two", altered_after(SERIES, TEST_START - 1))):
        heard: list[TrialRecord] = []
        one = search(series=training_part(series, SMALL))
        tune(replace(home, root=tmp_path / name), one, trials=2, on_trial=heard.append)
        found.add((one.study, *(trial.losses for trial in heard)))
    assert len(found) == 1


@pytest.mark.slow
def test_after_ctrl_c_finished_trials_are_kept_and_the_same_call_completes_the_search(home):
    def interrupt(trial):
        if trial.number == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(home, search(), trials=3, on_trial=interrupt)
    assert tuned_settings(home, "ABC")
    first, heard = tuned(home, 3)
    assert [trial.number for trial in heard] == [0, 1, 2]
    assert first.default_loss == heard[0].loss, "it begins with the present settings"
    present = {"network.units": [4], "training.learning_rate": 1e-3, "training.epochs": 2}
    assert heard[0].settings.items() >= present.items(), "what was not searched is told too"
    assert tuned(home, 3) == (first, heard)


def test_a_search_of_another_series_or_with_other_settings_is_another_study():
    other = SMALL.changed(training=SMALL.training.changed(seed=8))
    studies = {each.study for each in (search(), search(series=walk(421)), search(initial=other))}
    assert len(studies) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("done", "killed"), [(1, True), (3, False)])
def test_an_unfinished_grid_point_is_tried_again_and_each_point_counts_once(home, done, killed):
    """Whether its process was killed, before or after drawing its values, or Ctrl-C ended it."""
    tuned(home, done, "grid")
    study = _study(home, search("grid"))
    _queue_grid(search("grid"), study, 4)
    begun = study.ask()
    if killed:
        drawn = study.ask()
        for each in search().labels().items():
            drawn.suggest_categorical(*each)
    else:
        study.tell(begun, state=TrialState.FAIL)
    found, _ = tuned(home, 9, "grid")
    ended = [each for each in study.get_trials() if each.state.name in ("COMPLETE", "PRUNED")]
    tried = {tuple(trial.params.values()) for trial in ended}
    assert len(ended) == len(tried) == found.trials == 4


@pytest.mark.slow
def test_a_search_that_is_complete_reports_its_trials_and_writes_the_best_of_those_that_ended(home):
    """What a pruned one had reached at its last epoch is no result."""
    study, labels = _study(home, search()), search().labels()
    for state, units, losses in (
        (TrialState.COMPLETE, "[3]", {2: 0.2, 1: 0.6}),
        (TrialState.PRUNED, "[3]", {1: 0.1}),
        (TrialState.COMPLETE, "[4]", {1: 0.5, 2: 0.3}),
    ):
        study.add_trial(
            create_trial(
                state=state,
                value=min(losses.values()),
                params={"network.units": units, "training.learning_rate": "0.001"},
                distributions={name: CategoricalDistribution(of) for name, of in labels.items()},
                intermediate_values=losses,
            )
        )
    found, heard = tuned(home, 3)
    assert [(each.state, each.loss, each.best, each.losses) for each in heard] == [
        ("complete", 0.2, 0.2, (0.6, 0.2)),
        ("pruned", None, 0.2, (0.1,)),
        ("complete", 0.3, 0.2, (0.5, 0.3)),
    ]
    assert (found.trials, found.pruned, found.loss, found.default_loss) == (3, 1, 0.2, 0.3)
    end = train_length(len(SERIES.mid))
    recipe = Recipe.of(SERIES.mid[:end], end, SMALL)
    stays = recipe.prepared.values[recipe.validation - 1][:, None]
    stays_loss = np.mean((recipe.outcomes(recipe.validation) - stays) ** 2) / 2
    assert found.last_value_loss == pytest.approx(stays_loss)
    for figure in ("0.20000", "0.30000", f"{stays_loss:.5f}"):
        assert figure in found.text
    assert dict(found.settings).items() >= {"network.units": [3], "training.epochs": 2}.items()
    assert tuned_settings(home, "ABC") == json.loads(json.dumps(dict(found.settings)))
    other = tune(home, search(series=walk(421)), trials=1)
    assert "3 trials, loss 0.20000" in other.text


def test_what_the_settings_override_is_not_searched_nor_does_a_search_start_where_it_does_not_look():
    given = ("network.cell", "training.learning_rate", "training.epochs")
    assert SPACE.keys() - space_beside(given).keys() == {"network.cell", "training.learning_rate"}
    space = {"network.units": ((3,), (4,)), "training.learning_rate": (1e-2,)}
    assert replace(search(), space=space).start() == {"network.units": "[4]"}


def test_every_value_of_the_search_space_is_valid_and_an_invalid_one_is_refused_by_name():
    replace(search(), space=SPACE)
    assert set(SPACE) <= set(USED_BY_TUTORIAL)
    on_test = SMALL.changed(training=SMALL.training.changed(decay_on="test"))
    for name, change in (
        ("network.dropout", {"space": {"network.dropout": (0.1, 2.0)}}),
        ("decay_on", {"initial": on_test}),
        ("decay_on", {"space": {"training.decay_on": ("validation", "test")}}),
        ("profile", {"initial": Settings()}),
    ):
        with pytest.raises(InvalidSetting, match=name):
            replace(search(), **change)


WHOLE = b'{"op_code": 0, "worker_id": "1", "study_name": "another", "directions": [1]}\n'


@pytest.mark.parametrize(
    ("journal", "line"),
    [
        (WHOLE + WHOLE.rstrip(), 2),  # Optuna would write on in it
        (WHOLE + bytes(40), 2),
        (WHOLE[:40] + b"\n" + WHOLE, 1),
        (b"null\n", 1),
    ],
)
def test_a_journal_of_trials_that_was_cut_off_is_named_and_left_as_it_is(home, journal, line):
    """By a full disk or a power loss."""
    write_atomically(path := home.root / "tuning" / "ABC.journal", journal)
    with pytest.raises(InvalidFile, match=rf"ABC\.journal: .* line {line} of .*; remove"):
        tune(home, search(), trials=1)
    assert path.read_bytes() == journal


def test_a_tickers_nights_use_its_settings_file_unless_the_form_overrides_it(home):
    kept = {"settings": {"network.units": [7], "training.epochs": 9}, "profile": "tutorial"}
    write_atomically(path_of(home, "ABC"), json.dumps(kept).encode())
    used = chosen("tutorial", "auto", {"training": {"epochs": 2}}, ticker="ABC")
    assert (used.network.units, used.training.epochs) == ((7,), 2)
    usual = chosen("tutorial", "auto", None)
    assert chosen("tutorial", "auto", None, ticker="XYZ") == usual
    assert chosen("nightly", "auto", None, ticker="ABC") == chosen("nightly", "auto", None)
    # as an earlier version wrote it
    path_of(home, "ABC").write_text(json.dumps(kept | {"profile": "nightly"}))
    assert chosen("tutorial", "auto", None, ticker="ABC") == usual


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"settings": {"network.unit": [7]}}', '{"settings": [1]}']
)
def test_a_damaged_settings_file_is_an_error_that_names_it(home, content):
    write_atomically(path_of(home, "ABC"), content.encode())
    with pytest.raises(InvalidFile, match=r"ABC\.json"):
        tuned_settings(home, "ABC")


def test_an_edited_file_is_not_overwritten_and_no_search_starts_until_its_checksum_is_removed(home):
    path = write_tuned_settings(home, "ABC", {"training.epochs": 3}, {})
    path.write_text(edited := path.read_text().replace('epochs": 3', 'epochs": 4'))
    heard: list[TrialRecord] = []
    for attempt in (
        lambda: write_tuned_settings(home, "ABC", {"training.epochs": 5}, {}),
        lambda: tune(home, search(), trials=1, on_trial=heard.append),
    ):
        with pytest.raises(InvalidFile, match=r"ABC\.json.*`crc32`.*from a backup"):
            attempt()
    assert (path.read_text(), heard) == (edited, [])
    path.write_text(re.sub(r'"crc32": ".*",', "", edited))
    assert tuned_settings(home, "ABC") == {"training.epochs": 4}
