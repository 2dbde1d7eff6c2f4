# SPDX-License-Identifier: Apache-2.0
"""What is done to a laboratory, by name: kill, freeze, thaw, cut, heal, delay, flap, slow,
fill_disk, free_disk, lose_etcd, return_etcd, lose_region, revive_region.

A thing is a part (postmaster, agent, fencer, coordinator, etcd, repository, dns, region) and the
region that it is in. To cut or delay a part means its lines to other regions and to the services:
what it says inside its own region still arrives. Everything that is done is written down with its
instant, and undo() takes all of it back.
"""
import os
import signal
import time

import psycopg2

from holdfast_lab import repository
from holdfast_lab.lab import Laboratory
from holdfast_lab.process import LabError, is_alive, processes_below, run, wait_until

from network import REGIONS, SERVICES

VOLUME = "768m"


def now_us():
    return time.monotonic_ns() // 1000


class FaultLaboratory(Laboratory):
    """Every region's data directory lies on a small volume of its own, which can be filled."""

    def data_dir(self, region):
        return os.path.join(self.volume(region), "data")

    def volume(self, region):
        return os.path.join(self.region_dir(region), "volume")

    def prepare(self):
        super().prepare()
        for region in self.regions:
            path = self.make_dir(os.path.join(region, "volume"))
            run(["mount", "-t", "tmpfs", "-o", f"size={VOLUME},mode=0755", "holdfast-fault", path])
            self.own(path)
        return self

    def close(self):
        if self.closed:
            return
        self._remember_shared_memory()
        self._end_processes()
        for region in self.regions:
            if os.path.ismount(self.volume(region)):
                run(["umount", "-l", self.volume(region)], check=False)
        super().close()


class Faults:
    """The verbs on one laboratory and its network."""

    def __init__(self, lab, network):
        self.lab, self.net = lab, network
        self.story, self.cuts = [], []
        self.down, self.stopped, self.ruled, self.lost = [], [], {}, []
        self.open_cuts, self.filled = {}, {}

    def note(self, text):
        self.story.append((now_us(), text))

    # -- processes ------------------------------------------------------------------------------

    def process(self, part, region):
        """The laboratory's process of a part, or None when another program starts it."""
        lab = self.lab
        if part == "dns":
            return lab.dns.process
        return {"agent": lab.agents, "coordinator": lab.coordinators, "etcd": lab.etcd}.get(
            part, {}).get(region)

    def pids(self, part, region):
        if part == "postmaster":
            return self.lab.postgres_processes(region)
        if part == "fencer":
            return [p for p in [self.lab.fencer(region)] if p]
        if part == "region":
            return processes_below(self.lab.region_dir(region))
        process = self.process(part, region)
        return [process.pid] if process is not None and process.running() else []

    def kill(self, part, region):
        self.note(f"kill {part} {region}")
        if part == "postmaster":
            self.lab.kill_postmaster(region)
        elif part == "repository":
            repository.cut_off(self.lab, region)
            self.down.append((part, region))
        elif part == "fencer":
            for pid in self.pids(part, region):
                os.kill(pid, signal.SIGKILL)
        else:
            self.process(part, region).kill()
            self.down.append((part, region))

    def revive(self, part, region):
        """Starts what kill ended; a postmaster and a fencer are the agent's to start."""
        if (part, region) in self.down:
            self.note(f"revive {part} {region}")
            self.down.remove((part, region))
            if part == "repository":
                repository.join_again(self.lab, region)
            else:
                self.process(part, region).start()

    def signal(self, number, pids):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def freeze(self, part, region, note=True):
        """Stops every process of the part; what was forked meanwhile is stopped too."""
        if note:
            self.note(f"freeze {part} {region}")
        for _ in range(3):
            pids = self.pids(part, region)
            self.signal(signal.SIGSTOP, pids)
            self.stopped += [p for p in pids if p not in self.stopped]

    def thaw(self, part, region, note=True):
        if note:
            self.note(f"thaw {part} {region}")
        pids = self.pids(part, region)
        self.signal(signal.SIGCONT, pids)
        self.stopped = [p for p in self.stopped if p not in pids]

    # -- lines ----------------------------------------------------------------------------------

    def lines(self, part, region):
        """(out, in): rules (from, to, sport, dport) for what a part sends beyond its region and
        for what comes to it."""
        here = SERVICES if part == "dns" else region
        others = [r for r in REGIONS if r != here]
        port = self.lab.port
        everywhere = others if here == SERVICES else [*others, SERVICES]
        serves, dials, places = {
            "region": ([0], [], everywhere),
            "dns": ([0], [], everywhere),
            "postmaster": ([port["postgres"]], [port["postgres"]], others),
            "agent": ([port["http"]], [port["agents"]], others),
            "coordinator": ([port["agents"], port["users"]],
                            [port["etcd"], port["dns_api"], port["history"]], everywhere),
            "etcd": ([port["etcd"], port["etcd_peer"]], [port["etcd_peer"]], others),
        }[part]
        out = [(here, p, s, 0) for p in places for s in serves]
        out += [(here, p, 0, d) for p in places for d in dials]
        return out, [(to, source, dport, sport) for source, to, sport, dport in out]

    def rule(self, part, region, rules, **settings):
        for wanted in rules:
            taken = {number for numbers in self.ruled.values() for number in numbers}
            number = next(n for n in range(64) if n not in taken)
            self.net.rule(number, *wanted, **settings)
            self.ruled.setdefault((part, region), []).append(number)
        if part in ("region", "postmaster"):
            self.open_cuts.setdefault((part, region), now_us())

    def cut(self, part, region, way="both"):
        """Nothing passes: both ways, only "out" of the part, or only "in" to it."""
        self.note(f"cut {way} {part} {region}")
        out, into = self.lines(part, region)
        self.rule(part, region, {"both": out + into, "out": out, "in": into}[way], drop=1)

    def delay(self, part, region, ms, loss_percent=0):
        """Each way takes this long, and loses so much."""
        self.note(f"delay {part} {region} {ms} ms")
        out, into = self.lines(part, region)
        self.rule(part, region, out + into, delay_us=ms * 1000, loss_ppm=loss_percent * 10_000)

    def heal(self, part, region, note=True):
        if note:
            self.note(f"heal {part} {region}")
        for number in self.ruled.pop((part, region), []):
            self.net.command(f"unrule {number}")
        began = self.open_cuts.pop((part, region), None)
        if began is not None:
            # What a sender repeats only after a while is still an effect of the cut.
            self.cuts += [(region, other, began, now_us() + 10_000_000)
                          for other in REGIONS if other != region]

    def flap(self, part, region, times, on_s, off_s, verbs=("cut", "heal")):
        """Cut and healed (or frozen and thawed), in turn."""
        self.note(f"flap {part} {region}: {times} times {on_s} s")
        for _ in range(times):
            getattr(self, verbs[0])(part, region)
            time.sleep(on_s)
            getattr(self, verbs[1])(part, region)
            time.sleep(off_s)

    def slow(self, part, region, seconds):
        """A tenth of the processor: stopped for 90 of every 100 ms."""
        self.note(f"slow {part} {region} for {seconds} s")
        end, look = time.monotonic() + seconds, 0.0
        while time.monotonic() < end:
            if time.monotonic() >= look:  # who belongs to it is looked up now and then only
                pids, look = self.pids(part, region), time.monotonic() + 1
            self.stopped = list(pids)
            self.signal(signal.SIGSTOP, pids)
            time.sleep(0.09)
            self.signal(signal.SIGCONT, pids)
            time.sleep(0.01)
        self.stopped = []

    # -- disks ----------------------------------------------------------------------------------

    def fill_disk(self, region):
        """Not one byte is left where the region's PostgreSQL has its data and WAL."""
        self.note(f"fill_disk {region}")
        path = os.path.join(self.lab.volume(region), "filler")
        self.filled[region] = path
        with open(path, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(1 << 16))
            except OSError:
                pass

    def fill_wal(self, region):
        """Room for a little data, and none for another segment of WAL, which is then asked for."""
        self.fill_disk(region)
        self.note(f"fill_wal {region}")
        os.truncate(self.filled[region], os.path.getsize(self.filled[region]) - (4 << 20))
        try:
            for _ in range(40):
                self.lab.server(region).query("SELECT pg_logical_emit_message(true, 'fill', 'x'),"
                                              " pg_switch_wal()")
        except psycopg2.Error:
            return
        raise LabError(f"{region} had room for 40 segments of WAL")

    def free_disk(self, region):
        self.note(f"free_disk {region}")
        os.unlink(self.filled.pop(region))

    # -- many at once ---------------------------------------------------------------------------

    def lose_etcd(self, regions=REGIONS):
        for region in regions:
            self.kill("etcd", region)

    def return_etcd(self):
        for part, region in list(self.down):
            if part == "etcd":
                self.revive(part, region)

    def lose_region(self, region):
        """The power is gone: everything of a region at once, its repository with it."""
        self.note(f"lose_region {region}")
        self.lab.kill_region(region)
        self.down = [d for d in self.down if d[1] != region]  # comes back with its region
        self.lost.append(region)

    def revive_region(self, region):
        self.note(f"revive_region {region}")
        self.lab.start_region(region)
        self.lost.remove(region)

    def undo(self):
        """Whatever is still broken is made whole."""
        for pid in self.stopped:
            if is_alive(pid):
                self.signal(signal.SIGCONT, [pid])
        self.stopped = []
        for part, region in list({**self.ruled, **self.open_cuts}):
            self.heal(part, region)
        self.net.reset()
        for region in list(self.filled):
            self.free_disk(region)
        for region in list(self.lost):
            self.revive_region(region)
        for part, region in list(self.down):
            self.revive(part, region)

    # -- who leads ------------------------------------------------------------------------------

    def lead_coordinators(self, region):
        """Makes this region's coordinator lead: the others go for a moment."""
        lab = self.lab
        if lab.api.leader() == region:
            return
        others = [name for name in lab.regions if name != region]
        for name in others:
            lab.coordinators[name].stop()
        wait_until(f"the coordinator of {region} to lead", 60,
                   lambda: lab.api.get("/v1/version", region).get("leader") == region, 0.1)
        for name in others:
            lab.coordinators[name].start()

    def lead_etcd(self, region):
        """Hands etcd's leadership to this region's member."""
        client = self.lab.etcd_client()
        wanted = client.status(region)["header"]["member_id"]

        def moved():
            leader = client.leader()
            if leader not in (None, region):
                try:
                    client.call(leader, "/v3/maintenance/transfer-leadership",
                                {"targetID": wanted}, 5)
                except LabError:
                    pass
            return leader == region
        wait_until(f"etcd's member in {region} to lead", 60, moved, 0.5)
