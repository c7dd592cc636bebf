"""A ticker's network (the pretrained one, and what training has made of it); whether it is
retrained, fine-tuned or kept; a night's two networks as one value, and the folder of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from stockml.errors import InvalidFile, InvalidSetting, quantity
from stockml.features.origins import OriginSplit
from stockml.models.forecasters import PackagedForecaster, registered
from stockml.models.pretrained_network import PretrainedNetwork
from stockml.models.regressions import RIDGE, published_median
from stockml.models.tutorial_recipe import TutorialForecaster, TutorialScale
from stockml.models.vintage_set import VintageSet, file_of
from stockml.models.vintage_store import READ_ERRORS, SHIPPED
from stockml.prices.series import PriceSeries
from stockml.settings import Mode, PolicySettings, Settings, settings_from_dict
from stockml.storage.arrays import Floats, Indices, packed, unpacked
from stockml.storage.files import write_atomically
from stockml.storage.receipts import read_record, record

Chosen = Literal["retrain", "fine-tune", "keep", "pretrained"]  # the last: training did not help


@dataclass(frozen=True)
class Facts:
    """What is known tonight. Counts are sessions; without a champion only `no_champion` matters.

    `no_champion`: why there is none to continue from, None where there is one; `unscored`: why it
    cannot be scored on tonight's unseen origins, None where it can; `changed`: what differs tonight
    from when it learned. `scale_drift`, the tutorial's only: half ranges from the middle of the
    last window to the price, at least 1. `live_skill`, the tutorial's only: of the published paths
    in the ledger, None until enough have come due.
    """

    no_champion: str | None = None
    unscored: str | None = None
    changed: tuple[str, ...] = ()
    new_sessions: int = 0
    sessions_since_retrain: int = 0
    scale_drift: float = 1.0
    live_skill: float | None = None


@dataclass(frozen=True)
class Decision:
    """What tonight's training does, and why."""

    mode: Chosen
    reason: str


def decide(facts: Facts, mode: Mode, policy: PolicySettings) -> Decision:
    """Choose tonight's mode: `mode` where possible, else retrain; for `auto`, what the facts call
    for."""
    if mode == "retrain":
        return Decision("retrain", "asked for")
    matters = [
        name
        for name in facts.changed
        if mode == "auto" or (mode, name) == ("fine-tune", "settings")
    ]
    changed = f"{' and '.join(matters)} changed since the champion learned" if matters else None
    unscored = f"the champion cannot be scored: {facts.unscored}" if facts.unscored else None
    impossible = facts.no_champion or changed or unscored
    if mode != "auto":
        asked = f"{mode} was asked for"
        return (
            Decision("retrain", f"{impossible} ({asked})")
            if impossible
            else Decision(mode, "asked for")
        )
    if why := impossible or _stale(facts, policy):
        return Decision("retrain", why)
    if facts.new_sessions > 0:
        return Decision("fine-tune", quantity(facts.new_sessions, "new session"))
    return Decision("keep", "nothing new since the champion learned")


def _stale(facts: Facts, policy: PolicySettings) -> str | None:
    """Why the champion should be replaced rather than continued."""
    if facts.sessions_since_retrain > policy.retrain_after_sessions:
        age = f"{facts.sessions_since_retrain} sessions since the last full training"
        return f"{age}, more than {policy.retrain_after_sessions}"
    if facts.scale_drift > policy.scale_drift:
        drift = (
            f"the price is {facts.scale_drift:.2f} half ranges from the middle of the last window "
            "that was learned"
        )
        return f"scale drifted: {drift}, more than {policy.scale_drift:.2f}"
    if facts.live_skill is not None and facts.live_skill < policy.live_skill_floor:
        return f"live skill {facts.live_skill:+.3f} fell below {policy.live_skill_floor:+.3f}"
    return None


FINE_TUNED, PRETRAINED = "fine-tuned network", "pretrained network"


@dataclass(frozen=True, eq=False)
class TickerNetwork:
    """Forecasts a ticker's width, by the fine-tuned network if `used`, else by its vintages'
    pretrained one.

    fine_tuned: None where nothing was trained.  learned_until: the last session that any of it has
    seen.
    """

    vintages: VintageSet
    fine_tuned: PretrainedNetwork | None
    used: bool
    learned_until: np.datetime64

    forecasts_path: ClassVar[bool] = False
    scale: ClassVar[None] = None  # it forecasts ratios, whatever the prices

    @property
    def weights(self) -> tuple[NDArray[np.float32], ...]:
        """The fine-tuned network's, as `PretrainedNetwork.arrays`; the pretrained one's are in its
        vintage's file."""
        return self.fine_tuned.arrays() if self.fine_tuned else ()

    @property
    def width_by(self) -> str:
        """Whose width it forecasts: FINE_TUNED, PRETRAINED or, without a network, RIDGE."""
        if self.vintages.pretrained is None:
            return RIDGE
        return FINE_TUNED if self.used else PRETRAINED

    def forecast(
        self, series: PriceSeries, origins: Indices, leads: Indices
    ) -> tuple[Floats, Floats | None]:
        """(m, leads) medians, and (m, leads, 21) quantiles symmetric about 0; None without a
        network."""
        median = published_median(series, origins, leads)
        if self.vintages.pretrained is None:
            return median, None
        network = self.fine_tuned if self.used else None
        return median, self.vintages.network_quantiles(series, origins, leads, network)

    def asdict(self) -> dict[str, Any]:
        """What is written of it beside the weights: the vintages as names and hashes only."""
        return {
            "pool": self.vintages.identity(),
            "reasons": dict(self.vintages.reasons),
            "used": self.used,
            "learned_until": str(self.learned_until),
        }


NETWORKS = ("held_out", "published")
PROVENANCE = "provenance.json"
FORM = 3  # version of the folder's layout; those before it forecast mid prices

Network = TickerNetwork | TutorialForecaster | PackagedForecaster


@contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (*READ_ERRORS, InvalidSetting) as error:
        raise InvalidFile(str(path), f"expected {what}, found {error}") from error


@record
@dataclass(frozen=True)
class Provenance:
    """What a model was made of, kept in its folder: hashes of price adjustment, training code and
    dataset."""

    adjustment: str
    code: str
    dataset: str

    def write(self, folder: Path) -> None:
        write_atomically(
            folder / PROVENANCE, (json.dumps(vars(self), sort_keys=True) + "\n").encode()
        )

    @classmethod
    def read(cls, folder: Path) -> "Provenance":
        """Read what `write` wrote. Raises InvalidFile."""
        with _reading(folder / PROVENANCE, "a model's provenance"):
            return read_record(cls, (folder / PROVENANCE).read_bytes())


@dataclass(frozen=True)
class Evidence:
    """What training gained over the pretrained network on `origins` of the validation part: skill
    of CRPS / √lead."""

    skill: float
    origins: int


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """Both networks of a night, how they were made, and how they did on the validation part while
    learning.

    `held_out` saw nothing of the validation and test parts and is scored; `published` learned in
    the same way from every session whose outcome is known. `evidence`: None where there was too
    little to learn from or to try it on. `history`: a row per step with network, step, loss,
    learning_rate and seconds; the tutorial's, a row per epoch, with epoch in place of step,
    validation_loss and more.
    """

    settings: Settings
    decision: Decision
    held_out: Network
    published: Network
    parts: OriginSplit
    sessions: int
    last_session: np.datetime64
    retrained_at: np.datetime64
    evidence: Evidence | None = None
    history: tuple[dict[str, Any], ...] = ()


def save(model: TrainedModel, folder: Path) -> None:
    """Write the folder, the vintages as names and hashes only; equal models give equal bytes but
    for `_timing.json`."""
    for name in NETWORKS:
        if weights := getattr(model, name).weights:
            write_atomically(folder / f"{name}.npz", packed(weights))
    history = [
        {name: value for name, value in row.items() if name != "seconds"} for row in model.history
    ]
    facts = {
        "form": FORM,
        "settings": model.settings.model_dump(),
        "decision": vars(model.decision),
        "train_end": model.parts.train_end,
        "validation": [model.parts.validation.start, model.parts.validation.stop],
        "test": [model.parts.test.start, model.parts.test.stop],
        "sessions": model.sessions,
        "last_session": str(model.last_session),
        "retrained_at": str(model.retrained_at),
        "evidence": vars(model.evidence) if model.evidence else None,
        "networks": {name: getattr(model, name).asdict() for name in NETWORKS},
    }
    timing = {"seconds": [row["seconds"] for row in model.history]}
    for name, content in (("history", history), ("_timing", timing), ("model", facts)):
        text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"
        write_atomically(folder / f"{name}.json", text.encode())


def load_model(folder: Path) -> TrainedModel:
    """Read what `save` wrote. Raises InvalidFile when the folder is not a model's, or is an earlier
    version's."""
    with _reading(folder, "a trained model"):
        content = json.loads((folder / "model.json").read_text())
        history = json.loads((folder / "history.json").read_text())
        seconds = _seconds(folder, len(history))
        if content["settings"]["profile"] == "nightly" and content.get("form") != FORM:
            raise ValueError("one that an earlier version of stockml made")
        settings = settings_from_dict(content["settings"])
        folders = vintage_folders(folder)
        networks: dict[str, Any] = {
            name: _network(content["networks"][name], folder / f"{name}.npz", folders, settings)
            for name in NETWORKS
        }
        return TrainedModel(
            settings=settings,
            decision=Decision(**content["decision"]),
            parts=OriginSplit(
                content["train_end"], range(*content["validation"]), range(*content["test"])
            ),
            sessions=content["sessions"],
            last_session=np.datetime64(content["last_session"]),
            retrained_at=np.datetime64(content["retrained_at"]),
            evidence=Evidence(**content["evidence"]) if content.get("evidence") else None,
            history=tuple(row | {"seconds": s} for row, s in zip(history, seconds, strict=True)),
            **networks,
        )


def _seconds(folder: Path, epochs: int) -> list[float]:
    """Seconds that each epoch took; no part of the model, so 0 where they cannot be read."""
    try:
        seconds = list(map(float, json.loads((folder / "_timing.json").read_text())["seconds"]))
    except READ_ERRORS:
        seconds = []
    return seconds if len(seconds) == epochs else [0.0] * epochs


def _network(
    part: dict[str, Any], weights: Path, folders: tuple[Path, ...], settings: Settings
) -> Network:
    until = np.datetime64(part["learned_until"])
    if settings.profile == "tutorial":
        scale = TutorialScale(*(tuple(part["scale"][each]) for each in ("since", "lows", "highs")))
        return TutorialForecaster(settings, unpacked(weights.read_bytes()), scale, until)
    if name := part.get("name"):
        if name not in registered().names:
            raise ValueError(f"one by {name}, whose package is not installed")
        return PackagedForecaster(name, until, part["fault"])
    vintages = VintageSet.from_identity(part["pool"], folders)
    vintages = replace(vintages, reasons=dict(part["reasons"]))
    fine_tuned = None
    if vintages.pretrained and weights.is_file():
        fine_tuned = vintages.pretrained.with_arrays(unpacked(weights.read_bytes()))
    return TickerNetwork(vintages, fine_tuned, bool(part["used"]), until)


def vintage_folders(folder: Path) -> tuple[Path, ...]:
    """Where the vintages of a model in `folder` may be: beside it, as in MLflow; in the
    installation; as shipped."""
    return (folder, folder.parent.parent.parent / "pretrained", SHIPPED)


def vintage_files(folder: Path) -> tuple[Path, ...]:
    """The files of the vintages that the model in `folder` names, if any. Raises InvalidFile."""
    with _reading(folder, "a trained model"):
        parts = json.loads((folder / "model.json").read_text()).get("networks", {}).values()
        identities = {
            identity for part in parts for identity in part.get("pool", {}).values() if identity
        }
        return tuple(file_of(identity, vintage_folders(folder)) for identity in sorted(identities))


def unscored(model: TrainedModel, first: np.datetime64) -> str | None:
    """Why the model cannot be scored from session `first` on; None where it has seen no session
    from then on."""
    seen = model.held_out.learned_until
    return (
        None
        if seen < first
        else f"it has seen sessions through {seen}, what is unseen begins on {first}"
    )


def same_forecast(one: TrainedModel, other: TrainedModel) -> bool:
    """Whether both models are the same pretrained networks left alone, and so forecast the same."""
    pairs = [[getattr(model, name) for model in (one, other)] for name in NETWORKS]
    left_alone = all(each.vintages and not each.used for pair in pairs for each in pair)
    return left_alone and all(
        first.vintages.identity() == second.vintages.identity() for first, second in pairs
    )
