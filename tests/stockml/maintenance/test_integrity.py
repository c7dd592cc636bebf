"""What counts as damage of a champion: not that another version of stockml shipped what it rests on."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from stockml.errors import InvalidFile
from stockml.home import Home
from stockml.maintenance.integrity import check_champion, faults
from stockml.models.pooled_vintages import SHIPPED
from stockml.models.registry import Registry
from stockml.storage.objects import sha256_of
from tests.stockml.models.test_registry import night


def champion_on(home: Home, base: str) -> None:
    made = night(home.models, 1)
    networks = {"published": {"pool": {"base": f"{base} {'0' * 64}"}}}
    (Path(made.path) / "model.json").write_text(json.dumps({"networks": networks}))
    Registry(home.models).promote(replace(made, sha256=sha256_of(made.path) or ""))


def test_a_champion_on_a_base_as_another_version_shipped_it_is_no_damage(home: Home) -> None:
    champion_on(home, "base-2005-06.npz")
    assert list(faults(home)) == []


@pytest.mark.parametrize("base", ["base-2024-12.npz", "base-2005-06.npz"])
def test_a_champion_whose_own_base_is_lost_or_replaced_is_damaged(home: Home, base: str) -> None:
    champion_on(home, base)
    home.bases.mkdir()
    shutil.copy(SHIPPED / "base-2005-06.npz", home.bases)
    with pytest.raises(InvalidFile, match=f"{base}: expected content of SHA-256 0"):
        check_champion(home, "IBM")
