"""Reads ESP packets out of a classic pcap file (Ethernet), IPv4 and IPv6, also inside UDP 4500."""

import struct
from collections import namedtuple

# `esp` is the packet from the SPI on; `frame` the whole Ethernet frame.
Esp = namedtuple("Esp", "time src dst spi seq frame")

ETHERNET = 1
PROTOCOL_UDP, PROTOCOL_ESP = 17, 50
NAT_T_PORT = 4500


def esp_packets(path):
    """Yields each ESP packet of the file in its order. A record cut short at the end is left out:
    the capture may have been stopped in the middle of a write."""
    for time, frame in frames(path):
        packet = dissect(time, frame)
        if packet:
            yield packet


def frames(path):
    """Yields (time in seconds, frame) for each record."""
    with open(path, "rb") as file:
        header = file.read(24)
        if len(header) < 24:
            return
        order, unit = byte_order(header)
        if struct.unpack(order + "I", header[20:24])[0] & 0xFFFF != ETHERNET:
            raise ValueError(f"{path}: not a capture of Ethernet")
        while True:
            record = file.read(16)
            if len(record) < 16:
                return
            seconds, fraction, length, _ = struct.unpack(order + "IIII", record)
            frame = file.read(length)
            if len(frame) < length:
                return
            yield seconds + fraction * unit, frame


def byte_order(header):
    for order in "<>":
        magic = struct.unpack(order + "I", header[:4])[0]
        if magic == 0xA1B2C3D4:
            return order, 1e-6
        if magic == 0xA1B23C4D:
            return order, 1e-9
    raise ValueError("not a pcap file (tcpdump -w writes one)")


def dissect(time, frame):
    """The ESP packet in a frame, or None."""
    kind = frame[12:14]
    if kind == b"\x08\x00" and len(frame) >= 34:
        protocol, start = frame[23], 14 + (frame[14] & 15) * 4
        src, dst = frame[26:30], frame[30:34]
        # A later fragment has no SPI at its begin.
        if struct.unpack("!H", frame[20:22])[0] & 0x1FFF:
            return None
    elif kind == b"\x86\xdd" and len(frame) >= 54:
        protocol, start = frame[20], 54
        src, dst = frame[22:38], frame[38:54]
    else:
        return None
    body = frame[start:]
    if protocol == PROTOCOL_UDP:
        body = inside_udp(body)
    elif protocol != PROTOCOL_ESP:
        return None
    if body is None or len(body) < 8:
        return None
    spi, seq = struct.unpack("!II", body[:8])
    return Esp(time, src, dst, spi, seq, frame)


def inside_udp(datagram):
    """ESP in UDP (RFC 3948): ports 4500, and neither IKE (SPI zero) nor a keepalive (one byte)."""
    if len(datagram) < 16:
        return None
    ports = struct.unpack("!HH", datagram[:4])
    body = datagram[8:]
    if NAT_T_PORT not in ports or body[:4] == bytes(4):
        return None
    return body
