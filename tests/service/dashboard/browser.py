"""A real browser for tests: Debian's Chromium, watched for all that must not happen in a page."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

REQUIRED = "HARDNEG_TEST_BROWSER"  # set to `required` where a missing browser is a failure
AXE = Path(__file__).with_name("vendor") / "axe-core" / "axe.min.js"
GIVEN_UP = "net::ERR_ABORTED"  # by the page: a stream that it closes, a link that downloads
# The whole report describes every element of the page, and sending it takes longer than making it.
FIND_VIOLATIONS = """
async (tags) => {
  const options = { runOnly: { type: "tag", values: tags }, resultTypes: ["violations"] };
  const { violations } = await axe.run(options);
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html}: ${failureSummary}`),
  );
}
"""
WCAG_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium; skip the test where there is none, or fail where one is required."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        reason = "no Chromium on the PATH: on Debian, `apt-get install chromium`"
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        # Chromium refuses to sandbox itself when root starts it, as in most containers
        sandbox = os.geteuid() != 0
        browser = playwright.chromium.launch(executable_path=path, chromium_sandbox=sandbox)
        yield browser
        browser.close()


class WatchedPage:
    """A page, and what went wrong in it: errors, refused or failed requests, policy violations."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.wrong: list[str] = []
        self._expects_outage = False
        page.on("console", lambda message: self._note(message.type == "error", message.text))
        page.on("pageerror", lambda error: self._note(True, str(error)))
        page.on(
            "requestfailed",
            lambda request: self._note(request.failure != GIVEN_UP, f"failed: {request.url}"),
        )
        page.on("response", lambda answer: self._note(answer.status >= 400, answer.url))

    def _note(self, is_wrong: bool, text: str) -> None:
        if is_wrong and not self._expects_outage:
            self.wrong.append(text)

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Let requests fail meanwhile: the server is down."""
        self._expects_outage = True
        yield
        self._expects_outage = False

    def leave(self) -> None:
        """Go to an empty page while the server still runs: its end would fail open requests."""
        self.page.goto("about:blank")

    def check_accessibility(self) -> None:
        """Fail on any violation of WCAG 2.2 AA that axe-core finds."""
        # evaluated by the debugger, which the page's policy does not bind
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        violations: list[str] = self.page.evaluate(FIND_VIOLATIONS, WCAG_TAGS)
        assert violations == [], "\n".join(violations)
