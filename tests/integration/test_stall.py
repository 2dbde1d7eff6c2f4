# SPDX-License-Identifier: Apache-2.0
"""The event loops of the real agent and the real coordinator never wait for a peer: PostgreSQL, the
history database, an etcd member and the S3 gateway stand still while WAL is archived and a backup
is taken.

Both programs measure the longest time that their callbacks kept the loop (20 ms is the limit on an
idle machine), but on a busy one that time is mostly the wait for a processor. What blocking is does
not depend on the machine: a thread that sleeps inside a system call other than the loop's own wait.
So the loop's thread is watched from outside, by /proc: the same sleep seen at two instants (the
count of voluntary switches has not changed in between, and neither has the call) lasted at least
for the time between them. Nothing that waits for a processor counts, for such a thread does not
sleep. The programs' own figure is compared after the wait for a processor is taken off
(/proc/PID/schedstat).

A sleep on a lock counts while every other thread of the process sleeps too: one that is runnable
may be the lock's holder, which waits for a processor itself.

The programs are those without sanitizers: these make everything slow, and their allocator has locks
of its own, on which a loop's thread sleeps while a worker that holds one waits for a processor."""
import os
import signal
import threading
import time
import urllib.request

import pytest
from conftest import plain_build_dir
from holdfast_lab.lab import Laboratory
from holdfast_lab.process import processes_below
from watch import healthy

pytestmark = pytest.mark.cluster

LIMIT_S = 0.020
# x86-64: poll, ppoll, epoll_wait, epoll_pwait, epoll_pwait2
WAITS = {7: True, 271: True, 232: False, 281: False, 441: False}  # number -> takes an array
FUTEX = 202
STACK = 1 << 20


def loops_own_wait(number, words):
    """The loop waits by epoll, or by a poll whose array lies on the heap; a poll with an array on
    the stack is somebody's wait for one descriptor (libpq's, for one)."""
    if number not in WAITS:
        return False
    stack = int(words[-2], 16)
    return not WAITS[number] or abs(int(words[1], 16) - stack) > STACK


class Loop(threading.Thread):
    """Watches the main thread of a process, which is its loop's."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.name, self.base = process.name, f"/proc/{process.pid}/task/{process.pid}"
        self.pid, self.longest, self.where, self.samples = process.pid, 0.0, "", 0
        self.ending = False

    def _read(self, name):
        with open(f"{self.base}/{name}", encoding="ascii", errors="replace") as f:
            return f.read()

    def _sleep(self):
        """What it sleeps in (call, switches so far), or None: it runs, or it waits in its loop."""
        words = self._read("syscall").split()
        if words[0] in ("running", "-1") or loops_own_wait(int(words[0]), words):
            return None
        switches = next(line for line in self._read("status").splitlines()
                        if line.startswith("voluntary"))
        state = self._read("stat").rsplit(")", 1)[1].split()[0]
        if state not in "SD" or (int(words[0]) == FUTEX and self._others_run()):
            return None
        return " ".join(words), switches

    def _others_run(self):
        tasks = f"/proc/{self.pid}/task"
        for name in os.listdir(tasks):
            if int(name) != self.pid:
                try:
                    with open(f"{tasks}/{name}/stat", encoding="ascii", errors="replace") as f:
                        if f.read().rsplit(")", 1)[1].split()[0] == "R":
                            return True
                except OSError:
                    pass  # it has ended
        return False

    def run(self):
        since, last = 0.0, None
        while not self.ending:
            now = time.monotonic()
            try:
                found = self._sleep()
            except (OSError, StopIteration):
                return
            self.samples += 1
            if found is None or found != last:
                since, last = now, found
            elif now - since > self.longest:
                self.longest, self.where = now - since, found[0]
            time.sleep(0.001)

    def waited_for_processor(self):
        return int(self._read("schedstat").split()[1]) / 1e9

    def end(self):
        self.ending = True
        self.join()
        return self


def metric(text, name):
    return float(next(line.split()[-1] for line in text.splitlines()
                      if line.startswith((name + " ", name + "{"))))


def agents_metrics(lab, region):
    url = f"http://{lab.address(region)}:{lab.port['http']}/metrics"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return answer.read().decode()


@pytest.fixture(scope="module")
def lab():
    store = "s3" if os.getuid() == 0 else "posix"
    with Laboratory(plain_build_dir(), store=store) as made:
        made.prepare().start_servers().start_programs()
        made.apply_policy()
        yield made


def send(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def stand_still(lab, region, seconds):
    """PostgreSQL's processes and the history's, then an etcd member, then the region's S3 gateway
    stop for a while each."""
    pids = lab.postgres_processes(region) + processes_below(lab.history.directory)
    send(pids, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        send(pids, signal.SIGCONT)
    daemons = [lab.etcd[region]]
    if region in lab.gateways:
        daemons.append(lab.gateways[region].daemons["gateway"])
    for daemon in daemons:
        daemon.freeze()
        try:
            time.sleep(seconds)
        finally:
            daemon.thaw()


def test_no_loop_waits_for_a_peer(lab):
    region = healthy(lab)
    leader = lab.api.leader()
    writer = lab.start_writer("stall")
    loops = [Loop(lab.agents[region]), Loop(lab.coordinators[leader])]
    for loop in loops:
        loop.start()
    cluster = f"{lab.tenant}/{lab.cluster}"
    lab.operator.run("backup", "create", cluster, "--type", "full", "--node", lab.node(region))
    for _ in range(4):
        lab.server(region).query("SELECT pg_switch_wal()")
        stand_still(lab, region, 0.7)
    healthy(lab)
    writer.stop()
    for loop in loops:
        loop.end()
        assert loop.samples > 300, f"{loop.name}: {loop.samples} samples say nothing"
        assert loop.longest <= LIMIT_S, f"{loop.name} slept {loop.longest:.3f} s in {loop.where}"
    figures = [(loops[0], agents_metrics(lab, region)),
               (loops[1], lab.api.ask(leader, "GET", "/metrics")[1])]
    for loop, text in figures:
        stall = metric(text, "holdfast_loop_stall_max_seconds")
        assert stall > 0
        assert stall - loop.waited_for_processor() <= LIMIT_S, f"{loop.name}: {stall} s"
