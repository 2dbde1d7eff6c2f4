# SPDX-License-Identifier: Apache-2.0
"""Three regions, their services and the operator's seat: a network namespace each, joined by the
switch (switch.c), which delays, loses and cuts between them.

Nothing of it outlives the process that made it: namespaces and devices belong to the switch, the
switch is told by the kernel to end with us, and we end it by its pid.
"""
import ctypes
import os
import socket
import subprocess

from holdfast_lab.address import PORTS, REGIONS
from holdfast_lab.process import LabError, run

SERVICES, OPERATOR = "services", "operator"
PLACES = (*REGIONS, SERVICES, OPERATOR)
MTU = 9000
ROUND_TRIP_MS = 20
CLONE_NEWNET = 0x40000000
NETWORK = "10.77.0.0/16"
# How far a region's monotonic clocks are ahead of the machine's, in seconds; the clock that counts
# suspended time twice as far. Offsets of clocks must not matter to anybody.
AHEAD_S = {"eu": 1000, "us": 500_000, "ap": 0}


def addresses_of(place):
    """What a place answers to; the first is its own."""
    if place in REGIONS:
        return [f"10.77.{REGIONS.index(place) + 1}.1"]
    return ["10.77.0.8", "10.77.0.9", "10.77.0.10"] if place == SERVICES else ["10.77.0.1"]


class Plan:
    """The addresses of one laboratory inside the network: as address.AddressPlan."""

    network = NETWORK

    def __init__(self, network):
        self.net = network
        self.region = {name: addresses_of(name)[0] for name in REGIONS}
        self.dns, self.history, self.scratch = addresses_of(SERVICES)
        self.port = {name: first for name, (first, _count) in PORTS.items()}

    def inside(self, place):
        return self.net.inside(place)

    def release(self):
        """The network is its owner's to end."""


class Network:
    """The switch and its namespaces. The calling thread (and those that it starts later) moves
    into the operator's, whose lines to everywhere are neither delayed nor ever cut."""

    def __init__(self, program, directory):
        path = os.path.join(directory, "switch.sock")
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.space, self.clocks, self.socket = {}, {}, None
        ports = [f"{place}@{AHEAD_S.get(place, 0)}" for place in PLACES]
        self.process = subprocess.Popen([program, path, *ports], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            for line in self.process.stdout:
                words = line.split()
                if words == ["ready"]:
                    break
                self.space[words[1]], self.clocks[words[1]] = words[2:4]
            if set(self.space) != set(PLACES):
                raise LabError("the switch did not start")
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.socket.settimeout(10)
            self.socket.connect(path)
            for place in PLACES:
                self._furnish(place)
            self._enter(self.space[OPERATOR])
            self.reset()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @staticmethod
    def _enter(path):
        libc = ctypes.CDLL(None, use_errno=True)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if libc.setns(fd, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"setns {path}")
        finally:
            os.close(fd)

    def _furnish(self, place):
        """Addresses, and every neighbour written down: a line that is cut is silent, as between
        routers, and no resolver tells the sender that nobody is there."""
        commands = ["link set lo up", f"link set hf0 mtu {MTU} up"]
        commands += [f"addr add {a}/16 dev hf0" for a in addresses_of(place)]
        for number, other in enumerate(PLACES, 1):
            if other != place:
                commands += [f"neigh replace {a} lladdr 02:48:46:00:00:{number:02x} dev hf0 "
                             "nud permanent" for a in addresses_of(other)]
        inside = self.inside(place)
        run([*inside, "sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1"])
        run([*inside, "ip", "-batch", "-"], text="\n".join(commands) + "\n")

    def inside(self, place, clocks=True):
        """The command that starts a program in the network of a place, and by its clocks."""
        ahead = [f"--time={self.clocks[place]}"] if clocks and AHEAD_S.get(place) else []
        return ["nsenter", f"--net={self.space[place]}", *ahead, "--"]

    def plan(self):
        return Plan(self)

    def command(self, text):
        self.socket.send(text.encode())
        answer = self.socket.recv(65536).decode()
        if answer.startswith("error"):
            raise LabError(f"switch: {text}: {answer}")
        return answer

    def link(self, source, to, **settings):
        """delay_us, loss_ppm, rate (bytes/s), drop (0|1) of one direction; "*" is every place."""
        words = " ".join(f"{key} {int(value)}" for key, value in settings.items())
        self.command(f"link {source} {to} {words}")

    def rule(self, number, source, to, sport, dport, **settings):
        """As link, for what has these TCP ports (0: any) and nothing else."""
        words = " ".join(f"{key} {int(value)}" for key, value in settings.items())
        self.command(f"rule {number} {source} {to} {sport} {dport} {words}")

    def reset(self):
        """Everything whole: the default round trip between places, none to the operator."""
        self.command("unrule *")
        self.link("*", "*", delay_us=ROUND_TRIP_MS * 500, loss_ppm=0, rate=0, drop=0)
        self.link("*", OPERATOR, delay_us=0)
        self.link(OPERATOR, "*", delay_us=0)

    def show(self):
        return self.command("show")

    def close(self):
        if self.home is not None:
            self._enter(f"/proc/self/fd/{self.home}")
            os.close(self.home)
            self.home = None
        if self.socket is not None:
            self.socket.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
