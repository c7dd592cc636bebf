"""Search settings of the tutorial's network: trials learn from the training part and are judged on
its newest eleventh; the best become the ticker's settings file, which its nights then use.

The test part is not looked at, so a night may still measure on it. Optuna is imported inside the
functions. A study belongs to one series, one set of other settings and one code hash, within which
trials compare and the search resumes.
"""

import hashlib
import json
import random
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stockml.code_version import code_hash
from stockml.errors import Diverged, InvalidFile, InvalidSetting, quantity
from stockml.home import HomePaths
from stockml.prices.series import PriceSeries
from stockml.settings import Sampler, Settings, night_settings, settings_for
from stockml.storage.arrays import packed
from stockml.storage.files import write_atomically
from stockml.storage.locks import file_lock
from stockml.training.checkpoint import EpochProgress
from stockml.training.train import learning_sha256
from stockml.training.tutorial import last_value_loss, lowest_loss

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

PROFILE = "tutorial"  # the only profile that is tuned; the nightly one is pretrained
State = Literal["complete", "pruned", "failed"]
BUSY_WAIT_S = 1.0
FINISHED = ("COMPLETE", "PRUNED")
FIRST_UNPRUNED = 5  # trials, before one may be pruned by the median of the others at its epoch

# what the tutorial's author calls most critical, and the cells and optimisers that he names
SPACE: dict[str, tuple[Any, ...]] = {
    "network.cell": ("lstm", "gru", "peephole"),
    "network.units": ((200, 200, 150), (100, 100, 75), (200,), (64, 64)),
    "network.dropout": (0.0, 0.2),
    "training.optimizer": ("adam", "adamw", "rmsprop", "sgd"),
    "training.learning_rate": (1e-4, 3e-4, 1e-3),
}


@dataclass(frozen=True)
class TrialRecord:
    """A finished trial.  losses: by epoch.  loss: the lowest, if it is complete.  best: the lowest
    of all so far.

    last_value_loss: that of "the price stays" from the same starts.
    """

    ticker: str
    study: str
    number: int
    of: int
    state: State
    settings: Mapping[str, Any]
    losses: tuple[float, ...]
    loss: float | None
    best: float | None
    began: datetime
    seconds: float
    last_value_loss: float


@dataclass(frozen=True)
class TuningResult:
    """The result of a search.  default_loss: of its start, None if untried; last_value_loss: of no
    move."""

    ticker: str
    trials: int
    pruned: int
    loss: float
    default_loss: float | None
    last_value_loss: float
    settings: Mapping[str, Any]
    path: Path
    replaced: str  # whose settings stood in the file

    @property
    def text(self) -> str:
        """How many trials, the best loss beside those of the start and of the last value, and what
        it replaced."""
        default = "not known" if self.default_loss is None else f"{self.default_loss:.5f}"
        tried = f"{quantity(self.trials, 'trial')}, {self.pruned} of them ended early"
        lowest = (
            f"validation loss {self.loss:.5f}, the lowest, so partly luck; of its first settings: "
            f"{default}"
        )
        return f"{tried}; {lowest}; of the last value: {self.last_value_loss:.5f}{self.replaced}"

    def as_options(self) -> dict[str, str]:
        """The settings, each value as `--set` takes it."""
        return {
            name: json.dumps(value, separators=(",", ":")).strip('"')
            for name, value in self.settings.items()
        }


@dataclass(frozen=True, eq=False)
class Search:
    """One search: the series, the settings that are not searched, and the space of those that
    are."""

    ticker: str
    series: PriceSeries
    initial: Settings
    sampler: Sampler
    space: Mapping[str, tuple[Any, ...]]

    def __post_init__(self) -> None:
        if self.initial.profile != PROFILE:
            bound = (
                f"{PROFILE}: the nightly network is the pretrained one, which `stockml pretrain` "
                "learns"
            )
            raise InvalidSetting("profile", self.initial.profile, bound)
        night_settings(self.initial)
        for name, values in self.space.items():
            for value in values:
                night_settings(settings_for(PROFILE, {name: value}))

    @property
    def study(self) -> str:
        """The study's name: equal for searches whose trials compare."""
        facts = json.dumps(
            [learning_sha256(self.initial), {k: list(v) for k, v in self.space.items()}],
            sort_keys=True,
        )
        content = f"{facts} {code_hash('training.tutorial')}".encode() + packed(
            astuple(self.series)
        )
        return f"{self.ticker} {hashlib.sha256(content).hexdigest()[:16]}"

    def labels(self) -> dict[str, list[str]]:
        """The space as Optuna stores it: each value a category, in JSON."""
        return {
            name: [json.dumps(value) for value in values] for name, values in self.space.items()
        }

    def start(self) -> dict[str, str]:
        """The initial value of each searched setting, where the space has it."""
        current = {name: json.dumps(value) for name, value in self.initial.flat().items()}
        return {
            name: current[name] for name, values in self.labels().items() if current[name] in values
        }


def tune(
    home: HomePaths,
    search: Search,
    *,
    trials: int,
    on_trial: Callable[[TrialRecord], None] = lambda _: None,
) -> TuningResult:
    """Bring the study to `trials` trials and write the best settings as the ticker's settings file.

    `on_trial` is called for every finished trial, first for those of an earlier, interrupted call.
    Ctrl-C ends the search, keeps what is done, and propagates. Raises TooFewBars, StoreBusy,
    Diverged when every trial diverged, and InvalidFile, before the first of them, where
    the ticker has settings or trials that cannot be read.
    """
    replaced = other_search(home, search.ticker, search.study)
    with file_lock(home.locks / f"tune-{search.ticker}.lock", BUSY_WAIT_S):
        _check_journal(_journal(home, search))
        study = _study(home, search)
        for finished in _trials(study, *FINISHED):
            on_trial(_trial_record(search, study, finished, trials))
        missing = trials - len(_trials(study, *FINISHED))
        missing = _queue_grid(search, study, missing) if search.sampler == "grid" else missing
        try:
            study.optimize(
                lambda trial: _trial_loss(search, study, trial),
                n_trials=max(missing, 0),
                catch=(Diverged,),
                callbacks=[lambda _, trial: on_trial(_trial_record(search, study, trial, trials))],
            )
        finally:
            result = _write_best(home, search, study, replaced)
    if result is None:
        raise Diverged(0, float("nan"))
    return result


def _trial_loss(search: Search, study: "Study", trial: "Trial") -> float:
    """Run a trial and return its validation loss; prune it when it falls behind the others."""
    from optuna import TrialPruned

    chosen = {
        name: trial.suggest_categorical(name, values) for name, values in search.labels().items()
    }
    for earlier in _trials(study, "COMPLETE"):
        # equal seeds would only repeat it
        if earlier.params == chosen and earlier.value is not None:
            return earlier.value

    def prune(row: EpochProgress) -> None:
        trial.report(row.validation_loss, row.epoch)
        if trial.should_prune() and row.epoch < row.epochs:
            raise TrialPruned

    return lowest_loss(
        search.series.mid,
        settings_for(PROFILE, {**_overrides(search.initial), **_decoded(chosen)}),
        prune,
    )


def _study(home: HomePaths, search: Search) -> "Study":
    """Create or reopen the study in its journal; its seed grows with its trials, so that none is
    drawn again."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = _journal(home, search)
    path.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(path))),
        study_name=search.study,
        load_if_exists=True,
        direction="minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=FIRST_UNPRUNED, n_warmup_steps=1),
    )
    # its process was killed: we hold the lock, so none is running
    for interrupted in _trials(study, "RUNNING"):
        if (params := _params_of(interrupted)) and params not in map(
            _params_of, _trials(study, "WAITING")
        ):
            study.enqueue_trial(params)
        study.tell(interrupted.number, state=optuna.trial.TrialState.FAIL)
    sampler = (
        optuna.samplers.TPESampler if search.sampler == "tpe" else optuna.samplers.RandomSampler
    )
    study.sampler = sampler(seed=search.initial.training.seed + len(study.trials))
    start = search.start()
    if not study.trials and (search.sampler != "grid" or len(start) == len(search.space)):
        study.enqueue_trial(start)
    return study


def _journal(home: HomePaths, search: Search) -> Path:
    return home.root / "tuning" / f"{search.ticker}.journal"


def _check_journal(path: Path) -> None:
    """Raise InvalidFile for a damaged journal: Optuna would append to a line that was cut off."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            is_valid = line.endswith(b"\n") and "op_code" in json.loads(line)
        except (ValueError, TypeError):
            is_valid = False
        if not is_valid:
            problem = f"damage in line {number} of {len(lines)}"
            way_on = "remove that line, or move the file away, and the search starts over"
            raise InvalidFile(
                str(path), f"expected the trials of a search, found {problem}; {way_on}"
            )


def _queue_grid(search: Search, study: "Study", limit: int) -> int:
    """Queue the grid's untried points, which Optuna's grid sampler does not know; return how many
    trials to run."""
    labels, waiting = search.labels(), _trials(study, "WAITING")
    # not a failed one: it may have been interrupted
    tried = [*map(_params_of, _trials(study, *FINISHED, "WAITING"))]
    points = [dict(zip(labels, values, strict=True)) for values in product(*labels.values())]
    random.Random(search.initial.training.seed).shuffle(points)
    untried = [point for point in points if point not in tried]
    for point in untried[: max(limit - len(waiting), 0)]:
        study.enqueue_trial(point)
    return min(limit, len(waiting) + len(untried))


def _params_of(trial: "FrozenTrial") -> dict[str, Any]:
    """The settings that a trial was queued with, else those that it has drawn so far."""
    return dict(trial.system_attrs.get("fixed_params") or trial.params)


def _trials(study: "Study", *states: str) -> "list[FrozenTrial]":
    """Trials in one of the states, in the order in which they began."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in states]


def _write_best(
    home: HomePaths, search: Search, study: "Study", replaced: str
) -> TuningResult | None:
    """Write the best so far as the ticker's settings; None when no trial is complete."""
    if not (complete := _trials(study, "COMPLETE")):
        return None
    best, trials = study.best_trial, len(_trials(study, *FINISHED))
    default_loss = next((trial.value for trial in complete if trial.params == search.start()), None)
    settings = {**_overrides(search.initial), **_decoded(best.params)}
    record = {
        "study": search.study,
        "trial": best.number,
        "validation_loss": best.value,
        "default_loss": default_loss,
    }
    return TuningResult(
        ticker=search.ticker,
        trials=trials,
        pruned=len(_trials(study, "PRUNED")),
        loss=study.best_value,
        default_loss=default_loss,
        last_value_loss=last_value_loss(search.series.mid, search.initial),
        settings=settings,
        replaced=replaced,
        path=write_tuned_settings(home, search.ticker, settings, record | {"trials": trials}),
    )


def _trial_record(search: Search, study: "Study", trial: "FrozenTrial", trials: int) -> TrialRecord:
    is_complete, is_pruned = (trial.state.name == name for name in ("COMPLETE", "PRUNED"))
    return TrialRecord(
        ticker=search.ticker,
        study=search.study,
        number=trial.number,
        of=trials,
        state="complete" if is_complete else "pruned" if is_pruned else "failed",
        settings=_overrides(search.initial) | _decoded(trial.params),
        losses=tuple(loss for _, loss in sorted(trial.intermediate_values.items())),
        loss=trial.value if is_complete else None,
        best=min(
            (each.value for each in _trials(study, "COMPLETE") if each.value is not None),
            default=None,
        ),
        began=(trial.datetime_start or datetime.now()).astimezone(UTC),
        seconds=trial.duration.total_seconds() if trial.duration else 0.0,
        last_value_loss=last_value_loss(search.series.mid, search.initial),
    )


def _decoded(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: json.loads(value) for name, value in params.items()}


def space_beside(fixed: Collection[str]) -> dict[str, tuple[Any, ...]]:
    """The usual values to try, for all settings but these."""
    return {name: values for name, values in SPACE.items() if name not in fixed}


def _overrides(settings: Settings) -> dict[str, Any]:
    """The settings, mode aside, that differ from their profile's."""
    defaults = settings_for(settings.profile).flat()
    return {
        name: value
        for name, value in settings.flat().items()
        if value != defaults[name] and name != "mode"
    }


def path_of(home: HomePaths, ticker: str) -> Path:
    return home.settings / f"{ticker}.json"


def tuned_settings(home: HomePaths, ticker: str, profile: str = PROFILE) -> dict[str, Any]:
    """The ticker's tuned settings as dotted overrides, empty where the profile has none.  Raises
    InvalidFile."""
    path = path_of(home, ticker)
    if profile != PROFILE or not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
        checksum = content.pop("crc32", None)
        # without it a bit flipped in the name `crc32` would pass
        known = {"ticker", "profile", "settings", "found"}
        if checksum not in (None, _crc32(content)) or not content.keys() <= known:
            raise ValueError("damage, or a change by hand (take its line `crc32` out to keep that)")
        # an earlier version tuned a nightly network of the ticker's own
        if content["profile"] != profile:
            return {}
        settings: dict[str, Any] = dict(content["settings"])
        settings_for(PROFILE, settings)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        InvalidSetting,
    ) as error:
        way_back = "restore it from a backup, correct it or remove it"
        raise InvalidFile(
            str(path), f"expected tuned settings, found {error}; {way_back}"
        ) from error
    return settings


def other_search(home: HomePaths, ticker: str, study: str) -> str:
    """A clause on the search that found the ticker's settings; empty if it is this study, or there
    is none."""
    found = (
        json.loads(path_of(home, ticker).read_text()).get("found", {})
        if tuned_settings(home, ticker)
        else {}
    )
    if found.get("study", study) == study:
        return ""
    trials, loss = quantity(found["trials"], "trial"), found["validation_loss"]
    return (
        f"; replaces the settings of another search, whose repetition brings them back: {trials}, "
        f"loss {loss:.5f}"
    )


def write_tuned_settings(
    home: HomePaths, ticker: str, settings: Mapping[str, Any], search: Mapping[str, Any]
) -> Path:
    """Write dotted overrides, and the search's figures.  Raises InvalidFile, writing nothing, over
    a damaged file."""
    tuned_settings(home, ticker)
    path = path_of(home, ticker)
    content = {
        "ticker": ticker,
        "profile": PROFILE,
        "settings": dict(settings),
        "found": dict(search),
    }
    content["crc32"] = _crc32(content)
    write_atomically(
        path, (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
    )
    return path


def _crc32(content: Mapping[str, Any]) -> str:
    """CRC-32 of the content, however it is laid out."""
    return f"{zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"
