"""The project's daemon beside a gateway: configuration, start, status."""

import json
import os
import signal

from .shell import LabError, run, stop, wait_for


def binary(name):
    """A program of the project, in the folder that host.py named."""
    path = os.path.join(os.environ["LAB_BIN"], name)
    if not os.path.exists(path):
        raise LabError(f"{path} is missing: scripts/lab.sh builds it")
    return path


def identities(folder, names=("unit-0", "unit-1")):
    """Makes one identity for each unit; returns [(folder, fingerprint)]."""
    made = []
    for name in names:
        place = os.path.join(folder, name)
        if not os.path.isdir(place):
            run(binary("ha-identity"), "new", place, "--name", name)
        made.append((place, fingerprint(place)))
    return made


def fingerprint(place):
    text = run(binary("ha-identity"), "show", place, check=False)
    for word in text.split():
        if word.startswith("sha256:"):
            return word
    raise LabError(f"ha-identity shows no fingerprint of {place}: {text.strip()[:200]}")


class Settings:
    """What a scenario chooses; the rest of the TOML file follows from the pair.

    `paths` is the number of addresses of the sync link (2 only with sctp). The keepalive is slower
    than the daemon's fast profile: a guest has one processor, shares the machine's with others, and
    runs everything of four machines on it. `apply_ms` is how often the standby writes its kernel.
    """

    def __init__(self, mode="counters", transport="tcp", inbound_policy="strict", paths=1,
                 interval_ms=100, threshold=5, replay_outbound=100_000, replay_inbound=1000,
                 apply_ms=1000, log="debug", rekey_held=True, event_interval_ms=20):
        self.mode = mode
        self.transport = transport
        self.inbound_policy = inbound_policy
        self.paths = paths
        self.interval_ms = interval_ms
        self.threshold = threshold
        self.replay_outbound = replay_outbound
        self.replay_inbound = replay_inbound
        self.apply_ms = apply_ms
        self.log = log
        self.rekey_held = rekey_held
        self.event_interval_ms = event_interval_ms


class Mirror:
    """xfrm-mirror in the namespace of gateway `unit` (0 or 1)."""

    def __init__(self, machine, unit, identities, folder, settings, sync, virtual):
        self.machine = machine
        self.unit = unit
        self.folder = os.path.join(folder, machine.name)
        self.process = None
        os.makedirs(self.folder, exist_ok=True)
        self.config = os.path.join(self.folder, "mirror.toml")
        own, other = identities[unit][0], identities[1 - unit][1]
        with open(self.config, "w", encoding="utf-8") as out:
            out.write(toml(unit, own, other, settings, sync, virtual, self._socket()))

    def start(self):
        log = os.path.join(self.folder, "mirror.log")
        self.process = self.machine.spawn(
            binary("xfrm-mirror"), "--config", self.config, log=log
        )

    def kill(self):
        """Ends the process without a chance to say goodbye to anybody."""
        stop(self.process, signal.SIGKILL)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def status(self):
        """`xfrm-mirror status --json`, or {} while the daemon does not answer."""
        text = self.machine.run(
            binary("xfrm-mirror"), "status", "--config", self.config, "--json", check=False
        )
        try:
            return json.loads(text)
        except ValueError:
            return {}

    def role(self):
        return str(self.status().get("role", "")).lower()

    def active(self):
        return self.role() == "active"

    def standby_hot(self):
        """True on the active unit whose peer is in sync."""
        status = self.status()
        peer = str(status.get("peer_state", "")).lower().replace("_", " ").replace("-", " ")
        return str(status.get("role", "")).lower() == "active" and peer == "standby hot"

    def _socket(self):
        return f"/run/mirror-{self.machine.name}.sock"


def wait_in_sync(mirrors, timeout=20):
    """Waits until one of the daemons is active and sees the other as STANDBY HOT; returns it."""

    def ready():
        for mirror in mirrors:
            if mirror.alive() and mirror.standby_hot():
                return mirror
            if not mirror.alive():
                raise LabError(f"xfrm-mirror ended in {mirror.machine.name}; see {mirror.folder}")
        return None

    return wait_for(ready, "pair of daemons in sync", timeout, 0.1)


def toml(unit, own, other, settings, sync, virtual, socket):
    lines = [
        "[unit]",
        f"id = {unit}",
        f'identity = "{own}"',
        f'peer = "{other}"',
        "group = 1",
        f'status_socket = "{socket}"',
        "",
        "[[link]]",
        f'transport = "{settings.transport}"',
        *ends(unit, settings, sync),
        "",
        "[keepalive]",
        f"interval_ms = {settings.interval_ms}",
        f"threshold = {settings.threshold}",
        "",
        "[log]",
        f'level = "{settings.log}"',
        "",
        "[mirror]",
        f'mode = "{settings.mode}"',
        f"addresses = {json.dumps([virtual.outer])}",
        f'inbound_policy = "{settings.inbound_policy}"',
        f"event_interval_ms = {settings.event_interval_ms}",
        f"rekey_held = {json.dumps(settings.rekey_held)}",
        f"replay_interval_outbound = {settings.replay_outbound}",
        f"replay_interval_inbound = {settings.replay_inbound}",
        f"apply_interval_ms = {settings.apply_ms}",
    ]
    for device, address, length in virtual.addresses():
        lines += ["", "[[virtual_address]]", f'interface = "{device}"',
                  f'address = "{address}/{length}"']
    return "\n".join(lines) + "\n"


def ends(unit, settings, sync):
    """The addresses of the link: one on each side, or several for SCTP."""
    mine = [f"{pair[unit]}:3249" for pair in sync[: settings.paths]]
    theirs = [f"{pair[1 - unit]}:3249" for pair in sync[: settings.paths]]
    if settings.paths == 1:
        return [f'local = "{mine[0]}"', f'remote = "{theirs[0]}"']
    return [f"local = {json.dumps(mine)}", f"remote = {json.dumps(theirs)}"]
