"""Where state lives: one folder, `STOCKML_HOME`, and what stands in it. Reading it creates nothing."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """The folders of one installation. `store` may be any fsspec address; all else is local."""

    root: Path
    store: str
    artifacts: str
    tracking_uri: str

    @property
    def payloads(self) -> Path:
        return self.root / "payloads"

    @property
    def quota(self) -> Path:
        return self.root / "quota"

    @property
    def datasets(self) -> Path:
        return self.root / "datasets"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def evaluations(self) -> Path:
        return self.root / "evaluations"

    @property
    def plots(self) -> Path:
        return self.root / "plots"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger"

    @property
    def nights(self) -> Path:
        return self.root / "nights"

    @property
    def universe(self) -> Path:
        return self.root / "universe"

    @property
    def settings(self) -> Path:
        return self.root / "settings"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def prefect(self) -> Path:
        return self.root / "prefect"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def servers(self) -> Path:
        return self.root / "servers.json"


@contextmanager
def owner_only() -> Iterator[None]:
    """What this process and those that it starts make meanwhile is for its owner only: 0700 and 0600."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def home(environ: Mapping[str, str] = os.environ) -> Home:
    """The installation that the environment names, `.stockml` in the working folder by default."""
    root = Path(environ.get("STOCKML_HOME") or ".stockml").expanduser().resolve()
    return Home(
        root=root,
        store=environ.get("STOCKML_STORE") or str(root / "store"),
        artifacts=environ.get("STOCKML_ARTIFACTS") or (root / "artifacts").as_uri(),
        tracking_uri=environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}",
    )
