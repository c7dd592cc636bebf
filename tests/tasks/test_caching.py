"""Steps are cached by content: same content, same key; if anything that matters changes, the right
step runs again."""

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL

from stockml.home import HomePaths, current_home
from stockml.storage.files import sha256_of, write_atomically
from stockml.storage.receipts import PayloadReceipt, StoreReceipt
from tasks.steps import identity, step, with_home_storage
from tests.support.copied_code import copied, run_on

pytestmark = pytest.mark.slow

FRIDAY = date(2013, 3, 1)


@step("write prices", module="home", ignores=("now",))
def write_prices(ticker: str, session: date, now: int) -> PayloadReceipt:
    path = current_home().root / f"{ticker} prices"
    write_atomically(path, f"prices of {ticker} on {session}".encode())
    sha256, received_at = sha256_of(path) or "", datetime(2013, 3, 2, 4, tzinfo=UTC)
    return PayloadReceipt(ticker, str(path), sha256, session, session, received_at, rows_before=0)


@step("count prices", module="settings")
def count_prices(prices: PayloadReceipt, weight: float, now: int) -> StoreReceipt:
    path = current_home().root / "count"
    write_atomically(path, f"{Path(prices.path).read_bytes()!r} {weight}".encode())
    return StoreReceipt(prices.ticker, str(path), sha256_of(path) or "", prices.session, 1, 0, 0)


@flow
def two_steps(
    ticker: str = "IBM", weight: float = 1.0, now: int = 0, force: bool = False
) -> list[str]:
    """The states of both steps, in order, of which only the first ignores `now`."""
    write, count = (with_home_storage(each, force=force) for each in (write_prices, count_prices))
    first = write(ticker, FRIDAY, now, return_state=True)
    second = count(first.result(), weight, now, return_state=True)
    return [first.name, second.name]


def lose_the_first_file(place: HomePaths) -> dict[str, object]:
    (place.root / "IBM prices").unlink()
    return {}


def change_the_second_file(place: HomePaths) -> dict[str, object]:
    (place.root / "count").write_text("somebody else's")
    return {}


def break_a_kept_result(place: HomePaths) -> dict[str, object]:
    next(place.results.glob("count-prices-*")).write_text("{ broken")
    return {}


@pytest.mark.parametrize(
    ("change", "states"),
    [
        (lambda place: {"weight": 2.0}, ["Cached", "Completed"]),
        (lambda place: {"force": True}, ["Completed", "Completed"]),
        (lose_the_first_file, ["Completed", "Cached"]),
        (change_the_second_file, ["Cached", "Completed"]),
        (break_a_kept_result, ["Cached", "Completed"]),
    ],
)
@pytest.mark.usefixtures("prefect_server")
def test_exactly_the_right_steps_run_again(
    home: HomePaths, change: Callable[[HomePaths], dict[str, object]], states: list[str]
) -> None:
    assert two_steps() == ["Completed", "Completed"]
    assert two_steps(**change(home)) == states


@pytest.mark.usefixtures("prefect_server")
def test_a_copied_home_reruns_steps_whose_results_are_in_the_original(
    home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_steps()
    monkeypatch.setenv(
        "STOCKML_HOME", str(shutil.copytree(home.root, home.root.with_name("copied")))
    )
    assert two_steps() == ["Completed", "Completed"]


@pytest.mark.usefixtures("home", "prefect_server")
def test_a_changed_line_of_code_reruns_the_step_that_uses_it(tmp_path: Path) -> None:
    assert two_steps() == ["Completed", "Completed"]
    copy = copied(tmp_path)
    with (copy / "settings.py").open("a") as file:
        file.write("MORE = 1\n")
    code = (
        "import json; from tests.tasks.test_caching import two_steps; "
        "print(json.dumps(two_steps()))"
    )
    assert run_on(copy, code, PREFECT_API_URL=PREFECT_API_URL.value()) == ["Cached", "Completed"]


def test_an_input_without_an_identity_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a receipt"):
        identity(object())
