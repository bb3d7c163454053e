#!/usr/bin/env python3
"""Announces an address on an interface: gratuitous ARP, or an unsolicited neighbour advertisement.

usage: announce.py DEVICE ADDRESS
"""

import ipaddress
import socket
import struct
import sys


def arp(mac, address):
    """An ARP request for the own address (RFC 5227: an announcement)."""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + address + bytes(6) + address
    return b"\xff" * 6 + mac + b"\x08\x06" + body


def advertisement(mac, address):
    """An unsolicited neighbour advertisement to all nodes, override flag set (RFC 4861 §7.2.6)."""
    target = ipaddress.IPv6Address("ff02::1").packed
    body = struct.pack("!BBHI", 136, 0, 0, 0x2000_0000) + address + b"\x02\x01" + mac
    pseudo = address + target + struct.pack("!II", len(body), 58)
    total = checksum(pseudo + body)
    body = body[:2] + struct.pack("!H", total) + body[4:]
    header = struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + address + target
    return b"\x33\x33\x00\x00\x00\x01" + mac + b"\x86\xdd" + header + body


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def main():
    device, address = sys.argv[1], ipaddress.ip_address(sys.argv[2].split("/")[0])
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((device, 0))
        mac = out.getsockname()[4]
        frame = arp if address.version == 4 else advertisement
        for _ in range(2):
            out.send(frame(mac, address.packed))


if __name__ == "__main__":
    main()
