"""A headless Chromium, driven over WebDriver (W3C, https://www.w3.org/TR/webdriver2/)."""

from __future__ import annotations

import base64
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.servers.ports import free_ports

_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,800",
]
_KEYS = {"up": "\ue013", "down": "\ue015", "left": "\ue012", "right": "\ue014", "enter": "\ue007", "escape": "\ue00c"}


class Page:
    """One open page."""

    def __init__(self, client: httpx.Client, session: str) -> None:
        self._client, self._session = client, session

    def open(self, file: Path) -> None:
        """Show a file."""
        self._post("url", {"url": file.as_uri()})

    def run(self, script: str) -> Any:
        """What a script returns in the page."""
        return self._post("execute/sync", {"script": script, "args": []})

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, by name or as letters."""
        values = [_KEYS.get(key, key) for key in keys]
        actions = [{"type": kind, "value": value} for value in values for kind in ("keyDown", "keyUp")]
        self._post("actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def picture(self, file: Path) -> None:
        """Save what is to be seen."""
        answer = self._client.get(f"/session/{self._session}/screenshot").raise_for_status().json()
        file.write_bytes(base64.b64decode(answer["value"]))

    def errors(self) -> list[str]:
        """What the page's console has of errors."""
        return [each["message"] for each in self._post("se/log", {"type": "browser"}) if each["level"] == "SEVERE"]

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._client.post(f"/session/{self._session}/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()["value"]


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A browser with its profile in a folder, ended with the block."""
    (port,) = free_ports(1)
    driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            _await(client)
            options = {"args": [*_ARGUMENTS, f"--user-data-dir={folder}"]}
            wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
            answer = client.post("/session", json={"capabilities": wanted}).raise_for_status().json()
            session = answer["value"]["sessionId"]
            yield Page(client, session)
            client.delete(f"/session/{session}")
    finally:
        driver.terminate()
        driver.wait(30)


def _await(client: httpx.Client) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            client.get("/status").raise_for_status()
        except httpx.TransportError:
            assert time.monotonic() < deadline, "chromedriver does not answer"
            time.sleep(0.05)
        else:
            return
