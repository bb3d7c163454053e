"""TCP through the tunnel, with iperf3."""

import json
import os
import subprocess

from .shell import LabError, stop, wait_for

INTERVAL_S = 0.1


class Bulk:
    """From the site to the lan, or the other way round with `reverse`. At full speed, but for
    `options` of iperf3."""

    def __init__(self, pair, folder, seconds, reverse, name, *options):
        self.log = os.path.join(folder, f"iperf3-{name}-{'down' if reverse else 'up'}.json")
        self.server = pair.lan.spawn("iperf3", "-s", "-1", log=self.log + ".server")
        # Its port, 5201, in hexadecimal: what it prints sits in a buffer.
        wait_for(lambda: ":1451 " in pair.lan.run("cat", "/proc/net/tcp6"), "iperf3 in the lan")
        self.client = pair.site.spawn(
            "iperf3", "-c", pair.net.lan, "-t", seconds, "-i", INTERVAL_S, "-J",
            *options, *(["-R"] if reverse else []), log=self.log,
        )

    def wait(self, timeout):
        """(megabits per second of the first second, longest silence in seconds, megabits per second
        of the last second). A client that has not ended by then is ended, and reports what it saw.
        """
        try:
            self.client.wait(timeout)
        except subprocess.TimeoutExpired:
            stop(self.client)
        stop(self.server)
        with open(self.log, encoding="utf-8") as file:
            # Ended by a signal it may say more after its report.
            report, _ = json.JSONDecoder().raw_decode(file.read())
        if not report.get("intervals"):
            raise LabError(f"iperf3 measured nothing: {report.get('error')}")
        rates = [step["sum"]["bits_per_second"] / 1e6 for step in report["intervals"]]
        return mean(rates[:10]), silence(rates) * INTERVAL_S, mean(rates[-10:])


def silence(rates):
    longest = run = 0
    for rate in rates:
        run = run + 1 if rate == 0 else 0
        longest = max(longest, run)
    return longest


def mean(rates):
    return sum(rates) / max(1, len(rates))
