"""A model and its provenance read back as written; anything else is an error that names the
file."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import InvalidFile, OtherVersion
from stockml.models.trained_model import (
    Provenance,
    TrainedModel,
    load_model,
    same_forecast,
    save,
    unscored,
    vintage_files,
)
from stockml.models.vintage_set import VintageSet
from stockml.prices.calendar import A_DAY
from stockml.storage.files import sha256_of
from tests.stockml.training.test_ticker_training import SERIES, network
from tests.support.models import trained_model
from tests.support.walks import SMALL


@cache
def usual() -> TrainedModel:
    return trained_model(SERIES, SMALL)


@pytest.fixture
def champion(tmp_path: Path) -> Path:
    save(usual(), tmp_path / "models" / "ABC" / "champion")
    return tmp_path / "models" / "ABC" / "champion"


@given(made_of=st.builds(Provenance))
def test_provenance_reads_back_as_written(
    made_of: Provenance, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("model")
    made_of.write(folder)
    assert Provenance.read(folder) == made_of


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"code": "c"}', b'{"code": "c", "dataset": "d", "adjustment": 1}']
)
def test_content_that_is_not_provenance_or_none_is_an_error_that_names_the_file(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "provenance.json").write_bytes(content)
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(
            InvalidFile, match=r"provenance\.json: expected a model's provenance, found "
        ):
            Provenance.read(folder)


def test_a_saved_model_reads_back_as_trained_and_equal_models_give_equal_bytes(
    champion: Path, tmp_path: Path
) -> None:
    model, at, leads = load_model(champion), np.array([400, 899]), np.arange(1, 6)
    for name in ("held_out", "published"):
        one, two = network(model, name), network(usual(), name)
        np.testing.assert_array_equal(
            one.forecast(SERIES, at, leads)[1], two.forecast(SERIES, at, leads)[1]
        )
    for name in (
        "settings",
        "decision",
        "parts",
        "sessions",
        "last_session",
        "retrained_at",
        "evidence",
        "history",
    ):
        assert getattr(model, name) == getattr(usual(), name)
    save(trained_model(SERIES, SMALL), tmp_path / "again")
    assert sha256_of(str(tmp_path / "again")) == sha256_of(str(champion))
    vintage_sets = [
        network(usual(), name).vintages.identity().values() for name in ("held_out", "published")
    ]
    assert {path.name for path in vintage_files(champion)} == {
        str(each).split()[0] for pair in vintage_sets for each in pair
    }
    assert sum(file.stat().st_size for file in champion.iterdir()) < 700_000


@pytest.mark.parametrize(
    "content", [None, b"", b"[]", b'{"seconds": ["long"]}', b'{"seconds": [1.0, 2.0]}']
)
def test_a_model_is_read_even_if_how_long_its_epochs_took_is_not(
    champion: Path, content: bytes | None
) -> None:
    save(replace(usual(), history=({"epoch": 1, "loss": 0.5, "seconds": 7.0},)), champion)
    assert load_model(champion).history[0]["seconds"] == 7.0
    (timing := champion / "_timing.json").unlink()
    if content is not None:
        timing.write_bytes(content)
    assert load_model(champion).history == ({"epoch": 1, "loss": 0.5, "seconds": 0.0},)


def test_a_model_uses_the_vintages_copied_into_its_folder(champion: Path, tmp_path: Path) -> None:
    for path in vintage_files(champion):
        shutil.copy(path, champion)
    assert all(path.parent == champion for path in vintage_files(champion))
    assert (
        load_model(champion).published.vintages.identity() == usual().published.vintages.identity()
    )


def test_a_model_keeps_why_a_file_of_its_pool_was_passed_over(tmp_path: Path) -> None:
    vintages = replace(
        network(usual(), "published").vintages,
        reasons={"pretrained": "network-2003-06.npz: damaged"},
    )
    save(
        replace(usual(), published=replace(network(usual(), "published"), vintages=vintages)),
        tmp_path,
    )
    assert network(load_model(tmp_path), "published").vintages.reasons == vintages.reasons


def other_vintage(kept: dict[str, Any]) -> Any:
    return json.loads(json.dumps(kept).replace("network-2001-06.npz ", "network-2001-06.npz 0"))


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda kept: {each: value for each, value in kept.items() if each != name}


def with_pool(pool: object) -> Callable[[dict[str, Any]], Any]:
    return lambda kept: (
        kept
        | {"networks": {name: each | {"pool": pool} for name, each in kept["networks"].items()}}
    )


def changed(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    kept = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(change(kept)))


NO_POOLS = [
    with_pool(vintages)
    for vintages in (
        None,
        "network-2001-06.npz",
        {"pretrained": 3},
        {"pretrained": "network-2001-06.npz"},
    )
]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *((without(name), name) for name in ("sessions", "decision", "validation")),
        (without("form"), "one that an earlier version of stockml made"),
        (lambda kept: kept | {"networks": {}}, "held_out"),
        (lambda kept: [], "expected a trained model"),
        (
            lambda kept: kept | {"settings": kept["settings"] | {"of_a_later_version": 1}},
            "of_a_later_version",
        ),
        *((change, "expected a trained model") for change in NO_POOLS),
    ],
)
def test_the_error_for_an_invalid_model_names_its_folder_and_what_is_wrong(
    champion: Path, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    changed(champion, change)
    with pytest.raises(InvalidFile, match="champion") as refusal:
        load_model(champion)
    assert said in str(refusal.value)


def test_a_model_on_a_pretrained_network_of_another_version_is_no_damage(champion: Path) -> None:
    changed(champion, other_vintage)
    with pytest.raises(OtherVersion, match=r"expected the network-2001-06\.npz it was built on"):
        load_model(champion)


@pytest.mark.parametrize(
    "change", [lambda kept: [], lambda kept: kept | {"networks": {"held_out": []}}, *NO_POOLS]
)
def test_the_error_for_a_model_that_names_no_vintages_names_its_folder(
    champion: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    changed(champion, change)
    with pytest.raises(InvalidFile, match=r"champion: expected a trained model"):
        vintage_files(champion)


def test_a_model_cannot_be_scored_on_the_newest_session_that_it_has_seen() -> None:
    model = usual()
    seen = model.held_out.learned_until
    assert (
        unscored(model, seen)
        == f"it has seen sessions through {seen}, what is unseen begins on {seen}"
    )
    assert unscored(model, seen + A_DAY) is None


def test_only_models_of_the_same_pretrained_network_left_alone_count_as_the_same_forecast() -> None:
    alone = trained_model(SERIES, SMALL, times=None)
    assert same_forecast(alone, trained_model(SERIES.until(890), SMALL, times=None))
    assert not same_forecast(usual(), usual())
    assert not same_forecast(alone, usual())
    other = replace(
        alone,
        published=replace(
            network(alone, "published"), vintages=VintageSet.ending_before(date(2000, 1, 1))
        ),
    )
    assert not same_forecast(alone, other)
