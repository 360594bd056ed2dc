"""Makes the pictures of the README in docs/pictures/: `python scripts/pictures.py [HOME]`.

It needs Debian's chromium, its driver and fonts-noto-color-emoji. HOME is a home that `tocsin demo --keep HOME` made; without it the demo is run.
"""

from __future__ import annotations

import contextlib
import email
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import policy
from io import BytesIO
from pathlib import Path

from PIL import Image
from pydantic import SecretStr
from selenium import webdriver
from selenium.webdriver.common.by import By

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from crawler.alerts.channels import email as email_channel  # noqa: E402 - found by the line above
from crawler.alerts.wording import message_of  # noqa: E402
from data.model import EventKind  # noqa: E402
from data.settings.home import Home  # noqa: E402
from data.settings.settings import Channel  # noqa: E402
from data.store.store import Store  # noqa: E402
from scheduler.delivery.delivery import DisplayNames  # noqa: E402
from tests.browser import chromium, dark, size  # noqa: E402

OUT = ROOT / "docs" / "pictures"
WIDTH, HEIGHT = 1100, 1300
COLOURS = 128
"""A picture of a page needs no more, and takes a third of the space."""


def main() -> None:
    """Write all pictures."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(sys.argv[1]) if sys.argv[1:] else Path(folder) / "home"
        if not sys.argv[1:]:
            run("demo", "--keep", str(home))
        pages = Path(folder)
        now = datetime.now(UTC)
        run("--home", str(home), "incident", "aware", "vendor-breach", "--at", (now - timedelta(hours=1)).isoformat())
        run("--home", str(home), "report", "vendor-breach", "--out", str(pages / "report.html"))
        client = ("--client", "practice-nord", "--language", "fr")
        run("--home", str(home), "report", "vendor-breach", *client, "--out", str(pages / "client.html"))
        OUT.mkdir(exist_ok=True)
        with chromium() as browser:
            for name, page, is_dark in (
                ("report", "report.html", False), ("report-dark", "report.html#timeline", True),
                ("report-client", "client.html#form", False),
            ):  # fmt: skip
                size(browser, WIDTH, HEIGHT)
                dark(browser, on=is_dark)
                browser.get("about:blank")
                browser.get(f"{pages.as_uri()}/{page}")
                save(browser, name)
            with console(home) as link:
                browser.get(link)
                browser.find_element(By.CSS_SELECTOR, "button.main").click()
                address = link.partition("/sign-in")[0]
                for name, page, (width, height), is_dark in (
                    ("console", "/", (1280, 800), False), ("console-dark", "/alerts", (1280, 800), True),
                    ("console-phone", "/", (390, 844), False),
                ):  # fmt: skip
                    size(browser, width, height)
                    dark(browser, on=is_dark)
                    browser.get(address + page)
                    save(browser, name)
            for name, page in messages(home, pages):
                size(browser, 820, 900)
                dark(browser, on=False)
                browser.get(page.as_uri())
                size(browser, 820, browser.execute_script("return document.body.offsetHeight + 48"))
                save(browser, name)


def save(browser: webdriver.Chrome, name: str) -> None:
    """Write what the browser shows as a picture."""
    picture = Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    picture.quantize(COLOURS).save(OUT / f"{name}.png", optimize=True)
    print(OUT / f"{name}.png")


@contextlib.contextmanager
def console(home: Path) -> Iterator[str]:
    """The real console of a home; yields the link that signs in."""
    command = [sys.executable, "-m", "scheduler", "--home", str(home), "console", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield next(found for line in process.stdout if "/sign-in?link=" in (found := line.strip()))
        finally:
            process.terminate()


STYLE = """<style>body {font: 15px/1.5 "Liberation Sans", sans-serif; margin: 24px; color: #1d1c1d}
p b {font-size: 18px} ul {padding: 0; list-style: none; border-left: 4px solid #9f1d35; padding-left: 16px}
li {margin: 6px 0; overflow-wrap: anywhere}</style>"""


def messages(home: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Three messages about events of the home, in the form that mail programs show: name of the picture, and a page."""
    with contextlib.closing(Store.open_read_only(home / "tocsin.db")) as store:
        events = store.events.latest(limit=100)
    of_kind = {kind: next(each for each in events if each.kind is kind) for kind in {each.kind for each in events}}
    further, again = of_kind[EventKind.FURTHER_RELEASE], of_kind[EventKind.REPOST]
    channel = Channel(
        kind="email",
        url=SecretStr("smtps://mail.example"),
        sender="tocsin@team.example",
        recipients=("team@team.example",),
    )
    clients = DisplayNames.of_home(Home(home)).clients
    for name, event, language in (
        ("message", further, "en"), ("message-fr", further, "fr"), ("message-repost", again, "en"),
    ):  # fmt: skip
        message = message_of(event, clients=clients, case="vendor-breach", language=language)
        mail = email.message_from_bytes(
            email_channel.compose(channel, event.id, message, 0).body, policy=policy.default
        )
        body = mail.get_body(("html",))
        assert body is not None
        page = folder / f"{name}.html"
        page.write_text(f'<!doctype html><meta charset="utf-8">{STYLE}{body.get_content()}', "utf-8")
        yield name, page


def run(*arguments: str) -> None:
    """Run one command of Tocsin."""
    subprocess.run([sys.executable, "-m", "scheduler", *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
