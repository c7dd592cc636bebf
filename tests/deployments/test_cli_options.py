"""The values of options, as people write them."""

from datetime import UTC, datetime

from deployments.cli.options import as_days, as_settings, as_time


def test_settings_and_times_are_read_as_people_write_them() -> None:
    assert as_settings(
        [
            "training.epochs=3",
            "training.learning_rate=1e-3",
            "network.units=[48, 48]",
            "network.cell=lstm",
        ]
    ) == {
        "training": {"epochs": 3, "learning_rate": 0.001},
        "network": {"units": [48, 48], "cell": "lstm"},
    }
    assert as_days(["model_days=030", "payload_days=0400"]) == {
        "model_days": 30,
        "payload_days": 400,
    }, "not octal"
    assert as_time("2026-11-20T22:45:00-05:00").astimezone(UTC) == datetime(
        2026, 11, 21, 3, 45, tzinfo=UTC
    )
    assert as_time("2026-11-20T10:00").tzinfo is UTC
    assert as_time("2026-11-20").time().isoformat() == "23:59:59"
