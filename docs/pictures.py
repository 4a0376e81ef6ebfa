"""Makes the pictures of this folder's images/ from the example and the emulator as they are now.

    python docs/pictures.py

Needs Playwright and Chromium, as tests/browser does.
"""

from __future__ import annotations

import base64
import logging
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

sys.path.insert(0, str(Path(__file__).parent.parent))

from cachelib import FileSystemCache
from playwright.sync_api import sync_playwright
from werkzeug.serving import make_server

from example_app import create_app
from flask_centralauth.emulator import Emulator

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

IMAGES: Final = Path(__file__).parent / "images"
CHROMIUM: Final = ("chromium", "chromium-browser", "google-chrome")
#: Of one screen, in CSS pixels: readable when three of them stand side by side.
WIDTH: Final = 560
HEIGHT: Final = 590
#: Pixels per CSS pixel of what is made smaller afterwards.
SHARPNESS: Final = 1.5
#: The hosting services show a picture of this size without a delay.
LARGEST: Final = 200_000

SIDE_BY_SIDE: Final = """
<!doctype html>
<style>
  body { margin: 0; padding: 28px; display: flex; gap: 28px; width: max-content; background: #eef1f6; }
  img { width: 380px; border-radius: 10px; box-shadow: 0 10px 28px -10px rgb(16 24 40 / .4); }
</style>
"""


def main() -> None:
    """Make every picture."""
    IMAGES.mkdir(exist_ok=True)
    logging.disable()
    # Seeded: the same users with the same ids in every run.
    with Emulator(seed=1) as emulator, _example(emulator) as address, _chromium() as chromium:
        _keep("login", _side_by_side(chromium, *_login(chromium, address)))
        _keep("emulator", _login_page(chromium, address))
        _keep("error", _outage(chromium, emulator, address))


def _login(chromium: Browser, address: str) -> tuple[bytes, bytes, bytes]:
    page = _new_page(chromium)
    page.goto(address)
    home = page.screenshot()
    page.get_by_role("link", name="Sign in with CentralAuth").click()
    page.get_by_role("button", name="alice@example.com").wait_for()
    login = page.screenshot()
    page.get_by_role("button", name="alice@example.com").click()
    page.get_by_role("link", name="See your profile").click()
    page.wait_for_load_state("networkidle")
    return home, login, page.screenshot()


def _login_page(chromium: Browser, address: str) -> bytes:
    page = _new_page(chromium)
    page.goto(f"{address}/profile")
    page.get_by_role("button", name="alice@example.com").wait_for()
    return page.screenshot(scale="css")


def _outage(chromium: Browser, emulator: Emulator, address: str) -> bytes:
    emulator.fail("verify", status=503)
    page = _new_page(chromium)
    page.goto(f"{address}/profile")
    page.get_by_role("button", name="alice@example.com").click()
    page.get_by_role("link", name="Try again").wait_for()
    return page.screenshot(scale="css")


def _side_by_side(chromium: Browser, *pictures: bytes) -> bytes:
    page = chromium.new_page(viewport={"width": 1280, "height": 520})
    images = (base64.b64encode(picture).decode() for picture in pictures)
    page.set_content(SIDE_BY_SIDE + "".join(f'<img src="data:image/png;base64,{image}">' for image in images))
    return page.locator("body").screenshot()


def _new_page(chromium: Browser) -> Page:
    context = chromium.new_context(
        viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SHARPNESS, locale="en-US"
    )
    return context.new_page()


def _keep(name: str, picture: bytes) -> None:
    if len(picture) > LARGEST:
        raise SystemExit(f"{name}.png has {len(picture)} bytes; {LARGEST} are allowed")
    (IMAGES / f"{name}.png").write_bytes(picture)
    print(f"{name}.png: {len(picture) // 1000} kB")


@contextmanager
def _example(emulator: Emulator) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        # Sessions of a picture have no place in the example's own folder.
        sessions = {"SESSION_TYPE": "cachelib", "SESSION_CACHELIB": FileSystemCache(folder)}
        app = create_app({**emulator.config, **sessions, "SECRET_KEY": os.urandom(24).hex()})
        server = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.port}"
        server.shutdown()


@contextmanager
def _chromium() -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


if __name__ == "__main__":
    main()
