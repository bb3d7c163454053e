"""The kernel's IPsec: counters, and SAs and policies set by hand."""

import ipaddress
import re

# The first of the peers that `fill` makes SAs for: a network for benchmarks (RFC 2544).
FILLED = "198.18.0.0"


def statistics(machine):
    """/proc/net/xfrm_stat as a dictionary."""
    text = machine.run("cat", "/proc/net/xfrm_stat")
    return {name: int(value) for name, value in (line.split() for line in text.splitlines())}


def replay_drops(machine):
    """Packets that the anti-replay check refused: seen already, or left of the window."""
    return statistics(machine)["XfrmInStateSeqError"]


def states(machine):
    """The ESP SAs of a machine: [{"src", "dst", "spi", "seq", "oseq"}], the numbers in full width."""
    found = []
    for block in re.split(r"^(?=src )", machine.run("ip", "-s", "xfrm", "state"), flags=re.M):
        sa = state(block)
        if sa:
            found.append(sa)
    return found


def state(block):
    head = re.match(r"src (\S+) dst (\S+)\s+proto esp spi 0x([0-9a-f]+)", block)
    if not head:
        return None
    sa = {"src": head[1], "dst": head[2], "spi": head[3], "seq": 0, "oseq": 0}
    # "anti-replay context: seq 0x5, oseq 0x7, bitmap …", and with ESN "seq-hi 0x0, seq 0x5, …". Before
    # it stands another "seq", which is no counter.
    counters = block.partition("anti-replay")[2]
    for name in ("seq", "oseq"):
        low = re.search(rf"(?<!\w){name} 0x([0-9a-f]+)", counters)
        high = re.search(rf"(?<!\w){name}-hi 0x([0-9a-f]+)", counters)
        if low:
            sa[name] = int(low[1], 16)
        if high:
            sa[name] += int(high[1], 16) << 32
    return sa


def count(machine):
    """The number of SAs, without listing them."""
    text = machine.run("ip", "xfrm", "state", "count")
    return int(re.search(r"count (\d+)", text)[1])


def fill(machine, local, many, inbound=False):
    """Adds `many` SAs in one go: outbound tunnels of a local address to as many peers, or what those
    peers send to it in transport mode, which needs no policy for each."""
    key, first = "0x" + bytes(range(20)).hex(), ipaddress.ip_address(FILLED)
    mode, flip = ("transport", -1) if inbound else ("tunnel", 1)
    lines = ""
    for n in range(many):
        src, dst = (local, first + n)[::flip]
        lines += (f"xfrm state add src {src} dst {dst} proto esp spi {0x10000 + n} reqid 2 "
                  f"mode {mode} aead rfc4106(gcm(aes)) {key} 128 replay-window 32\n")
    machine.run("ip", "-batch", "-", stdin=lines, timeout=60)


def policies(machine):
    """The number of policies, sockets' own ones not included."""
    return machine.run("ip", "xfrm", "policy").count("\tdir ")


class Suite:
    """Algorithms of an SA in iproute2's words. `esn` and `window` are part of it."""

    def __init__(self, name, words, esn=False, window=32):
        self.name = name
        self.words = words
        self.esn = esn
        self.window = window

    def options(self):
        flags = ["flag", "esn"] if self.esn else []
        return [*self.words, "replay-window", self.window, *flags]


def aead(**options):
    key = "0x" + bytes(range(20)).hex()
    return Suite("AES-128-GCM", ["aead", "rfc4106(gcm(aes))", key, 128], **options)


def cbc(**options):
    auth, crypt = "0x" + bytes(range(32)).hex(), "0x" + bytes(range(64, 80)).hex()
    words = ["auth-trunc", "hmac(sha256)", auth, 128, "enc", "cbc(aes)", crypt]
    return Suite("AES-CBC+SHA-256", words, **options)


def tunnel(machine, *ends, **options):
    """An inbound and an outbound SA and their policies; see `tunnel_lines`."""
    machine.run("ip", "-batch", "-", stdin=tunnel_lines(*ends, **options), timeout=60)


def tunnel_lines(local, remote, local_net, remote_net, spi_in, spi_out, suite, encap=False,
                 mark=None, reqid=1):
    """The lines of `ip -batch` for one tunnel: two SAs, three policies."""
    nat = ["encap", "espinudp", 4500, 4500, "0.0.0.0"] if encap else []
    marks = ["mark", mark, "mask", "0xffffffff"] if mark is not None else []
    lines = [
        ["xfrm state add src", src, "dst", dst, "proto esp spi", spi, "reqid", reqid, "mode tunnel",
         *marks, *suite.options(), *nat]
        for src, dst, spi in ((local, remote, spi_out), (remote, local, spi_in))
    ]
    lines += [
        ["xfrm policy add src", src, "dst", dst, "dir", direction, *marks, "tmpl src", outer[0],
         "dst", outer[1], "proto esp reqid", reqid, "mode tunnel"]
        for direction, src, dst, outer in (
            ("out", local_net, remote_net, (local, remote)),
            ("in", remote_net, local_net, (remote, local)),
            ("fwd", remote_net, local_net, (remote, local)),
        )
    ]
    return "".join(" ".join(map(str, line)) + "\n" for line in lines)
