"""Prefect and MLflow outside of the package's ranges are named before a server is started."""

import pytest

from deployments.errors import WrongVersion
from deployments.servers import versions


def test_the_installed_ones_are_in_range() -> None:
    assert list(versions.wrong_versions()) == []


def test_one_outside_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"prefect": "3.6.29", "mlflow": "3.17.2"}
    monkeypatch.setattr(versions, "version", found.__getitem__)
    with pytest.raises(
        WrongVersion, match=r"expected prefect .+, found 3\.6\.29; install the versions of"
    ):
        versions.check_versions()
