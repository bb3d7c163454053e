#!/usr/bin/env python3
"""Many small datagrams at a rate, one way: what a gateway is loaded with.

usage: load.py --from ADDRESS --to ADDRESS [--step-from] --tunnels N --rate N --burst N --log FILE

A tunnel is a pair of addresses: the n-th counts --from or --to up by n. The tunnels take turns; each
turn hands the kernel --burst datagrams in one call (UDP_SEGMENT), which forwards and encrypts them one
by one: a guest has no time for a call per packet. Nobody reads what arrives. Ends at SIGTERM.
"""

import argparse
import ipaddress
import json
import signal
import socket
import time

PORT = 7008
PAYLOAD = 100
# linux/udp.h, which Python's socket module does not name.
UDP_SEGMENT = 103


class Load:
    """One socket for each tunnel."""

    def __init__(self, options):
        self.rate, self.burst = options.rate, options.burst
        self.sockets = [connected(*ends(options, n), options.burst) for n in range(options.tunnels)]
        self.sent = self.refused = 0
        self.stopped = False
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, *_):
        self.stopped = True

    def run(self):
        """Sends at the rate until stopped. Returns how long that was. A late turn is caught up with,
        so the rate is reached if it can be reached at all."""
        data, begin = bytes(PAYLOAD * self.burst), time.monotonic()
        while not self.stopped:
            elapsed = time.monotonic() - begin
            if elapsed * self.rate >= self.sent:
                self.send(data)
            else:
                time.sleep(self.burst / self.rate)
        return time.monotonic() - begin

    def send(self, data):
        turn = self.sent // self.burst % len(self.sockets)
        try:
            self.sockets[turn].send(data)
        except OSError:
            self.refused += self.burst
        self.sent += self.burst


def ends(options, tunnel):
    """(from, to) of a tunnel."""
    source, target = map(ipaddress.ip_address, (options.source, options.to))
    return (source + tunnel, target) if options.step_from else (source, target + tunnel)


def connected(source, target, burst):
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind((str(source), 0))
    sender.connect((str(target), PORT))
    if burst > 1:
        sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, PAYLOAD)
    return sender


def sink():
    """Takes what arrives, so that nobody answers with ICMP, and lets the kernel drop it."""
    taker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    taker.bind(("", PORT))
    return taker


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--from", dest="source", required=True)
    parser.add_argument("--to", required=True)
    parser.add_argument("--step-from", action="store_true")
    parser.add_argument("--tunnels", type=int, default=1)
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--burst", type=int, default=1)
    parser.add_argument("--log", required=True)
    options = parser.parse_args()
    kept, load = sink(), Load(options)
    seconds = load.run()
    kept.close()
    with open(options.log, "w", encoding="utf-8") as out:
        json.dump({"sent": load.sent, "refused": load.refused, "seconds": seconds}, out)


if __name__ == "__main__":
    main()
