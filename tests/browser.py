"""A headless Chromium, driven through the pipe of its DevTools protocol: no other program, port or library."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 60  # seconds for one answer on a busy machine


def chromium() -> str | None:
    """The browser's program, where there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


WHY_NOT = f"no Chromium on this machine ({os.environ.get('HYBRIDIR_NO_BROWSER', 'Debian: apt-get install chromium')})"
needs_chromium = pytest.mark.skipif(chromium() is None, reason=WHY_NOT)


class Browser:
    """One page of a headless Chromium that resolves no host name. Use as a context."""

    def __init__(self, profile: Path):
        (theirs_in, self._out), (self._in, theirs_out) = os.pipe(), os.pipe()
        options = ["--headless", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        options += [
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--disable-component-update",
            "--disable-background-networking",
            "--no-first-run",
        ]
        options += ["--no-sandbox"] if os.geteuid() == 0 else []
        command = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        started = {"pass_fds": (theirs_in, theirs_out), "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(["bash", "-c", command, "bash", chromium(), *options], **started)
        os.close(theirs_in), os.close(theirs_out)
        self._numbers, self._unread, self.events, self._session = itertools.count(1), b"", [], None

    def __enter__(self) -> Browser:
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for room in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{room}.enable")
        return self

    def __exit__(self, *_) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)
        os.close(self._in), os.close(self._out)

    def ask(self, method: str, **parameters) -> dict:
        """The answer to a command of the protocol; what is told in between goes to `events`."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": self._session} if self._session else {})
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            told = self._read()
            if told.get("id") != number:
                self.events.append(told)
            elif "error" in told:
                raise RuntimeError(f"{method}: {told['error']}")
            else:
                return told["result"]

    def _read(self) -> dict:
        while b"\0" not in self._unread:
            part = os.read(self._in, 1 << 20)
            if not part:
                raise RuntimeError(f"the browser ended with status {self._process.wait(PATIENCE)}")
            self._unread += part
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def show(self, page: Path, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Open a file in a window of this size and wait until all of it is there."""
        self.events.clear()
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.ask("Page.navigate", url=page.absolute().as_uri())
        self.run("new Promise(done => document.readyState === 'complete' ? done(0) : addEventListener('load', () => done(0)))")

    def run(self, script: str):
        """The value of an expression of JavaScript on the page, awaited."""
        answer = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of an element of the page, which is scrolled to where it is out of sight."""
        middle = f"""(() => {{ const element = document.querySelector({json.dumps(selector)});
          element.scrollIntoView({{block: "nearest"}}); const box = element.getBoundingClientRect();
          return [box.left + box.width / 2, box.top + box.height / 2]; }})()"""
        self.click_at(*self.run(middle))

    def click_at(self, x: float, y: float) -> None:
        """Press and release the mouse there, also in a frame."""
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str, code: int) -> None:
        """Press and release a key that writes nothing; code: its number in Windows."""
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def write(self, text: str) -> None:
        """Type a text where the keyboard's focus is."""
        self.ask("Input.insertText", text=text)

    def picture(self, whole: bool = False) -> bytes:
        """PNG of the window, or of the whole page."""
        return base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def pdf(self) -> bytes:
        """The page in print, A4, by its rules for print."""
        return base64.b64decode(self.ask("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True)["data"])

    def asked_for(self) -> list[str]:
        """Addresses that the page requested since it was shown."""
        return [event["params"]["request"]["url"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]
