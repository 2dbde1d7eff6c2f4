# SPDX-License-Identifier: Apache-2.0
"""What happens when a region dies, told on one machine. Started by deploy/demo.

It starts things, runs `holdfast` and SQL, kills, and checks. Every decision that it shows is made
by the programs; every figure is computed from the client's own log or read from the coordinators.
"""
import argparse
import os
import signal
import sys
import time
import traceback
from datetime import datetime

import psycopg2

from . import dns, ledger, postgres, repository
from .config import NAME
from .lab import Laboratory, end_on_signals
from .process import LabError, processes_below, wait_until
from .story import StepFailed, Story

LEASE_S = 6
CLIENT = "demo"


def lsn(text):
    """A WAL position as a number, -1 when it is not known."""
    if not text:
        return -1
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def size(count):
    if count is None:
        return "?"
    count = int(count)
    return f"{count} B" if count < 10240 else f"{count / 1024:.0f} kB"


class Demo:
    def __init__(self, lab, story):
        self.lab, self.story = lab, story
        self.eu, self.us, self.ap = lab.regions
        self.writer = self.killed_at = self.backup = self.operation = self.primary = None
        self.lost = set()

    def log(self):
        return ledger.Log(self.writer.ledger)

    def acked(self, more, seconds=30):
        """Waits until the writer got that many more acknowledgements."""
        goal = len(self.log().acked) + more
        wait_until(f"{more} acknowledged rows", seconds, lambda: len(self.log().acked) >= goal)

    def standbys(self, status):
        return [n for n in status["nodes"] if n["role"] == "standby" and n["ok"]]

    # -- steps ----------------------------------------------------------------------------------

    def bring_up(self):
        lab, story = self.lab, self.story
        where = ", ".join(f"{r} {lab.address(r)}" for r in lab.regions)
        story.line(f"laboratory in {lab.directory}: {where}; repositories: {lab.store}")
        lab.prepare().start_servers()
        story.line("etcd (3 members, TLS), PowerDNS, history database"
                   + (", S3 server per region" if lab.store == "s3" else "")
                   + f", and a user's PostgreSQL in {self.eu}")
        lab.start_programs()
        lab.apply_policy()
        story.line("coordinators and agents run; the policy is applied: adopt "
                   f"{lab.node(self.eu)}, then copies in {self.us} and {self.ap}")

    def normal(self):
        lab, story = self.lab, self.story
        story.begin(1, "a client writes through the published name; every node is healthy")
        lab.wait_for("one primary and two streaming standbys", 90, lambda s: (
            s["primary"] == lab.node(self.eu) and len(self.standbys(s)) == 2))
        address = wait_until("the published name", 30, lambda: self._resolved())
        story.check(address == lab.address(self.eu), f"{NAME} is {address}")
        self.writer = lab.start_writer(CLIENT)
        self.acked(300)
        story.check(True, f"{len(self.log().acked)} rows acknowledged to the client")
        keys = wait_until("health of all nodes in etcd", 20, lambda: self._health_keys())
        story.check(len(keys) == 3, "health of all nodes is in etcd: " + ", ".join(keys))
        lab.wait_for("a measured exposure", 30, lambda s: s["exposure"]["ms"] is not None)
        found = wait_until("the exposure in /metrics", 20, self._exposure_metrics)
        story.check(True, "for the monitoring: " + ", ".join(found))
        story.block(lab.operator.run("status", f"{lab.tenant}/{lab.cluster}").stdout)

    def _resolved(self):
        try:
            return self.lab.dns.lookup(NAME)
        except dns.DnsError:
            return None

    def _exposure_metrics(self):
        """The two exposure figures of this cluster in the leader's /metrics, or None."""
        lab = self.lab
        label = f'{{tenant="{lab.tenant}",cluster="{lab.cluster}"}} '
        text = lab.api.ask(lab.api.leader(), "GET", "/metrics")[1]
        found = [line for line in text.splitlines() if label in line
                 and line.startswith("holdfast_exposure_") and float(line.split()[-1]) >= 0]
        return [f"{line.split('{')[0]} {float(line.split()[-1]):g}" for line in found] \
            if len(found) == 2 else None

    def _health_keys(self):
        base = f"/holdfast/v1/clusters/{self.lab.tenant}/{self.lab.cluster}/nodes/"
        found = sorted(k[len(base):] for k in self.lab.etcd_client().range(base))
        return found if len(found) >= len(self.lab.regions) else None

    def backups(self):
        lab, story = self.lab, self.story
        story.begin(2, f"a full backup is taken in {self.eu}; WAL is archived; both reach all "
                       "regions")
        began = time.monotonic()
        lab.operator.run("backup", "create", f"{lab.tenant}/{lab.cluster}", "--type", "full",
                         "--node", lab.node(self.eu), "--wait", timeout=180)
        self.backup = wait_until("the backup in every region", 120, self._everywhere, every=0.5)
        took = time.monotonic() - began
        story.check(True, f"backup {self.backup['label']}: {size(self.backup['size_bytes'])} "
                          f"in, {size(self.backup['stored_bytes'])} stored, in "
                          f"{', '.join(self.backup['regions'])} after {took:.1f} s")
        server = lab.server(self.eu)
        goal = server.query("SELECT pg_switch_wal()::text")[0][0]
        lab.wait_for("the WAL in every region", 60, lambda s: all(
            lsn(n["wal_to"]) >= lsn(goal) for n in s["nodes"]))
        story.check(True, f"WAL up to {goal} is in every region's repository")
        for region in lab.regions:
            found = repository.listing(lab, region)
            manifests = [k for k in found if k.endswith(f"{self.backup['label']}/manifest")]
            story.check(len(manifests) == 1 and any("/wal/" in k for k in found),
                        f"{region}: {len(found)} objects, seen in the repository itself")
        story.measured("full backup", f"{took:.1f} s, {size(self.backup['size_bytes'])}, "
                                      f"{size(self.backup['stored_bytes'])} stored, three regions")

    def _everywhere(self):
        for backup in self.lab.api.backups():
            if backup["state"] == "complete" and set(backup["regions"]) == set(self.lab.regions):
                return backup
        return None

    def disaster(self):
        lab, story = self.lab, self.story
        story.begin(3, f"the whole region {self.eu} is killed")
        self.acked(200)
        exposure = lab.status()["exposure"]
        story.line(f"measured exposure just before: {exposure['ms']} ms, "
                   f"{size(exposure['bytes'])}")
        leader = wait_until("a leading coordinator", 30, lab.api.leader)
        story.line(f"the leading coordinator is that of {leader}")
        began = time.monotonic()
        self.killed_at = time.time()
        killed = lab.kill_region(self.eu)
        took = (time.monotonic() - began) * 1000
        story.check(not processes_below(lab.region_dir(self.eu)),
                    f"{killed} processes gone within {took:.0f} ms: PostgreSQL, agent, fencer, "
                    "etcd, coordinator" + (", S3" if lab.store == "s3" else ", repository"))

    def survival(self):
        lab, story = self.lab, self.story
        story.begin(4, "the other regions fence, select, promote, move the name; writes go on")
        resumed = wait_until("the first write after the loss", 90, self._resumed)
        done = wait_until("the failover to end", 60, self._finished, every=0.3)
        self.operation = done
        self.primary = next(r for r in lab.regions if lab.node(r) == done["to"])
        story.check(done["result"] == "done",
                    f"operation {done['id']}: {done['from']} to {done['to']}, epoch "
                    f"{done['epoch']}, {done['result']}")
        for name, at in self.timeline(done):
            story.line(f"   {name:<42} {at:6.2f} s after the kill")
            story.measured(name, f"{at:.2f} s after the kill")
        story.line(f"   {'first write acknowledged to the client':<42} "
                   f"{resumed - self.killed_at:6.2f} s after the kill")
        gap, _since = self.log().longest_gap()
        story.measured("first client write", f"{resumed - self.killed_at:.2f} s after the kill")
        story.measured("longest silence at the client", f"{gap:.2f} s (lease {LEASE_S} s)")
        address = self._resolved()
        story.check(address == lab.address(self.primary), f"{NAME} is {address}")
        self.check_loss(done)
        other = next(r for r in (self.us, self.ap) if r != self.primary)
        lab.wait_for("the other standby to follow", 60, lambda s: lab.node_status(other, s)["ok"]
                     and lab.node_status(other, s)["role"] == "standby")
        story.check(True, f"{lab.node(other)} follows {lab.node(self.primary)}")
        story.block(lab.operator.run("status", f"{lab.tenant}/{lab.cluster}").stdout)

    def _resumed(self):
        for at, kind, _number, text in self.log().events:
            if kind == "ack" and at > self.killed_at and text != self.lab.address(self.eu):
                return at
        return None

    def _finished(self):
        for operation in self.lab.api.operations("failover"):
            if operation["state"] == "finished":
                return self.lab.api.operation(operation["id"])
        return None

    def timeline(self, operation):
        """What the plan's record says, counted from the kill."""
        at = {"detected": operation["started_at"], "done": operation["finished_at"]}
        at.update({s["name"]: s["at"] for s in operation["steps"] if s["at"]})
        names = [("detected", "loss detected, plan persisted"),
                 ("fence", "all candidates prepared"), ("select", "old primary proven fenced"),
                 ("lead", "promotion begun"), ("route", "new primary writable"),
                 ("repoint", "name moved and verified"),
                 ("done", "verified from outside, plan done")]
        missing = [key for key, _ in names if not at.get(key)]
        self.story.check(not missing, "the plan's record has the time of each step"
                         + (f", but not of {', '.join(missing)}" if missing else ""))
        return [(text, seconds(at[key]) - self.killed_at) for key, text in names]

    def check_loss(self, operation):
        """Lost by the client's own log, against the prediction that the plan persisted."""
        log = self.log()
        server = self.lab.server(self.primary)
        last = log.last_ack_before(self.killed_at + 1.0)
        found = ledger.Comparison(log, ledger.rows(server, CLIENT), up_to=last[1])
        self.story.line(f"client's log against the table: {found}")
        predicted_ms, predicted = operation["predicted_ms"], operation["predicted_bytes"]
        text = f"predicted at most {size(predicted)} / {predicted_ms} ms (persisted before the " \
               f"promotion), lost {len(found.lost)} acknowledged commits"
        age, least = 0.0, len(found.lost) * ledger.ROW_WAL_BYTES
        if found.lost:
            age = (last[0] - log.acked[found.lost[0]]) * 1000
            text += f", the oldest {age:.0f} ms before the last acknowledgement"
        within = not found.lost or (predicted_ms is not None and age <= float(predicted_ms)
                                    and predicted is not None and least <= int(predicted))
        self.lost = set(found.lost)
        self.story.check(not found.invented and not found.altered,
                         "every row that is there was sent by the client, with this content")
        self.story.check(within, text)
        self.story.measured("predicted loss", f"{size(predicted)}, {predicted_ms} ms")
        self.story.measured("acknowledged commits lost", str(len(found.lost)))

    def comeback(self):
        lab, story = self.lab, self.story
        story.begin(5, f"{self.eu} comes back and rejoins by itself")
        began = time.monotonic()
        lab.start_region(self.eu)
        lab.wait_for(f"{lab.node(self.eu)} to follow", 180, lambda s: (
            s["primary"] == lab.node(self.primary)
            and lab.node_status(self.eu, s)["role"] == "standby"
            and lab.node_status(self.eu, s)["ok"]))
        took = time.monotonic() - began
        server = lab.server(self.eu)
        role = wait_until("the rejoined node to answer", 30, lambda: server.answer(
            "SELECT pg_is_in_recovery()"))
        story.check(role == [(True,)], f"{lab.node(self.eu)} is a standby after {took:.1f} s")
        number = self.log().last_ack_before(time.time())[1]
        wait_until("a new row at the rejoined node", 30, lambda: server.answer(
            "SELECT 1 FROM ledger WHERE client = %s AND n = %s", (CLIENT, number), "app"))
        story.check(True, f"row {number}, written since, has reached it")
        goal = lab.server(self.primary).query("SELECT pg_switch_wal()::text")[0][0]
        lab.wait_for(f"the WAL in {self.eu} again", 120, lambda s: all(
            lsn(n["wal_to"]) >= lsn(goal) for n in s["nodes"]))
        caught_up = time.monotonic() - began
        story.check(True, f"its repository has the WAL of its absence and since, up to {goal}")
        story.measured("rejoined by itself", f"{took:.1f} s after power came back")
        story.measured("its archive complete again", f"{caught_up:.1f} s after power came back")

    def restore(self):
        lab, story = self.lab, self.story
        story.begin(6, f"restore from the {self.us} repository to the newest commit that survived")
        primary = lab.server(self.primary)
        log = self.log()
        present = ledger.rows(primary, CLIENT)
        newest = max(n for n, at in log.acked.items() if at <= self.killed_at and n in present)
        target = primary.query(
            "SELECT to_char(pg_xact_commit_timestamp(xmin) AT TIME ZONE 'UTC', "
            "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM ledger WHERE client = %s AND n = %s",
            (CLIENT, newest), "app")[0][0]
        position = primary.query("SELECT pg_switch_wal()::text")[0][0]
        lab.wait_for(f"the WAL in {self.us}", 60, lambda s: (
            lsn(lab.node_status(self.us, s)["wal_to"]) >= lsn(position)))
        directory = os.path.join(lab.make_dir("scratch"), "data")
        began = time.monotonic()
        lab.agent_command(self.us, "restore", "--region", self.us, "--to", directory,
                          "--target-time", target, timeout=180)
        took = time.monotonic() - began
        scratch = postgres.scratch(lab, directory).start().ready(60)
        try:
            wait_until("recovery to reach its target", 60, lambda: scratch.query(
                "SELECT NOT pg_is_in_recovery() OR pg_get_wal_replay_pause_state() = 'paused'"
            )[0][0])
            restored = ledger.rows(scratch, CLIENT)
        finally:
            scratch.stop()
        found = ledger.Comparison(log, restored)
        # What was promised and not lost; and what was never answered, but survived.
        expected = {n for n in log.acked if n <= newest} - self.lost
        expected |= {n for n in log.sent if n <= newest and n not in log.acked and n in present}
        story.check(set(restored) == expected and not found.altered,
                    f"{len(restored)} rows up to number {newest}: those of the client's log, no "
                    "more, each with its content")
        story.check(all(restored[n] == present[n] for n in restored),
                    f"target {target}: row by row as at {lab.node(self.primary)}")
        story.measured("restore from " + self.us, f"{took:.1f} s to the second, "
                                                  f"{len(restored)} rows compared")

    def history(self):
        lab, story = self.lab, self.story
        story.begin(7, "the history database tells the same, for people")
        where, names = "tenant = %s AND cluster = %s", (lab.tenant, lab.cluster)

        def ask(sql, *parameters):
            return lab.history.answer(sql, (*names, *parameters), "holdfast")
        row = wait_until("the backup in the history", 60, lambda: ask(
            "SELECT node, cardinality(regions), size_bytes, error_message FROM backup_history "
            f"WHERE {where} AND label = %s AND status = 'complete' AND completed_at >= started_at "
            "AND cardinality(regions) = 3", self.backup["label"]))[0]
        story.check(row == (lab.node(self.eu), 3, int(self.backup["size_bytes"]), None),
                    f"backup {self.backup['label']} is complete in {row[1]} regions")
        done = self.operation
        row = wait_until("the failover in the history", 60, lambda: ask(
            "SELECT state, result, from_node, to_node, epoch FROM operations "
            f"WHERE {where} AND operation = %s AND state = 'finished'", done["id"]))[0]
        story.check(row == ("finished", "done", done["from"], done["to"], int(done["epoch"])),
                    f"operation {done['id']} is finished, done")
        steps = {s["name"]: seconds(s["at"]) for s in done["steps"] if s["at"]}
        steps["done"] = seconds(done["finished_at"])
        told = dict(wait_until("its last step in the history", 60, self._told_steps))
        story.check(told.keys() == steps.keys()
                    and all(abs(told[name] - at) < 0.002 for name, at in steps.items()),
                    f"its {len(steps)} steps, at the instants that the API says")

    def _told_steps(self):
        """Steps of the failover in the history database, once the last one is there."""
        lab = self.lab
        found = lab.history.answer(
            "SELECT step, extract(epoch FROM at)::float8 FROM operation_steps WHERE tenant = %s "
            "AND cluster = %s AND operation = %s",
            (lab.tenant, lab.cluster, self.operation["id"]), "holdfast")
        return found if any(name == "done" for name, _at in found) else None



def seconds(text):
    """Seconds since 1970 of an instant of the API."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def show_logs(lab, out):
    """The last lines of every log, for a failed story."""
    for table in (lab.etcd, lab.agents, lab.coordinators):
        for process in table.values():
            if process.child is not None and not process.running():
                out.write(f"--- {process.name} has ended: exit {process.child.returncode}\n")
    logs = os.path.join(lab.directory, "log")
    for name in sorted(os.listdir(logs)) if os.path.isdir(logs) else []:
        if "agent" in name or "coordinator" in name or "writer" in name:
            with open(os.path.join(logs, name), encoding="utf-8", errors="replace") as f:
                out.write(f"--- {name}\n" + "".join(f.readlines()[-25:]))


def tell(demo):
    """All steps in order; False after the first that fails, which is named, with the logs."""
    try:
        for step in (demo.bring_up, demo.normal, demo.backups, demo.disaster, demo.survival,
                     demo.comeback, demo.restore, demo.history):
            step()
    except (StepFailed, LabError, OSError, LookupError, ValueError, TypeError,
            psycopg2.Error) as error:
        demo.story.failed(error)
        if not isinstance(error, (StepFailed, LabError)):
            traceback.print_exc(limit=6, file=sys.stdout)
        show_logs(demo.lab, sys.stdout)
        return False
    demo.story.summary()
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--store", choices=("posix", "s3"), default="posix")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--keep")
    options = parser.parse_args()
    end_on_signals()
    story = Story()
    status = 130  # a story that is interrupted was not told
    try:
        with Laboratory(options.build, options.store, options.keep, bool(options.keep),
                        f"{LEASE_S}s") as lab:
            status = 0 if tell(Demo(lab, story)) else 1
            if not options.once and lab.operator is not None:
                stay_up(lab, story)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a further one would change the exit status
        story.line("ended")
    except LabError as error:  # before or after the story: a directory in use, something left over
        print(f"demo: {error}", file=sys.stderr)
        status = 1
    return status


def stay_up(lab, story):
    story.line(f"it stays up until Ctrl-C. Ask it: {' '.join(lab.operator.command())} status")
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    sys.exit(main())
