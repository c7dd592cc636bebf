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


def test_the_environment_says_where_all_is_from_any_working_directory_and_nothing_is_created(
    monkeypatch, tmp_path
):
    root = tmp_path / "elsewhere"
    place = current_home({"STOCKML_HOME": str(root)})
    assert (place.root, place.store) == (root, root / "store")
    assert place.tracking_uri == f"sqlite:///{root}/mlflow.db"
    assert not root.exists()
    shared = {"STOCKML_ARTIFACTS": "s3://b/a", "MLFLOW_TRACKING_URI": "http://x"}
    place = current_home({"STOCKML_STORE": "~/bars", **shared})
    assert place.store == Path.home() / "bars"
    assert (place.artifacts, place.tracking_uri) == ("s3://b/a", "http://x")
    monkeypatch.chdir(tmp_path)
    assert current_home({"STOCKML_STORE": "bars"}).store == tmp_path.resolve() / "bars"


def test_a_home_that_another_user_made_where_all_may_write_is_refused(monkeypatch, tmp_path):
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


def test_a_user_without_a_home_folder_is_asked_for_one(tmp_path):
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


@pytest.mark.parametrize("store", ["bars/", "/bars"])
def test_a_home_holds_its_own_files_and_store_but_nothing_of_a_neighbour_with_its_prefix(
    store, tmp_path
):
    place = current_home({"STOCKML_HOME": str(tmp_path), "STOCKML_STORE": store})
    own = BarStore.of(place).path("KO")
    assert place.holds(own)
    assert place.holds(str(place.models / "KO"))
    assert not place.holds(own.replace("/KO", "2/KO"))
    assert not place.holds(f"{tmp_path}2/models/KO")


def test_a_home_shows_no_password_when_printed(tmp_path):
    shared = {"STOCKML_DATABASE_URL": "postgresql://me:hidden@db:5432"}
    place = current_home({"STOCKML_HOME": str(tmp_path), **shared})
    assert place.database == "me:hidden@db:5432"
    assert place.mlflow_database == "postgresql+psycopg://me:hidden@db:5432/mlflow"
    assert place.tracking_uri == place.mlflow_database
    assert "hidden" not in f"{place!r} {place}"


REFUSED = (
    (
        "STOCKML_HOME STOCKML_STORE",
        "a path that leads to a folder",
        ["~nobody-of-this-name/stockml"],
    ),
    (
        "STOCKML_DATABASE_URL",
        "password as %2F",
        [
            *("hidden", "mysql://me:hidden@db"),
            *(f"postgresql://me:{mark}hidden{mark}word@db:5433" for mark in "/?#@[%"),
        ],
    ),
    (
        "STOCKML_DATABASE_URL",
        "PGSSLMODE asks for TLS",
        ["postgresql://me:hidden@db?sslmode=verify-full"],
    ),
    (  # runs and errors show these
        "STOCKML_STATE STOCKML_STORE STOCKML_ARTIFACTS",
        "an address without a password",
        ["s3://AKIA:hidden@bucket/x", "s3://AKIA:hidden/1@bucket", "ftp://me:hidden@host/x"],
    ),
    (  # a library that is to send it in a header repeats it in its error
        "MLFLOW_TRACKING_TOKEN PREFECT_API_KEY AWS_SESSION_TOKEN",
        "without a line end",
        ["hidden\n", " hidden", "hidden\u00e9"],
    ),
    (
        "MLFLOW_TRACKING_URI",
        "an address whose port",
        [
            *(
                f"https://me:hidden@{host}"
                for host in ("mlflow:50OO", "mlflow:0", "mlflow:65536", "[")
            ),
            *(f"http://me:12{mark}hidden@mlflow:5000" for mark in "/?#"),  # as the host `me`
            "postgresql://me:12@hidden@mlflow/mlflow",  # as the host `hidden@mlflow`
        ],
    ),
    (  # Prefect's client takes a part of it for a port, repeats that in its error, and no run begins
        "HTTPS_PROXY http_proxy",
        "an address whose port",
        [
            f"{scheme}me:{password}@proxy:3128"
            for scheme in ("http://", "")
            for password in ("hidden/1", "hidden#1", "12?hidden", "[hidden")
        ],
    ),
    (  # nor does MLflow register a new model in a folder, where it allows that
        "MLFLOW_TRACKING_URI",
        "the address of an MLflow server",
        ["foo", "foo://me:hidden@x", "./hidden", "file:///hidden", "postgres://me:hidden@x"],
    ),
)


@pytest.mark.parametrize(
    ("name", "wanted", "address"),
    [
        (name, wanted, address)
        for names, wanted, addresses in REFUSED
        for name in names.split()
        for address in addresses
    ],
)
def test_an_invalid_address_or_secret_is_refused_by_name_without_being_shown(name, wanted, address):
    with pytest.raises(InvalidSetting, match=f"{name} to be .*{wanted}") as refused:
        current_home({name: address, "MLFLOW_ALLOW_FILE_STORE": "true"})
    assert "hidden" not in "".join(traceback.format_exception(refused.value))
