"""A reader of a module finds what it promises in a test of its name: tests/ mirrors stockml, tasks, flows, deployments.

`test_MODULE.py` stands in the folder of the module's own name, and `test_MODULE_….py` beside it where that is long. Of
deployments/ all tests are in one folder, and may begin with the module's folder: `test_cli_bars.py`.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGES = ("stockml", "tasks", "flows", "deployments")

ELSEWHERE = {  # modules without a test of their name: the tests that hold them, and why
    "tasks/errors.py": ("tests/stockml/test_errors.py", "samples of all errors stand together"),
    "deployments/errors.py": ("tests/stockml/test_errors.py", "samples of all errors stand together"),
    "deployments/cli/__main__.py": ("tests/deployments/test_wheel.py", "run as a program, and as `python -m`"),
    "deployments/servers/prefect_app.py": ("tests/deployments/test_servers_doors.py", "asked as a running server"),
    "tasks/later_runs.py": ("tests/flows/test_tonight.py", "schedules another run of the flow that calls it"),
    "deployments/cli/register.py": ("tests/deployments/test_stack.py", "run by `up`"),
}
OF_NO_MODULE = {  # tests of what no module holds alone
    "tests/stockml/test_docstrings.py": "every public docstring",
    "tests/stockml/test_rooms.py": "every room and file",
    "tests/stockml/nights/test_no_lookahead.py": "all that is computed as of a session, in four rooms",
    "tests/deployments/test_makefile.py": "the Makefile",
    "tests/deployments/test_requirements.py": "the pinned packages",
    "tests/deployments/test_variants.py": "docker/ and kubernetes/",
    "tests/deployments/test_wheel.py": "the wheel",
}


def modules(project: Path) -> Iterator[tuple[str, list[str]]]:
    """Each module's path, and the names that its test may have, from the project's folder."""
    for package in PACKAGES:
        for path in sorted((project / package).rglob("*.py")):
            if path.stem == "__init__":
                continue
            module = path.relative_to(project)
            if package == "deployments":
                names = {path.stem, "_".join((*module.parts[1:-1], path.stem))}
                yield module.as_posix(), sorted(f"tests/deployments/test_{name}.py" for name in names)
            else:
                yield module.as_posix(), [f"tests/{module.parent.as_posix()}/test_{path.stem}.py"]


def without_test(project: Path) -> list[str]:
    return [module for module, tests in modules(project) if not any((project / each).is_file() for each in tests)]


def of_no_module(project: Path) -> list[str]:
    """The tests in mirrored folders whose name begins with that of no module of this folder."""
    known = {each.removesuffix(".py") for _, tests in modules(project) for each in tests}
    known |= {f"tests/deployments/test_{path.name}" for path in (project / "deployments").glob("*/")}
    found = (path for package in PACKAGES for path in (project / "tests" / package).rglob("test_*.py"))
    names = sorted(path.relative_to(project).with_suffix("").as_posix() for path in found)
    return [f"{name}.py" for name in names if not any(name == each or name.startswith(f"{each}_") for each in known)]


def test_every_module_has_a_test_of_its_name_or_is_named_with_the_reason() -> None:
    assert sorted(without_test(PROJECT)) == sorted(ELSEWHERE)
    assert [where for where, _ in ELSEWHERE.values() if not (PROJECT / where).is_file()] == []


def test_every_test_of_a_mirrored_folder_has_the_name_of_a_module_or_is_named_with_the_reason() -> None:
    assert of_no_module(PROJECT) == sorted(OF_NO_MODULE)


@pytest.mark.parametrize(
    ("module", "test", "missing", "stray"),
    [
        ("stockml/prices/bars.py", "tests/stockml/prices/test_bars.py", 0, 0),
        ("stockml/prices/bars.py", "tests/stockml/prices/test_bars_of_weeks.py", 1, 0),
        ("stockml/prices/bars.py", "tests/stockml/prices/test_barsoom.py", 1, 1),
        ("stockml/prices/bars.py", "tests/stockml/test_bars.py", 1, 1),
        ("stockml/models/tutorial/cells.py", "tests/stockml/models/tutorial/test_cells.py", 0, 0),
        ("deployments/cli/bars.py", "tests/deployments/test_cli_bars.py", 0, 0),
        ("deployments/cli/bars.py", "tests/deployments/test_bars.py", 0, 0),
        ("deployments/cli/bars.py", "tests/deployments/test_cli_commands.py", 1, 0),
        ("deployments/run.py", "tests/deployments/test_run.py", 0, 0),
        ("deployments/run.py", "tests/deployments/test_walk.py", 1, 1),
        ("tasks/__init__.py", "tests/tasks/test_steps.py", 0, 1),
    ],
)
def test_a_missing_test_and_a_stray_one_are_found(
    module: str, test: str, missing: int, stray: int, tmp_path: Path
) -> None:
    for name in (module, test):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert (without_test(tmp_path), of_no_module(tmp_path)) == ([module] * missing, [test] * stray)
