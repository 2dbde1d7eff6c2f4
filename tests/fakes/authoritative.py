# SPDX-License-Identifier: Apache-2.0
"""An authoritative name server over UDP that answers what a dictionary holds: the servers of a
provider whose API is a fake."""
import socket
import struct
import threading

TYPES = {1: "A", 5: "CNAME", 28: "AAAA"}


def _wire_name(name):
    return b"".join(bytes([len(part)]) + part.encode()
                    for part in name.rstrip(".").split(".")) + b"\0"


def _data(kind, value):
    if kind == "A":
        return socket.inet_aton(value)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, value)
    return _wire_name(value)


class Authoritative:
    """records: (name without the final dot, type) -> (TTL, [values])."""

    def __init__(self, records):
        self.records = records
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                packet, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            if len(packet) > 12:
                self.socket.sendto(self._answer(packet), peer)

    def _answer(self, packet):
        at, labels = 12, []
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode())
            at += 1 + packet[at]
        question = packet[12:at + 5]
        kind = TYPES.get(struct.unpack(">H", packet[at + 1:at + 3])[0], "")
        ttl, values = self.records.get((".".join(labels).lower(), kind), (0, []))
        body = b""
        for value in values:
            data = _data(kind, value)
            number = next(n for n, name in TYPES.items() if name == kind)
            body += struct.pack(">HHHIH", 0xC00C, number, 1, ttl, len(data)) + data
        return (packet[:2] + struct.pack(">HHHHH", 0x8400, 1, len(values), 0, 0) + question + body)

    def close(self):
        self.socket.close()
