#!/usr/bin/env python3
"""One datagram from each of many consecutive addresses, so that as many SAs move.

usage: touch.py FIRST HOW_MANY TO
"""

import ipaddress
import socket
import struct
import sys

# linux/in.h, which Python's socket module does not name in all versions.
IP_PKTINFO = 8


def main():
    first, many, target = ipaddress.ip_address(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for n in range(many):
            # struct in_pktinfo: any interface, this source address.
            info = struct.pack("=i4s4s", 0, (first + n).packed, bytes(4))
            sender.sendmsg([b"one"], [(socket.IPPROTO_IP, IP_PKTINFO, info)], 0, (target, 9))


if __name__ == "__main__":
    main()
