# SPDX-License-Identifier: Apache-2.0
"""What a laboratory's processes have outside its directory, noted while they run: shared memory,
files and sockets of /tmp, /run and /dev/shm. Other laboratories run on the machine at the same
time: only what was seen in the hands of our own processes is held against us."""
import os
import threading

from holdfast_lab.process import LabError, processes_below, shared_memory

OUTSIDE = ("/tmp/", "/run/", "/var/run/", "/var/tmp/", "/dev/shm/")


def unix_sockets():
    """Inode -> path of every bound socket that has one."""
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return {row[6]: row[7] for row in rows if len(row) > 7 and row[7].startswith("/")}


def open_paths(pid, sockets):
    found = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            if target.startswith("socket:["):
                target = sockets.get(target[8:-1], "")
            found.add(target)
    except OSError:
        pass
    return found


def segments():
    with open("/proc/sysvipc/shm", encoding="ascii") as f:
        return {int(line.split()[1]) for line in f.readlines()[1:]}


class Traces:
    """Samples until it is asked what is left."""

    def __init__(self, directory):
        self.directory, self.seen, self.most = directory, set(), 0
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()

    def _sample(self):
        while not self.ending.is_set():
            self.look()
            self.ending.wait(0.25)

    def look(self):
        sockets = unix_sockets()
        pids = processes_below(self.directory)
        self.most = max(self.most, len(pids))
        for pid in pids:
            self.seen |= shared_memory(pid)
            self.seen |= {path for path in open_paths(pid, sockets) if path.startswith(OUTSIDE)
                          and not path.startswith(self.directory)}

    def left(self):
        """Everything of ours that is still there; the laboratory has ended."""
        self.ending.set()
        self.thread.join()
        if self.most == 0:
            raise LabError(f"no process of {self.directory} was ever seen")
        found = [f"process {pid}" for pid in processes_below(self.directory)]
        found += [f"segment {s}" for s in self.seen & segments()]
        found += [path for path in self.seen if isinstance(path, str) and os.path.exists(path)]
        return found + [path for path in [self.directory] if os.path.exists(path)]
