"""A model and its provenance read back as written; anything else is an error that names the
file."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import cache
from typing import Any

import numpy as np
import pytest

from stockml.errors import InvalidFile, OtherVersion
from stockml.models.regressions import RIDGE, published_median
from stockml.models.trained_model import (
    FINE_TUNED,
    NETWORKS,
    PRETRAINED,
    Provenance,
    TickerNetwork,
    load_model,
    same_forecast,
    save,
    vintage_files,
)
from stockml.models.vintage_set import VintageSet
from stockml.storage.files import sha256_of
from tests.stockml.training.test_ticker_training import SERIES, network
from tests.support.models import fine_tuned, trained_model
from tests.support.walks import SMALL


@cache
def usual():
    return trained_model(SERIES, SMALL)


@pytest.fixture
def champion(tmp_path):
    folder = tmp_path / "models" / "ABC" / "champion"
    save(usual(), folder)
    return folder


def test_provenance_reads_back_as_written_and_anything_else_is_an_error_that_names_the_file(
    tmp_path,
):
    made_of = Provenance("a", "c", "d")
    made_of.write(tmp_path)
    assert Provenance.read(tmp_path) == made_of
    for content in ("[]", '{"code": "c"}', '{"code": "c", "dataset": "d", "adjustment": 1}'):
        (tmp_path / "provenance.json").write_text(content)
        with pytest.raises(InvalidFile, match=r"provenance\.json"):
            Provenance.read(tmp_path)


def test_a_saved_model_reads_back_as_trained_and_equal_models_give_equal_bytes(champion, tmp_path):
    model, named = load_model(champion), set()
    for name in NETWORKS:
        one, two = network(model, name), network(usual(), name)
        np.testing.assert_equal(one.weights, two.weights)
        assert one.asdict() == two.asdict()
        named |= {str(each).split()[0] for each in two.vintages.identity().values()}
    assert {path.name for path in vintage_files(champion)} == named
    alike = [vars(replace(each, held_out=None, published=None)) for each in (model, usual())]
    assert alike[0] == alike[1]
    save(trained_model(SERIES, SMALL), tmp_path / "again")
    assert sha256_of(str(tmp_path / "again")) == sha256_of(str(champion))
    assert sum(file.stat().st_size for file in champion.iterdir()) < 700_000


def test_a_model_keeps_why_files_were_passed_over_and_is_read_without_the_time_its_epochs_took(
    champion,
):
    row, plain = {"epoch": 1, "loss": 0.5, "seconds": 7.0}, usual().published
    vintages = replace(plain.vintages, reasons={"pretrained": "network-2003-06.npz: damaged"})
    save(replace(usual(), published=replace(plain, vintages=vintages), history=(row,)), champion)
    again = load_model(champion)
    assert (again.history, again.published.vintages.reasons) == ((row,), vintages.reasons)
    for content in ('{"seconds": ["long"]}', '{"seconds": [1, 2]}'):
        (champion / "_timing.json").write_text(content)
        assert load_model(champion).history == (row | {"seconds": 0.0},)


def test_a_model_uses_the_vintages_copied_into_its_folder(champion):
    for path in vintage_files(champion):
        shutil.copy(path, champion)
    assert {path.parent for path in vintage_files(champion)} == {champion}


Change = Callable[[dict[str, Any]], Any]


def with_pool(pool):
    def change(kept):
        networks = {name: each | {"pool": pool} for name, each in kept["networks"].items()}
        return kept | {"networks": networks}

    return change


def changed(folder, change):
    kept = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(change(kept)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda kept: [], "a trained model"),
        (lambda kept: kept | {"networks": {}}, "held_out"),
        (lambda kept: kept | {"form": 2}, "earlier version of stockml"),
        (lambda kept: kept | {"settings": kept["settings"] | {"of_later": 1}}, "of_later"),
    ],
)
def test_the_error_for_an_invalid_model_names_its_folder_and_what_is_wrong(champion, change, said):
    changed(champion, change)
    with pytest.raises(InvalidFile, match=f"champion: .*{said}"):
        load_model(champion)


@pytest.mark.parametrize("pool", [None, {"pretrained": 3}, {"pretrained": "network"}])
def test_the_error_for_a_model_that_names_no_vintages_names_its_folder(champion, pool):
    changed(champion, with_pool(pool))
    for read in (load_model, vintage_files):
        with pytest.raises(InvalidFile, match=r"champion: .*a trained model"):
            read(champion)


def test_a_model_on_a_pretrained_network_of_another_version_is_no_damage(champion):
    changed(champion, with_pool({"pretrained": "network-2001-06.npz 0"}))
    with pytest.raises(OtherVersion, match=r"network-2001-06\.npz"):
        load_model(champion)


def test_only_models_of_the_same_pretrained_network_left_alone_count_as_the_same_forecast():
    alone = trained_model(SERIES, SMALL, times=None)
    assert same_forecast(alone, trained_model(SERIES.until(890), SMALL, times=None))
    assert not same_forecast(usual(), usual())
    assert not same_forecast(alone, usual())
    older = replace(alone.published, vintages=VintageSet.ending_before(date(2000, 1, 1)))
    assert not same_forecast(alone, replace(alone, published=older))


def test_a_network_forecasts_by_the_pretrained_one_unless_a_fine_tuned_one_is_used():
    question = SERIES, np.array([300, 399]), np.arange(1, 51)
    vintages = VintageSet.ending_before(date(2018, 1, 1))
    alone = TickerNetwork(vintages, None, used=False, learned_until=np.datetime64("2017-06-30"))
    trained, pretrained = fine_tuned(alone, 1.5), vintages.network_quantiles(*question)
    for each, times, width_by in (
        (alone, 1, PRETRAINED),
        (replace(trained, used=False), 1, PRETRAINED),
        (trained, 1.5, FINE_TUNED),
    ):
        median, width = each.forecast(*question)
        np.testing.assert_array_equal(median, published_median(*question))
        np.testing.assert_allclose(width, times * pretrained, rtol=1e-6)
        assert (each.width_by, each.forecasts_path) == (width_by, False)
    none = replace(alone, vintages=VintageSet.ending_before(date(1990, 1, 1)))
    assert (none.forecast(*question)[1], none.width_by) == (None, RIDGE)
