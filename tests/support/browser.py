"""A real browser that looks at the status page as a person does.

The rule: whatever page was looked at, the browser must not have complained: no error, no breach of the page's policy,
and no request to anybody but the page's own host. `Window.complaints` is read at the end of each test.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage")
"""Neither root nor most containers can have the sandbox; the pages are our own."""

PHONE, DESKTOP = (360, 740), (1280, 860)

NOTE_BREACHES = """
document.addEventListener("securitypolicyviolation", (breach) => console.error("policy: " + breach.violatedDirective));
"""


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run the browser that is installed; skip the test where there is none, unless LISTENER_BROWSER=required."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        _do_without("there is no Chromium: on Debian, apt-get install chromium")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        except Error as error:
            _do_without(f"Chromium does not start: {error.message.splitlines()[0]}")
        yield browser
        browser.close()


def _do_without(reason: str) -> NoReturn:
    if os.environ.get("LISTENER_BROWSER") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


class Window:
    """A page in a context of its own."""

    def __init__(self, browser: Browser, size: tuple[int, int] = DESKTOP, theme: str = "light", **more: Any) -> None:
        self._context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=theme,  # type: ignore[arg-type]
            locale="en-GB",
            **more,
        )
        self._context.add_init_script(NOTE_BREACHES)
        self.complaints: list[str] = []
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(12_000)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("request", self._asked)

    def open(self, address: str, path: str = "/") -> Page:
        """Go to a path of a status page."""
        self._host = address
        self.page.goto(f"http://{address}{path}")
        return self.page

    def hurry(self) -> None:
        """Have the page ask thrice a second, as if its tab came to the front as often."""
        self.page.evaluate("setInterval(() => document.dispatchEvent(new Event('visibilitychange')), 300)")

    def close(self) -> None:
        self._context.close()

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).netloc != self._host:
            self.complaints.append(f"asked a stranger: {request.url}")
