"""What one night did, as plain data: logged to MLflow, printed in the terminal, kept in
`night.json`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

from stockml.errors import InvalidFile
from stockml.evaluation.distribution_scores import CrpsComparison, DistributionTable, row_of
from stockml.evaluation.outlook_scores import OutlookScore
from stockml.evaluation.path_scores import (
    CHAMPION,
    LSTM,
    PUBLISHED,
    WITHOUT_NETWORK,
    Comparison,
    Evaluation,
    Score,
)
from stockml.evaluation.promotion_gate import Verdict
from stockml.forecasts.forecast import EXPIRES_AFTER, Forecast
from stockml.forecasts.proper_scores import is_clear
from stockml.storage.files import write_atomically
from stockml.storage.os_errors import unfinished_rename
from stockml.storage.receipts import read_record, record, sealed, unsealed, written_record

Status = Literal["completed", "skipped"]


@record
@dataclass(frozen=True)
class Night:
    """One ticker's night. A skipped one has no evaluation, verdict or forecast.

    `reason`: why this mode was chosen, or why the night did not complete. `metrics`: the night's
    numbers by name (`lstm/skill`, `live/coverage_80`); unknown ones are left out, never NaN.
    `history`: one row per step of a training, of the tutorial's per epoch. `model_folder`:
    tonight's model; `champion_kept`: whether that is the champion unchanged. `plots_folder`: those
    of the `figures` that are drawn, as PNG files. `evaluation_folder`: the assessment.
    `dataset_path`: the series that the model saw. `calendar`: the exchange's, where the ticker's
    suffix does not tell. `data_notes`: what a reader should know about the bars, in sentences.
    `finished_at`: when the night was measured; it stamps every metric, so that logging a night
    again adds nothing.
    """

    ticker: str
    session: date
    key: str
    data_hash: str
    config_hash: str
    code_hash: str
    finished_at: datetime
    settings: Mapping[str, Any] = field(default_factory=dict)
    status: Status = "completed"
    mode: str = ""
    reason: str = ""
    rows_added: int = 0
    rows_restated: int = 0
    sessions: int = 0
    evaluation: Evaluation | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()
    verdict: Verdict | None = None
    forecast: Forecast | None = None
    distributions: DistributionTable | None = None
    outlook_scores: tuple[OutlookScore, ...] = ()
    publisher: str = ""
    champion_kept: bool | None = None
    model_folder: str | None = None
    model_sha256: str | None = None
    evaluation_folder: str | None = None
    dataset_path: str | None = None
    calendar: str | None = None
    plots_folder: str | None = None
    figures: tuple[str, ...] = ()
    flow_run_url: str | None = None
    git_commit: str | None = None
    git_diff: str | None = None
    seconds: float = 0.0
    mlflow_run_id: str | None = None
    mlflow_run_url: str | None = None
    mlflow_nights_url: str | None = None
    model_version: str | None = None
    data_notes: tuple[str, ...] = ()

    @classmethod
    def skipped(
        cls, ticker: str, session: date, reason: str, at: datetime, config_hash: str = ""
    ) -> "Night":
        """A night that had nothing to do, or could do nothing."""
        return cls(ticker, session, "", "", config_hash, "", at, status="skipped", reason=reason)

    @property
    def run_name(self) -> str:
        return f"{self.ticker} {self.session} {self.mode}"

    @property
    def keeps_champion(self) -> bool:
        """Whether the night made no model of its own; records of earlier versions say so by
        mode."""
        return self.mode == "keep" if self.champion_kept is None else self.champion_kept

    @property
    def expires_after(self) -> int:
        """The age in sessions beyond which the forecast has expired, by the night's own
        settings."""
        return int(self.settings.get("ageing.old_forecast", EXPIRES_AFTER))

    @property
    def publishes_a_path(self) -> bool:
        """Whether the published network forecasts a path, as the tutorial's does, rather than a
        width.

        False where tonight's network does but a champion of the other kind is published in its
        place.
        """
        if self.forecast and self.forecast.outlook:
            return self.by_network and self.forecast.without_network
        return self.score(LSTM) is not None  # a record of the first versions

    @property
    def path_adds(self) -> Comparison | None:
        """The published path, where it is a network's, against the same procedure without the
        network."""
        if self.evaluation is None or not self.publishes_a_path:
            return None
        return self.evaluation.comparison(PUBLISHED, WITHOUT_NETWORK)

    @property
    def network_adds(self) -> CrpsComparison | None:
        """The width of the network that would publish, against the ridge regression's."""
        return self.distributions.network_adds if self.distributions else None

    @property
    def network_helps(self) -> bool | None:
        """Whether the network's gain, in width or path, is beyond luck; None where luck may explain
        it."""
        width, path = self.network_adds, self.path_adds
        clear = [width.skill > 0] if width and is_clear(width.p_value) else []
        if path and path.skill_difference and is_clear(path.p_value):
            clear.append(path.skill_difference > 0)
        return any(clear) if clear else None

    @property
    def training_adds(self) -> CrpsComparison | None:
        """The width of tonight's trained network against the pretrained one's; None where that is
        published."""
        return self.distributions.training_adds if self.distributions else None

    @property
    def by_network(self) -> bool:
        """Whether a network's distribution is published, and not a regression's."""
        return self.publisher in (LSTM, CHAMPION)

    @property
    def over_regression(self) -> CrpsComparison | None:
        """The published distribution against the regression's, neither symmetrised."""
        return self.distributions.whole.get(row_of(self.publisher)) if self.distributions else None

    @property
    def stands_still(self) -> bool:
        return bool(self.evaluation and self.evaluation.stands_still)

    def score(self, name: str) -> Score | None:
        return self.evaluation.scores.get(name) if self.evaluation else None


def model_name(ticker: str) -> str:
    return f"lstm-{ticker}"


def night_path(nights: Path, ticker: str, key: str) -> Path:
    """Where a night is kept: nights/<ticker>/<first 16 hex digits of its key>/night.json."""
    return nights / ticker / key[:16] / "night.json"


def kept_night(nights: Path, ticker: str, key: str) -> Night | None:
    return night_in(night_path(nights, ticker, key))


def night_in(path: Path) -> Night | None:
    """The night in this file; None if it is missing or unreadable."""
    try:
        return read_night(path) if path.is_file() else None
    except InvalidFile:
        return None


def put_aside(path: Path) -> None:
    """Rename an unreadable record to `<name>.damaged`, so that the new one does not overwrite
    it."""
    if path.is_file():
        path.rename(path.with_name(f"{path.name}.damaged"))


def kept_nights(nights: Path, ticker: str) -> list[Night]:
    """The ticker's nights by session, oldest first, without unreadable records. A skipped night has
    none."""
    nights_read = filter(None, map(night_in, nights.glob(f"{ticker}/*/night.json")))
    return sorted(nights_read, key=lambda night: (night.session, night.finished_at))


def write_night(night: Night, path: Path) -> None:
    """Write the night as JSON with its checksum; the same night gives the same bytes."""
    write_atomically(path, sealed(written_record(night, dense=True)))


def read_night(path: Path, *, of: str = "") -> Night:
    """Read what `write_night` wrote, its paths corrected where the home has moved. Raises
    InvalidFile.

    of: the night's ticker, if its folder is named after another already.
    """
    kind, *at = path.absolute().parts[-4:-1]
    way_back = "restore it from a backup, or move it away; that night run again makes it anew"
    try:
        night = read_record(Night, unsealed(path.read_bytes()))
        if kind == "nights" and [of or at[0], at[1]] != [night.ticker, night.key[:16]]:
            if night.ticker != at[0]:
                way_back = unfinished_rename(night.ticker, at[0]) + way_back
            raise ValueError(f"that of another, {night.run_name} ({night.key[:16]})")
    except ValueError as error:
        raise InvalidFile(
            str(path), f"expected a night's record, found {error}; {way_back}"
        ) from error
    fields = ("model_folder", "evaluation_folder", "dataset_path")
    relocated: dict[str, Any] = {name: _relocated(path, getattr(night, name)) for name in fields}
    # plots that are gone are not looked for in the home that this one was copied from
    return replace(
        night, **relocated, plots_folder=_relocated(path, night.plots_folder, even_gone=True)
    )


def check_night(path: Path) -> None:
    """Raise InvalidFile as `read_night` does, in a tenth of the time: a record that fits its seal
    needs no parsing."""
    try:
        content = path.read_bytes()
        ticker, key = path.parts[-3:-1]
        # " ": earlier versions
        has_ticker = (f'"ticker":{gap}"{ticker}"'.encode() in content for gap in ("", " "))
        if unsealed(content) != content and key.encode() in content and any(has_ticker):
            return
    except ValueError:
        pass
    read_night(path)


def _relocated(record: Path, path: str | None, *, even_gone: bool = False) -> str | None:
    """`path` as <kind>/<ticker>/<name> in the home of `record`, if it exists there or
    `even_gone`."""
    record = record.absolute()
    if path is None or record.parts[-4:-3] != ("nights",) or len(parts := Path(path).parts) < 3:
        return path
    moved = record.parents[3] / parts[-3] / record.parents[1].name / parts[-1]
    return str(moved) if even_gone or moved.exists() else path
