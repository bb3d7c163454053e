#!/usr/bin/env python3
"""Holds UDP port 4500 open for ESP in UDP, as an IKE daemon does (udp_encap, linux/udp.h)."""

import signal
import socket

UDP_ENCAP, UDP_ENCAP_ESPINUDP = 100, 2


def main():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
        holder.bind(("0.0.0.0", 4500))
        signal.pause()


if __name__ == "__main__":
    main()
