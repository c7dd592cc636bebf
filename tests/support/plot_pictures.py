"""`python -m tests.support.plot_pictures` draws the plots in docs/numbers.md, from IBM's recorded
night."""

from pathlib import Path

from stockml.plots.style import png
from tests.stockml.plots.recorded import drawn

FOLDER = Path(__file__).parents[2] / "docs" / "images" / "plots"
NAMES = (
    "forecast",
    "leads",
    "ledger",
    "calibration",
    "residuals",
    "changes",
    "averages",
    "history",
    "normalised",
)
NAMES += ("training", "evolution", "volatility")
# the variants that show what a night seldom has
AS_IT_WAS = {"forecast": "forecast as it was"}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (FOLDER / f"{name}.png").write_bytes(png(drawn(AS_IT_WAS.get(name, name))))


if __name__ == "__main__":
    main()
