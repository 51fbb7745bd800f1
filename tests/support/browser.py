"""A headless Chromium, steered by its own protocol; without a network."""

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless", "--no-sandbox", "--no-first-run", "--disable-quic", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-port=0",
)  # fmt: skip
WAIT = 60.0
"""Seconds; software draws three dimensions, and other tests run beside."""


class Browser:
    """One page in a browser of its own.

    :param folder: for the browser's profile and for downloads.
    """

    def __init__(self, folder: Path, width: int = 1400, height: int = 1000) -> None:
        self.folder = folder
        self.complaints: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._number = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        assert CHROMIUM is not None
        self._process = subprocess.Popen(
            [CHROMIUM, *OPTIONS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._run(self._connect(width, height))

    def _run(self, what: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(asyncio.wait_for(what, 2 * WAIT))

    async def _connect(self, width: int, height: int) -> None:
        told = self.folder / "profile/DevToolsActivePort"
        while not (told.exists() and told.read_text().strip()):
            await asyncio.sleep(0.05)
        port = told.read_text().split()[0]
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json") as answer:
            (address,) = (tab["webSocketDebuggerUrl"] for tab in await answer.json() if tab["type"] == "page")
        self._socket = await self._session.ws_connect(address, max_msg_size=0)
        self._listener = asyncio.ensure_future(self._listen())
        for domain in ("Page", "Runtime", "Log"):
            await self._ask(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self._ask("Emulation.setDeviceMetricsOverride", **size)
        await self._ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.folder))

    async def _listen(self) -> None:
        async for message in self._socket:
            found = json.loads(message.data)
            if "id" in found:
                self._answers.pop(found["id"]).set_result(found)
            elif found["method"] == "Runtime.exceptionThrown":
                self.complaints.append(str(found["params"]["exceptionDetails"]))
            elif found["method"] == "Runtime.consoleAPICalled" and found["params"]["type"] == "error":
                self.complaints.append(str(found["params"]["args"]))
            elif found["method"] == "Log.entryAdded" and found["params"]["entry"]["level"] == "error":
                self.complaints.append(str(found["params"]["entry"]))

    async def _ask(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        self._answers[self._number] = self._loop.create_future()
        answer = self._answers[self._number]
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        found = await answer
        assert "error" not in found, found
        return found["result"]

    def open(self, page: Path) -> None:
        self._run(self._ask("Page.navigate", url=page.resolve().as_uri()))
        self.wait("document.readyState === 'complete'")

    def js(self, expression: str) -> Any:
        """The value of an expression, awaited."""
        ask = self._ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        found = self._run(ask)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, expression: str) -> Any:
        """The first value of an expression that is true."""
        return self.until(lambda: self.js(expression), expression)

    def until(self, condition: Callable[[], Any], what: str = "") -> Any:
        for _ in range(int(WAIT / 0.1)):
            if found := condition():
                return found
            self._run(asyncio.sleep(0.1))
        raise AssertionError(f"not within {WAIT} s: {what}")

    def show(self, selector: str) -> None:
        """Scroll to an element."""
        self.js(f"document.querySelector({selector!r}).scrollIntoView({{behavior: 'instant', block: 'center'}})")

    def middle(self, selector: str) -> tuple[float, float]:
        """Where an element's middle is seen."""
        box = self.js(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag(self, selector: str, by: float) -> None:
        """Press in the middle of an element, move to the right, and let go."""
        x, y = self.middle(selector)
        for kind, at, pressed in (
            ("mousePressed", x, 1),
            ("mouseMoved", x + by / 2, 1),
            ("mouseMoved", x + by, 1),
            ("mouseReleased", x + by, 0),
        ):
            event = {"type": kind, "x": at, "y": y, "button": "left", "buttons": pressed, "clickCount": 1}
            self._run(self._ask("Input.dispatchMouseEvent", **event))

    def picture(self, selector: str) -> bytes:
        """An element as PNG."""
        box = self.js(
            f"(b => ({{x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: b.height, scale: 1}}))"
            f"(document.querySelector({selector!r}).getBoundingClientRect())"
        )
        return base64.b64decode(self._run(self._ask("Page.captureScreenshot", format="png", clip=box))["data"])

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._listener.cancel()
            self._run(self._session.close())
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._loop.close()
