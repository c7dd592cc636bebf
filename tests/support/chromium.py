"""Headless Chromium, started once per module with one profile; each test gets its own page."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

ABSENT = "Chromium is not installed: apt-get install chromium"


@contextmanager
def chromium() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=str(CHROMIUM), headless=True, args=list(FLAGS)
        )
        try:
            yield running
        finally:
            running.close()


@contextmanager
def browser_page(
    browser: "Browser", width: int = 1600, height: int = 1000, **more: Any
) -> "Iterator[Page]":
    """Yield a page in a fresh profile. more: further options of Playwright's `new_context`."""
    with browser.new_context(viewport={"width": width, "height": height}, **more) as context:
        context.set_default_timeout(1000 * PATIENCE_S)
        yield context.new_page()


def wait_for_texts(page: "Page", *texts: str) -> None:
    """Wait until the page shows all of them: its parts come one after another."""
    for text in texts:
        page.wait_for_function("text => document.body.innerText.includes(text)", arg=text)


def keep_picture(page: "Page", path: Path) -> None:
    """Save a screenshot in 256 colours, a third of the bytes."""
    shown = Image.open(BytesIO(page.screenshot())).convert("RGB")
    shown.quantize(method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Per module, since Playwright's event loop runs as long as it does, and `asyncio.run` is
    refused meanwhile."""
    if not CHROMIUM.exists():
        pytest.skip(ABSENT)
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def profile(browser: "Browser") -> "Iterator[BrowserContext]":
    """Per module too: a new profile takes two seconds to load the scripts of Prefect's page."""
    with browser_page(browser) as first:
        yield first.context


@pytest.fixture
def page(profile: "BrowserContext") -> "Iterator[Page]":
    with profile.new_page() as fresh:
        yield fresh
