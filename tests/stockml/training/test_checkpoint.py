"""The checkpoint brings an interrupted training back exactly, or not at all; an epoch is told in one line."""

from stockml.training.checkpoint import EpochProgress


def test_an_epochs_line_shows_losses_correlation_rate_and_time_left() -> None:
    row = EpochProgress(
        "tutorial", 3, 30, 1.25, validation_loss=0.0042, seconds=12.0, learning_rate=1e-4, test_loss=0.00243,
        last_value_loss=0.00268, correlation=0.321, seconds_left=324.0,
    )  # fmt: skip
    assert str(row) == (
        "epoch 3 of 30: train 1.2500, test 0.00243, last value 0.00268, moves +0.32, "
        "validation 0.00420, rate 1.0e-04; 12 s, 5.4 min left"
    )
