#!/usr/bin/env python3
"""Counts repeated sequence numbers of ESP in a capture. Believes nobody: it only reads the wire.

usage: check.py FILE.pcap [--injected-from MAC]
       check.py --self-test

A packet is identified by (destination, SPI, sequence number). Two packets with the same one are a
reuse if they differ, and a repetition of the network if they are equal byte for byte (a switch that
floods, a replayer); frames that the laboratory's own replayer sent are left out by their source
address. With ESN the upper half of the number is not on the wire: a wrap of the lower half is taken
for a repetition, so captures must be shorter than 2^32 packets.
"""

import json
import struct
import sys
import tempfile
from collections import defaultdict

if __package__:
    from . import pcap
else:
    import pcap


def check(path, injected_from=None):
    """Returns {"packets", "reused", "repeated", "sas": {SPI: {...}}}."""
    seen, sas = {}, defaultdict(lambda: {"packets": 0, "top": 0, "largest_gap": 0, "gaps": 0})
    reused = repeated = packets = 0
    for esp in pcap.esp_packets(path):
        if injected_from and esp.frame[6:12] == injected_from:
            continue
        packets += 1
        key, body = (esp.dst, esp.spi, esp.seq), esp_bytes(esp)
        if key not in seen:
            seen[key] = hash(body)
            note(sas[f"{esp.spi:08x}"], esp.seq)
        elif seen[key] == hash(body):
            repeated += 1
        else:
            reused += 1
    return {"packets": packets, "reused": reused, "repeated": repeated, "sas": dict(sas)}


def note(sa, seq):
    """Counts a new number of an SA. A gap is a step above 1: a jump at a takeover, or a loss."""
    sa["packets"] += 1
    if sa["top"] and seq > sa["top"] + 1:
        sa["gaps"] += 1
        sa["largest_gap"] = max(sa["largest_gap"], seq - sa["top"] - 1)
    sa["top"] = max(sa["top"], seq)


def esp_bytes(esp):
    """The packet from the SPI on: addresses of Ethernet and TTL may differ between two copies."""
    at = esp.frame.find(struct.pack("!II", esp.spi, esp.seq), 34)
    return esp.frame[at:]


# --- the self-test -------------------------------------------------------------------------------


def self_test():
    """Planted faults are found, and clean captures are not blamed."""
    clean = [frame(1, n, bytes([n])) for n in range(1, 50)]
    cases = [
        ("clean", clean, 0, 0),
        ("a number used for two packets", clean + [frame(1, 7, b"other")], 1, 0),
        ("the same packet twice", clean + [clean[6]], 0, 1),
        ("the same number under another SPI", clean + [frame(2, 7, b"x")], 0, 0),
        ("a number used twice inside UDP", [udp(1, 3, b"a"), udp(1, 3, b"b")], 1, 0),
        ("the same number over IPv6", [ipv6(1, 3, b"a"), ipv6(1, 3, b"b")], 1, 0),
        ("IKE on port 4500", [udp(0, 3, b"a"), udp(0, 3, b"b")], 0, 0),
    ]
    for name, packets, reused, repeated in cases:
        found = check_frames(packets)
        if (found["reused"], found["repeated"]) != (reused, repeated):
            sys.exit(f"self-test: {name}: found {found}")
    gap = check_frames([frame(1, 1, b""), frame(1, 1001, b"")])["sas"]["00000001"]
    if (gap["gaps"], gap["largest_gap"], gap["top"]) != (1, 999, 1001):
        sys.exit(f"self-test: gap: found {gap}")
    own = check_frames([frame(1, 1, b"a"), frame(1, 1, b"b")], injected_from=b"\x02" * 6)
    if own["packets"]:
        sys.exit(f"self-test: the replayer's own frames were counted: {own}")
    print("self-test passed")


def check_frames(packets, **options):
    with tempfile.NamedTemporaryFile(suffix=".pcap") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for packet in packets:
            file.write(struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet)
        file.flush()
        return check(file.name, **options)


def frame(spi, seq, body, protocol=50):
    payload = body if protocol == 17 else struct.pack("!II", spi, seq) + body + bytes(16)
    length = 20 + len(payload)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, 0, 0, 64, protocol, 0, b"abcd", b"efgh")
    return b"\x01" * 6 + b"\x02" * 6 + b"\x08\x00" + ip + payload


def udp(spi, seq, body):
    inner = struct.pack("!II", spi, seq) + body + bytes(16)
    return frame(0, 0, struct.pack("!HHHH", 4500, 4500, 8 + len(inner), 0) + inner, protocol=17)


def ipv6(spi, seq, body):
    inner = struct.pack("!II", spi, seq) + body + bytes(16)
    header = struct.pack("!IHBB16s16s", 6 << 28, len(inner), 50, 64, bytes(16), bytes(16))
    return b"\x01" * 6 + b"\x02" * 6 + b"\x86\xdd" + header + inner


def main():
    arguments = sys.argv[1:]
    if arguments == ["--self-test"]:
        self_test()
        return
    if len(arguments) == 3 and arguments[1] == "--injected-from":
        own = bytes.fromhex(arguments[2].replace(":", ""))
    elif len(arguments) == 1:
        own = None
    else:
        sys.exit(__doc__)
    report = check(arguments[0], own)
    print(json.dumps(report, indent=2))
    sys.exit(1 if report["reused"] else 0)


if __name__ == "__main__":
    main()
