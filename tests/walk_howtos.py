"""Follows docs/data.md and docs/how-to line by line, as one person would, and prints how long each
line took.

    python -m tests.walk_howtos [--environment .venv]

The person's key is for a feed of recorded prices, in which KO is IBM under another name. Their
history ends a month before the recording's end, where the clock stands from the second page on.
What this machine cannot do is in ELSEWHERE, with the reason. A page's exports apply to that page;
those of the first page, with the key, to all.
"""

import re
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from string import Template

from tests.support.recordings import recorded
from tests.support.scripted_feed import ScriptedFeed
from tests.walk_readme import done, environment, new_machine

DOCS = Path(__file__).parents[1] / "docs"
PAGES = (
    "data",
    "how-to/backup-and-move",
    "how-to/red-night",
    "how-to/server",
    "how-to/many-machines",
)
PLAYED_BY = {"KO": "IBM", "PEP": "MSFT", "TSCO.LON": "GOOG"}
FIRST_NIGHT, LATER, PAST_ENDS = date(2013, 2, 15), date(2013, 3, 1), "2013-01-31"
HERE = {  # what replaces it in the person's own folder, and in the recorded weeks
    "YOUR_KEY": "ABCDEFGH12345678",  # the placeholder is refused
    "/backups/": "$HOME/backups/",
    "$HOME$HOME/": "$HOME/",
    "/srv/stockml": "$HOME/srv",
    "/opt/stockml/.venv/bin/": "",
    "2026-11-02 2026-11-13": "2013-02-19 2013-02-28",
}
ELSEWHERE = {
    "ssh -L 4200:127.0.0.1:4200 -L 5000:127.0.0.1:5000 server": "needs a second machine",
    ".venv/bin/prefect worker start --pool stockml --type process --limit 4": "needs a second machine",
    "stockml up": "needs a volume that machines share",
    "dask worker": "needs a scheduler: tests/flows/test_cluster.py",
    "stockml tickers rename KO KO-OLD": "the next pages go on with KO: tests/stockml/maintenance/test_rename.py",
    "stockml tickers rename KO NEW": "KO is still traded: the same",
    "stockml tickers remove KO-OLD": "KO keeps its name here: tests/deployments/test_ticker_list.py",
    "stockml tickers remove KOO": "nobody misspelt it here: the same",
    "stockml rollback KO": "a second champion takes weeks: tests/stockml/models/test_registry.py",
}
BEGINS_SO = {
    "stockml import SAP.DEX": "no such file: tests/stockml/prices/test_csv_import.py",
    "make extras": "would change the environment that was named",
    "sudo": "needs the service's user: tests/deployments/test_servers_files.py looks at the unit",
    "docker": "needs Docker: the same of its file",
}
SHOWN = re.compile(
    r"```(?:sh)?\n(.*?)```|`((?:stockml|make|mv|export|systemctl|docker|ssh|dask) [^`\n]+)`",
    re.DOTALL,
)
PYTHON = re.compile(r"```python\n.*?```", re.DOTALL)
# in sentences about the command
NAMED_ONLY = {
    "stockml tickers add",
    "stockml import",
    "stockml universe",
    "stockml up",
    "make up",
    "make run",
}
CRON = re.compile(r"[\d*]+ [\d*]+ [\d*]+ [\d*]+ [\d*]+ ")


def commands(page: str) -> Iterator[str]:
    """Every command that the page shows, in a block or in a sentence; a line for cron as cron runs
    it."""
    text = PYTHON.sub("", (DOCS / f"{page}.md").read_text())
    for block, inline in SHOWN.findall(text):
        for line in (block or inline).splitlines():
            said = line.partition(" #")[0].strip()
            if timed := CRON.match(said):
                said = said[timed.end() :].replace(r"\%", "%")
            if said and not (inline and said in NAMED_ONLY):
                yield said


def walk(folder: Path, environ: dict[str, str], feed: ScriptedFeed) -> bool:
    """Follow all pages; return False at the first line that fails."""
    (Path(environ["HOME"]) / "backups").mkdir()
    past = recorded("IBM").loc[:PAST_ENDS].rename(columns=str.capitalize).rename_axis("Date")
    past.to_csv(folder / "ko.us.txt", date_format="%Y-%m-%d")
    for number, page in enumerate(PAGES):
        feed.set_clock(LATER if number else FIRST_NIGHT)
        environ |= {"ALPHAVANTAGE_URL": feed.address, "STOCKML_CLOCK": feed.now.isoformat()}
        print(f"\n# {page}", flush=True)
        own = environ if number == 0 else dict(environ)
        for line in commands(page):
            beginning = next(filter(line.startswith, BEGINS_SO), "")
            if why := ELSEWHERE.get(line) or BEGINS_SO.get(beginning):
                print(f"  not here: {line} ({why})")
            elif line.startswith("export "):
                print(f"$ {line}")
                for name, _, value in (each.partition("=") for each in _here(line).split()[1:]):
                    own[name] = Template(value).substitute(own, PWD=folder)
            elif not done(_here(line), folder, own):
                return False
    return True


def _here(line: str) -> str:
    for there, here in HERE.items():
        line = line.replace(there, here)
    return line


def main() -> int:
    began = time.monotonic()
    with new_machine(environment()) as (folder, environ), ScriptedFeed(aliases=PLAYED_BY) as feed:
        if not walk(folder, environ, feed):
            return 1
    print(f"as the how-tos say, from an empty folder: {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
