"""strongSwan as it comes: one charon-systemd for each namespace, configured over vici."""

import os
import signal

from .shell import stop, wait_for

PLUGINS = (
    "random nonce openssl aes sha1 sha2 hmac gcm kdf x509 pubkey pem pkcs1 "
    "kernel-netlink socket-default vici counters"
)

HA_PIPE = "/run/charon.ha"


class Charon:
    """One instance in `machine`. Its files are in `folder`: configuration, log, vici socket."""

    def __init__(self, machine, folder, ha=None):
        self.machine = machine
        self.folder = os.path.join(folder, machine.name)
        # A path of a socket is short: 107 bytes.
        self.uri = f"unix:///run/{machine.name}.vici"
        self.process = None
        os.makedirs(self.folder, exist_ok=True)
        self._write("strongswan.conf", self._settings(ha))
        self.pipe = self._own_pipe() if ha else None

    def start(self, swanctl):
        """Starts charon, which loads the text `swanctl` by itself: a second after its start the `ha`
        plugin asks for all SAs, and ignores those of connections that are not loaded yet."""
        self._write("swanctl.conf", swanctl)
        program = ["/usr/sbin/charon-systemd"]
        if self.pipe:
            # In the mount namespace that `ip netns exec` makes.
            mounted = f"mount --bind {self.pipe} {HA_PIPE} && exec {program[0]}"
            program = ["sh", "-c", mounted]
        self.process = self.machine.spawn(
            *program,
            log=os.path.join(self.folder, "charon.out"),
            env={"STRONGSWAN_CONF": self._path("strongswan.conf")},
        )
        wait_for(self._loaded, f"connection loaded by charon in {self.machine.name}")

    def initiate(self, child="net", timeout=15):
        self.swanctl("--initiate", "--child", child, "--timeout", timeout)

    def rekey(self, child="net"):
        self.swanctl("--rekey", "--child", child)

    def sas(self):
        """What `swanctl --list-sas` prints, one line for each item."""
        return self.swanctl("--list-sas", check=False)

    def send_all(self):
        """Has the `ha` plugin send all SAs of segment 1 to the other unit, as an operator would. Not to
        one that has them: it would have each twice, and forget the children of both."""
        try:
            pipe = os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return
        try:
            os.write(pipe, b"*1")
        except OSError:
            pass
        finally:
            os.close(pipe)

    def kill(self):
        """Ends the process without a chance to say goodbye to anybody."""
        stop(self.process, signal.SIGKILL)

    def swanctl(self, command, *words, **options):
        return self.machine.run("swanctl", command, *words, "--uri", self.uri, **options)

    def _loaded(self):
        return "net:" in self.swanctl("--list-conns", check=False)

    def _own_pipe(self):
        """The plugin knows one path for the pipe on which it takes orders, and all machines of a guest
        share its files: what is written there would reach one of them, whichever."""
        pipe = f"/run/{self.machine.name}.ha"
        if not os.path.exists(pipe):
            os.mkfifo(pipe)
        if not os.path.exists(HA_PIPE):
            with open(HA_PIPE, "x", encoding="utf-8"):
                pass
        return pipe

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _write(self, name, text):
        with open(self._path(name), "w", encoding="utf-8") as out:
            out.write(text)

    def _settings(self, ha):
        return f"""
charon-systemd {{
  load = {PLUGINS}{" ha" if ha else ""}
  install_routes = no
  install_virtual_ip = no
  make_before_break = yes
  start-scripts {{
    load = swanctl --load-all --file {self._path("swanctl.conf")} --uri {self.uri}
  }}
  # The laboratory's tunnels live for minutes; nothing may be given up while a unit is away.
  retransmit_tries = 20
  retransmit_timeout = 1.0
  retransmit_base = 1.2
  filelog {{
    lab {{
      path = {self._path("charon.log")}
      time_format = %H:%M:%S
      append = yes
      flush_line = yes
      default = 1
    }}
  }}
  plugins {{
    vici {{ socket = {self.uri} }}
{ha or ""}
  }}
}}
"""


def ha_settings(local, remote):
    """The `ha` plugin with one segment. Of the two units the one whose address is the higher string
    owns the segment first; heartbeats are the fastest that its timeout allows by default."""
    return f"""
    ha {{
      local = {local}
      remote = {remote}
      fifo_interface = yes
      segment_count = 1
      heartbeat_delay = 1000
      heartbeat_timeout = 2100
      monitor = yes
      resync = yes
    }}"""


def connection(local, remote, local_ts, remote_ts, mine, theirs, esp="aes128gcm16-noesn",
               window=32, encap=False):
    """A swanctl.conf with one connection `net` and one child `net`, with a pre-shared key.

    `mine` and `theirs` are the identities. `esp` is a proposal in strongSwan's notation: ESN is
    chosen with -esn or -noesn; with both the first one wins. No timer rekeys.
    """
    return f"""
connections {{
  net {{
    version = 2
    local_addrs = {local}
    remote_addrs = {remote}
    proposals = aes128gcm16-prfsha256-ecp256
    encap = {"yes" if encap else "no"}
    mobike = no
    rekey_time = 0
    local {{
      auth = psk
      id = {mine}
    }}
    remote {{
      auth = psk
      id = {theirs}
    }}
    children {{
      net {{
        local_ts = {local_ts}
        remote_ts = {remote_ts}
        esp_proposals = {esp}
        replay_window = {window}
        rekey_time = 0
        dpd_action = none
        start_action = none
      }}
    }}
  }}
}}
secrets {{
  ike-lab {{
    id-1 = {mine}
    id-2 = {theirs}
    secret = "a key of the laboratory, of no use elsewhere"
  }}
}}
"""

