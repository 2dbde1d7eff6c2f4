# SPDX-License-Identifier: Apache-2.0
"""A DNS question over UDP, asked of one server: the laboratory's client trusts no resolver."""
import random
import socket
import struct


class DnsError(Exception):
    pass


def _question(name, number):
    packet = struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0)
    for label in name.rstrip(".").split("."):
        packet += bytes([len(label)]) + label.encode("ascii")
    return packet + b"\0" + struct.pack(">HH", 1, 1)


def _skip_name(packet, at):
    while True:
        size = packet[at]
        if size & 0xC0:
            return at + 2
        at += 1 + size
        if size == 0:
            return at


def resolve(name, server, port, timeout=0.5):
    """Addresses and time to live (seconds) of an A record. DnsError: no answer, or none of use."""
    number = random.randrange(65536)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        try:
            s.connect((server, port))
            s.send(_question(name, number))
            packet = s.recv(4096)
        except OSError as error:
            raise DnsError(f"{server}:{port} about {name}: {error}") from error
    try:
        answer_to, flags, questions, answers = struct.unpack(">HHHH", packet[:8])
        if answer_to != number or not flags & 0x8000:
            raise DnsError(f"{server}:{port} about {name}: not an answer to the question")
        if flags & 0x000F:
            raise DnsError(f"{server}:{port} about {name}: response code {flags & 15}")
        at, found, ttl = 12, [], 0
        for _ in range(questions):
            at = _skip_name(packet, at) + 4
        for _ in range(answers):
            at = _skip_name(packet, at)
            kind, _class, ttl_here, size = struct.unpack(">HHIH", packet[at:at + 10])
            at += 10
            if kind == 1 and size == 4:
                found.append(socket.inet_ntoa(packet[at:at + 4]))
                ttl = ttl_here
            at += size
    except (struct.error, IndexError) as error:
        raise DnsError(f"{server}:{port} about {name}: broken packet") from error
    if not found:
        raise DnsError(f"{server}:{port} about {name}: no address")
    return found, ttl
