# SPDX-License-Identifier: Apache-2.0
"""Addresses and ports of a laboratory: 127.K.R.1 for region R; K = 0 unless it is taken.

A laboratory owns its K through an abstract socket that the kernel frees with the process, so that
several run side by side and nothing is left behind by one that was killed.
"""
import socket

from .process import LabError

REGIONS = ("eu", "us", "ap")

# Purpose -> port that is tried first, and how many follow it.
PORTS = {
    "postgres": (5432, 1), "etcd": (2379, 1), "etcd_peer": (2380, 1), "agents": (7443, 1),
    "users": (7444, 1), "http": (8008, 1), "s3": (8001, 1), "ceph": (16801, 10),
    "dns": (5300, 1), "dns_api": (8081, 1), "history": (5439, 1),
}


def _free(address, port):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as s:
            if kind == socket.SOCK_STREAM:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((address, port))
            except OSError:
                return False
    return True


class AddressPlan:
    """Which loopback addresses and ports one laboratory uses; held until release()."""

    network = "127.0.0.0/8"  # what servers let in

    def __init__(self, first=0):
        self.lock, self.k = self._take(first)
        self.region = {name: f"127.{self.k}.{i}.1" for i, name in enumerate(REGIONS, 1)}
        self.dns = f"127.{self.k}.0.8"
        self.history = f"127.{self.k}.0.9"
        self.scratch = f"127.{self.k}.0.10"
        everywhere = [*self.region.values(), self.dns, self.history, self.scratch]
        self.port = {name: self._pick(everywhere, *rule) for name, rule in PORTS.items()}

    @staticmethod
    def _take(first):
        for k in range(first, 250):
            lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                lock.bind(f"\0holdfast-lab-{k}")
                return lock, k
            except OSError:
                lock.close()
        raise LabError("250 laboratories run on this machine already")

    @staticmethod
    def _pick(addresses, first, count):
        """The first port from which count ports are free at every address of the plan."""
        for port in range(first, first + 2000, max(count, 1)):
            if all(_free(a, p) for a in addresses for p in range(port, port + count)):
                return port
        raise LabError(f"no free port from {first} on at {addresses}")

    @staticmethod
    def inside(_place):
        """The command that starts a program in the network of a region or of the services: here
        all of them share the machine's own."""
        return []

    def release(self):
        self.lock.close()
