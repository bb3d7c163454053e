"""Captures what passes a port of a switch."""

import os

from . import shell
from .shell import wait_for


class Capture:
    """tcpdump on an interface of the guest's own namespace, written packet by packet.

    Each packet takes the snap length in the kernel's buffer, whatever its size: 2000 bytes hold a
    frame and leave room for 8000 of them; at full speed the first 128 bytes are enough to tell two
    packets apart.
    """

    def __init__(self, device, path, snap=2000, expression="esp or udp port 4500"):
        self.path = path
        self.log = path + ".log"
        self.process = shell.spawn(
            "tcpdump", "-i", device, "-n", "-U", "--immediate-mode", "-s", snap, "-B", "16384", "-Z", "root",
            "-w", path, *expression.split(), log=self.log,
        )
        wait_for(self._listening, f"capture on {device}")

    def stop(self):
        """Ends the capture and returns how many packets the kernel dropped for want of space."""
        shell.stop(self.process, 2)
        for line in self._text().splitlines():
            if "dropped by kernel" in line:
                return int(line.split()[0])
        return 0

    def _listening(self):
        return "listening on" in self._text()

    def _text(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()
