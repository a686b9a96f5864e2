"""`make pictures`: retakes the pictures in docs/images/ of the product with its sample data.

It starts the product on a free port with a data folder of its own, and needs Chromium.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from tests.support import tools
from tests.support.product import Process, environment_of, manage
from tests.support.servers import free_port

IMAGES = Path(__file__).parent.parent / "docs" / "images"
OWNER, PASSWORD, DAYS, MONITOR = "demo@example.com", "only for the pictures", "30", "Payments API"
DESKTOP, TALL, PHONE = ViewportSize(width=1280, height=860), (1280, 1130), ViewportSize(width=390, height=844)
_FILLED_WITHIN = 900.0


def main() -> int:
    path = tools.browser()
    if not path:
        print(f"Pictures need Chromium: apt-get install {tools.BROWSERS[0]}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="tianji-pictures-") as folder:
        port = free_port()
        demo = manage("up", "--demo", PASSWORD, "--demo-days", DAYS)
        process = Process(demo, environment_of(Path(folder), port))
        try:
            process.line_with("Tianji is running at", seconds=_FILLED_WITHIN)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
                take(browser, f"http://127.0.0.1:{port}")
                browser.close()
        finally:
            process.stop()
    return 0


def take(browser: Browser, url: str) -> None:
    page = signed_in(browser, url, DESKTOP)
    shoot(page, "overview")
    page.set_viewport_size(ViewportSize(width=TALL[0], height=TALL[1]))
    page.get_by_role("link", name=MONITOR, exact=True).first.click()
    page.wait_for_url("**/monitors/**")
    monitor = page.url
    shoot(page, "monitor")
    shoot(signed_in(browser, url, DESKTOP, dark=True), "overview-dark")
    phone = signed_in(browser, url, PHONE)
    phone.goto(monitor)
    shoot(phone, "monitor-phone")


def signed_in(browser: Browser, url: str, size: ViewportSize, *, dark: bool = False) -> Page:
    """Return the overview, as the owner sees it."""
    context = browser.new_context(base_url=url, viewport=size, color_scheme="dark" if dark else "light")
    page = context.new_page()
    page.goto("/")
    page.get_by_label("Email").fill(OWNER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
    return page


def shoot(page: Page, name: str) -> None:
    # Charts are loaded after the page.
    page.wait_for_load_state("networkidle")
    page.screenshot(path=IMAGES / f"{name}.png")
    print(f"docs/images/{name}.png")


if __name__ == "__main__":
    sys.exit(main())
