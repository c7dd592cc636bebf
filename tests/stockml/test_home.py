"""Where state lives: the environment decides, and reading it creates nothing."""

import os
import subprocess
import sys
import textwrap
import traceback
from pathlib import Path

import pytest

from stockml.errors import InvalidSetting
from stockml.home import current_home
from stockml.prices.store import BarStore


def test_the_environment_names_the_folder_and_nothing_is_created(tmp_path: Path) -> None:
    root = tmp_path / "elsewhere"
    place = current_home({"STOCKML_HOME": str(root)})
    assert place.root == root
    assert place.tracking_uri == f"sqlite:///{root}/mlflow.db"
    assert place.store == root / "store"
    assert not root.exists()


def test_store_artifacts_and_tracking_can_be_elsewhere() -> None:
    place = current_home(
        {
            "STOCKML_STORE": "/b/s",
            "STOCKML_ARTIFACTS": "s3://b/a",
            "MLFLOW_TRACKING_URI": "http://x",
        }
    )
    assert (place.store, place.artifacts, place.tracking_uri) == (
        Path("/b/s"),
        "s3://b/a",
        "http://x",
    )


def test_a_store_folder_is_the_same_from_every_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert current_home({"STOCKML_STORE": "~/bars"}).store == Path.home() / "bars"
    assert current_home({"STOCKML_STORE": "bars"}).store == tmp_path.resolve() / "bars"


def test_a_home_that_another_user_made_where_all_may_write_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As /tmp/stockml or /tmp/ci/stockml, before a person names it; in a folder of one's own,
    somebody was let in."""
    (inner := (theirs := tmp_path / "stockml") / "home").mkdir(parents=True)
    if is_root := os.geteuid() == 0:
        os.chown(theirs, 1000, 1000)
        os.chown(inner, 1000, 1000)
    anyone = theirs.stat().st_uid + 1
    monkeypatch.setattr(os, "geteuid", lambda: anyone)
    if is_root:  # whose own tmp_path is
        assert current_home({"STOCKML_HOME": str(theirs)}).root == theirs
    tmp_path.chmod(0o1777)
    for home in (theirs, inner):
        with pytest.raises(InvalidSetting, match="another user made this one, where all may write"):
            current_home({"STOCKML_HOME": str(home)})
    monkeypatch.setattr(os, "geteuid", lambda: anyone - 1)
    assert current_home({"STOCKML_HOME": str(theirs)}).root == theirs
    assert current_home({"STOCKML_HOME": str(tmp_path / "not there yet")}).root.parent == tmp_path


def test_a_user_without_a_home_folder_is_asked_for_one(tmp_path: Path) -> None:
    """As a user whom only a container knows has none in a bare environment. Prefect's settings need
    one too."""
    asked = """
        import os, sys
        from deployments.cli.options import in_home
        from stockml.errors import InvalidSetting
        os.chdir("/")
        os.environ.pop("HOME", None)
        os.getuid = lambda: 54321
        for environ in ({"STOCKML_HOME": sys.argv[1]}, {}):
            try:
                in_home(environ=environ).__enter__()
            except InvalidSetting as refused:
                print(refused)
    """
    command = [sys.executable, "-c", textwrap.dedent(asked), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    wanted = (
        "expected HOME to be a folder, as this user has none of their own, found "
        "'nothing'; correct the setting\n"
    )
    assert (ended.stderr, ended.stdout) == ("", wanted * 2)


@pytest.mark.parametrize("name", ["STOCKML_HOME", "STOCKML_STORE"])
def test_a_path_that_leads_to_no_folder_is_refused_naming_the_variable(name: str) -> None:
    with pytest.raises(
        InvalidSetting, match=f"expected {name} to be a path that leads to a folder"
    ):
        current_home({name: "~nobody-of-this-name/stockml"})


@pytest.mark.parametrize("store", ["bars/", "/bars"])
def test_a_home_holds_its_own_files_and_store_but_nothing_of_a_neighbour_with_its_prefix(
    store: str, tmp_path: Path
) -> None:
    place = current_home({"STOCKML_HOME": str(tmp_path), "STOCKML_STORE": store})
    own = BarStore.of(place).path("KO")
    assert place.holds(own)
    assert place.holds(str(place.models / "KO"))
    assert not place.holds(own.replace("/KO", "2/KO"))
    assert not place.holds(f"{tmp_path}2/models/KO")


def test_a_home_shows_no_password_when_printed(tmp_path: Path) -> None:
    shared = {"STOCKML_DATABASE_URL": "postgresql://me:hidden@db:5432"}
    place = current_home({"STOCKML_HOME": str(tmp_path), **shared})
    assert place.database == "me:hidden@db:5432"
    assert (
        place.tracking_uri
        == place.mlflow_database
        == "postgresql+psycopg://me:hidden@db:5432/mlflow"
    )
    assert "hidden" not in f"{place!r} {place}"


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("secret", "password as %2F"),
        ("mysql://me:secret@db", "password as %2F"),
        *(
            (f"postgresql://me:{mark}secret{mark}word@db:5433", "password as %2F")
            for mark in "/?#@[%"
        ),
        ("postgresql://me:secret@db?sslmode=verify-full", "PGSSLMODE asks for TLS"),
    ],
)
def test_an_invalid_database_address_is_refused_without_showing_its_password(
    address: str, wanted: str
) -> None:
    with pytest.raises(InvalidSetting, match=wanted) as refused:
        current_home({"STOCKML_DATABASE_URL": address})
    assert "secret" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("name", ["STOCKML_STATE", "STOCKML_STORE", "STOCKML_ARTIFACTS"])
@pytest.mark.parametrize(
    "address", ["s3://AKIA:hidden@bucket/x", "s3://AKIA:hidden/1@bucket", "ftp://me:hidden@host/x"]
)
def test_a_password_in_an_address_of_files_is_refused_as_runs_and_errors_show_these(
    name: str, address: str
) -> None:
    with pytest.raises(
        InvalidSetting, match=f"{name} to be an address without a password"
    ) as refused:
        current_home({name: address})
    assert "hidden" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_TOKEN", "PREFECT_API_KEY", "AWS_SESSION_TOKEN"])
@pytest.mark.parametrize("secret", ["secret\n", " secret", "secret\u00e9"])
def test_a_secret_that_no_header_can_hold_is_refused_without_repeating_it(
    name: str, secret: str
) -> None:
    """A library that is to send it repeats it in its error."""
    with pytest.raises(InvalidSetting, match=f"{name} to be .* without a line end") as refused:
        current_home({name: secret})
    assert "sec" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        *(f"https://me:secret@{host}" for host in ("mlflow:50OO", "mlflow:0", "mlflow:65536", "[")),
        # read as the host `me`, at port 12
        *(f"http://me:12{mark}secret@mlflow:5000" for mark in "/?#"),
        "postgresql://me:12@secret@mlflow/mlflow",  # read as the host `secret@mlflow`
    ],
)
def test_an_invalid_mlflow_address_is_refused_without_showing_its_password(address: str) -> None:
    with pytest.raises(
        InvalidSetting, match="MLFLOW_TRACKING_URI to be an address whose port"
    ) as refused:
        current_home({"MLFLOW_TRACKING_URI": address})
    assert "secret" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy"])
@pytest.mark.parametrize("login", ["me:hidden/1@", "me:hidden#1@", "me:12?hidden@", "me:[hidden@"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_whose_password_would_be_cut_is_refused_without_showing_it(
    name: str, login: str, scheme: str
) -> None:
    """Prefect's client takes a part of it for a port, repeats that in its error, and no run
    begins."""
    with pytest.raises(InvalidSetting, match=f"{name} to be an address whose port") as refused:
        current_home({name: f"{scheme}{login}proxy:3128"})
    assert "hidden" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    "address", ["foo", "foo://me:secret@x", "./secret", "file:///secret", "postgres://me:secret@x"]
)
def test_an_address_that_mlflow_does_not_know_is_refused_before_a_night_learns_it(
    address: str,
) -> None:
    """Nor does MLflow register a new model in a folder, where it allows that: no night came to its
    end."""
    with pytest.raises(
        InvalidSetting, match="MLFLOW_TRACKING_URI to be the address of an MLflow server"
    ) as refused:
        current_home({"MLFLOW_TRACKING_URI": address, "MLFLOW_ALLOW_FILE_STORE": "true"})
    assert "secret" not in "".join(traceback.format_exception(refused.value))
