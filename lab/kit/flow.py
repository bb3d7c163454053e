#!/usr/bin/env python3
"""Numbered UDP datagrams and their echoes: what got through, when, and what came twice.

usage: flow.py send --to ADDRESS --rate N [--first N] --log FILE
       flow.py echo --log FILE

The sender first sends --first datagrams as fast as the answers come (at most 64 unanswered), says
"waiting" and waits for SIGUSR1, then sends --rate in a second until SIGTERM. The echo answers each
number once: a repeated number is counted and not answered, so that replayed packets do not move the
counters of the way back. Times are CLOCK_MONOTONIC in seconds, the same clock in every namespace.
"""

import argparse
import json
import select
import signal
import socket
import struct
import time

PORT = 7007
UNANSWERED = 64
PAYLOAD = 100


class Raised:
    """True after a signal."""

    def __init__(self, number):
        self.now = False
        signal.signal(number, self._raise)

    def _raise(self, *_):
        self.now = True

    def __bool__(self):
        return self.now


class Sender:
    """Sends and records: sent[i] and echoed[i] are the times of datagram i, or None."""

    def __init__(self, to, stopped):
        self.socket = udp(to)
        self.socket.setblocking(False)
        self.to = (to, PORT)
        self.stopped = stopped
        self.sent = []
        self.echoed = []
        self.doubled = 0
        self.refused = 0
        self.answered = 0

    def burst(self, count):
        """Sends `count` datagrams, waiting for answers; gives up on what is late by 0.2 s."""
        given_up = 0
        while len(self.sent) < count and not self.stopped:
            if len(self.sent) - self.answered - given_up < UNANSWERED:
                self.send()
            elif not self.receive(0.2):
                given_up = len(self.sent) - self.answered
            self.receive(0)

    def pace(self, rate):
        """Sends `rate` datagrams in a second until stopped. Late ticks are caught up with."""
        begin, done = time.monotonic(), 0
        while not self.stopped:
            due = int((time.monotonic() - begin) * rate) + 1
            while done < min(due, done + 32):
                self.send()
                done += 1
            self.receive(max(0.0, begin + done / rate - time.monotonic()))

    def send(self):
        number = len(self.sent)
        self.sent.append(time.monotonic())
        self.echoed.append(None)
        try:
            self.socket.sendto(struct.pack("!Q", number) + bytes(PAYLOAD), self.to)
        except OSError:
            self.refused += 1

    def receive(self, wait):
        """Takes all answers that are there, waiting for the first at most `wait` seconds."""
        taken = 0
        while select.select([self.socket], [], [], 0 if taken else wait)[0]:
            try:
                data = self.socket.recv(2048)
            except OSError:
                break
            number = struct.unpack_from("!Q", data)[0]
            if self.echoed[number] is not None:
                self.doubled += 1
                continue
            self.echoed[number] = time.monotonic()
            self.answered += 1
            taken += 1
        return taken

    def report(self):
        return {
            "sent": self.sent,
            "echoed": self.echoed,
            "doubled": self.doubled,
            "refused": self.refused,
        }


def echo(stopped):
    """Answers until stopped; returns how often each kind of datagram came."""
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    server.bind(("::", PORT))
    seen, doubled = set(), 0
    while not stopped:
        if not select.select([server], [], [], 0.1)[0]:
            continue
        data, sender = server.recvfrom(2048)
        number = struct.unpack_from("!Q", data)[0]
        if number in seen:
            doubled += 1
            continue
        seen.add(number)
        try:
            server.sendto(data, sender)
        except OSError:
            pass  # no way back at the moment: the sender counts it as lost
    return {"received": len(seen), "doubled": doubled}


def udp(to):
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    return socket.socket(family, socket.SOCK_DGRAM)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["send", "echo"])
    parser.add_argument("--to")
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--log", required=True)
    options = parser.parse_args()
    stopped, go = Raised(signal.SIGTERM), Raised(signal.SIGUSR1)
    if options.role == "echo":
        report = echo(stopped)
    else:
        sender = Sender(options.to, stopped)
        sender.burst(options.first)
        print("waiting", flush=True)
        while not go and not stopped:
            sender.receive(0.02)
        sender.pace(options.rate)
        sender.stopped.now = False
        sender.receive(0.3)
        report = sender.report()
    with open(options.log, "w", encoding="utf-8") as out:
        json.dump(report, out)


if __name__ == "__main__":
    main()
