"""A night's steps: the code of each is what its module imports, so that no other step runs again."""

import pytest

from stockml.code_version import sources
from tasks import steps


@pytest.mark.parametrize(
    ("module", "of"),
    [
        ("pipeline.evaluate", {"evaluate"}),
        ("pipeline.publish", {"publish"}),
        ("plots.forecast", {"log run"}),
        ("tracking.runs", {"log run"}),
        ("nights.universe", set()),
    ],
)
def test_a_steps_code_is_what_its_module_imports(module: str, of: set[str]) -> None:
    keys = {each.name: key for each in vars(steps).values() if (key := getattr(each, "cache_key_fn", None))}
    assert {name for name, key in keys.items() if module in sources(*key.args)} == of
