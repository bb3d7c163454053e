#!/usr/bin/env python3
"""Sends captured ESP packets again, as somebody on the same network could.

usage: replay.py FILE.pcap DEVICE --to MAC --dst ADDRESS [--last N] [--rate N] [--seconds S]

Takes the last N ESP packets to ADDRESS, says "ready", and on SIGUSR1 sends them through DEVICE to
the station MAC, oldest first, --rate in a second, again and again for --seconds. SIGTERM ends it
earlier. The source address of the frames is SOURCE, so that the checker can tell them from the
others. At the end it prints how many were sent.
"""

import argparse
import ipaddress
import signal
import socket
import sys
import time
from collections import deque
from itertools import cycle, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from kit import pcap  # noqa: E402

# A locally administered address that no interface of the laboratory has.
SOURCE = "02:00:00:00:66:66"
TICK_S = 0.01


def main():
    options = arguments()
    # Before "ready": a signal that comes early must not end the program.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    packets = select(options)
    print("ready", flush=True)
    signal.sigwait({signal.SIGUSR1})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sent = 0
    try:
        for sent in send(options, packets):
            pass
    finally:
        print(f"sent {sent}", flush=True)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("device")
    parser.add_argument("--to", required=True)
    parser.add_argument("--dst", required=True)
    parser.add_argument("--last", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=1.5)
    return parser.parse_args()


def select(options):
    """The frames to replay, addressed to the station."""
    address = ipaddress.ip_address(options.dst).packed
    head = octets(options.to) + octets(SOURCE)
    packets = deque(maxlen=options.last)
    for esp in pcap.esp_packets(options.file):
        if esp.dst == address:
            packets.append(head + esp.frame[12:])
    return packets


def send(options, packets):
    """Sends a burst each tick; yields the number sent so far."""
    sent, end, endless = 0, time.monotonic() + options.seconds, cycle(packets)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((options.device, 0))
        while packets and time.monotonic() < end:
            for frame in islice(endless, max(1, int(options.rate * TICK_S))):
                out.send(frame)
                sent += 1
            yield sent
            time.sleep(TICK_S)


def octets(mac):
    return bytes.fromhex(mac.replace(":", ""))


if __name__ == "__main__":
    main()
