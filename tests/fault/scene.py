# SPDX-License-Identifier: Apache-2.0
"""One laboratory in its network, and how a scenario runs in it: clients, samples of the status,
the checks at the end."""
import collections
import json
import os
import random
import shutil
import threading
import time

import psycopg2

from holdfast_lab import writer
from holdfast_lab.config import NAME
from holdfast_lab.process import LabError, Process, wait_until

import checker
from network import REGIONS, Network
from verbs import Faults, FaultLaboratory, now_us

LEASE_S, GRACE_S = 3.0, 1.0
HERE = os.path.dirname(os.path.abspath(__file__))
LAB = os.path.join(os.path.dirname(os.path.dirname(HERE)), "deploy", "lab")
ANSWER_S = 2.0
# Bounds against hanging, generous on purpose: what was measured is printed.
CONVERGE_S, OPERATION_S = 240, 150

Scenario = collections.namedtuple("Scenario", "name expect run default")


class Expect(collections.namedtuple("Expect", "primary refused loss down_s what")):
    """Stated before the scenario runs. primary: "stays" (no epoch is burnt), "moves" (to another
    region) or "any". refused: "nobody", "inside" (only the client of the region that is hit) or
    "anybody". loss: 0 or "predicted". down_s: the bound of any client's silence."""

    def __new__(cls, primary="any", refused="anybody", loss="predicted", down_s=60.0, what=""):
        return super().__new__(cls, primary, refused, loss, down_s, what)

    def __str__(self):
        loss = "nothing lost" if self.loss == 0 else "loss within the prediction"
        return (f"primary {self.primary}, refused: {self.refused}, {loss}, "
                f"silence under {self.down_s:g} s" + (f"; {self.what}" if self.what else ""))


class Failed(Exception):
    """A scenario did not come as far as its checks."""


class Stage:
    """Network and laboratory, up and under a policy; the same for scenarios until one fails. It
    begins with a switchover: the user's database comes without the commit guard."""

    def __init__(self, build, directory):
        self.directory = directory
        os.makedirs(directory)
        self.net = self.lab = None
        try:
            self.net = Network(os.path.join(build, "holdfast-switch"), directory)
            self.lab = FaultLaboratory(build, lease=f"{LEASE_S:g}s", grace=f"{GRACE_S:g}s",
                                       addresses=self.net.plan())
            self.lab.prepare().start_servers().start_programs()
            self.lab.apply_policy(120)
            self.lab.database.query(writer.TABLE, database="app")
            self.lab.database.query("ALTER TABLE ledger OWNER TO app", database="app")
            # Refused until the standby is there and near; asked again then.
            wait_until("the first switchover", CONVERGE_S, lambda: self.switch(
                "run", "--to", REGIONS[1], "--wait", timeout=120), 1.0)
        except BaseException:
            self.close()
            raise
        self.region_of = {self.lab.address(r): r for r in REGIONS}

    def switch(self, verb, *words, timeout=60):
        lab = self.lab
        return lab.operator.run("switchover", verb, f"{lab.tenant}/{lab.cluster}", *words,
                                timeout=timeout)

    def close(self):
        if self.lab is not None:
            self.lab.close()
        if self.net is not None:
            self.net.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start_client(self, name, region):
        lab = self.lab
        log = os.path.join(lab.directory, "log", f"client-{name}.jsonl")
        options = {
            "client": name, "log": log, "name": NAME, "dns_address": lab.addresses.dns,
            "dns_port": lab.port["dns"], "port": lab.port["postgres"], "database": "app",
            "endpoints": [f"{lab.address(r)}:{lab.port['http']}" for r in REGIONS],
            "user": "app", "passfile": lab.passfile, "connect_s": 1.5, "answer_s": ANSWER_S,
            "pause_s": 0.03, "retry_s": 0.1, "filler": 100, "parked_max": 3}
        path = os.path.join(lab.make_dir("clients", owner=None), f"{name}.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(options, f)
        with open(log, "a", encoding="utf-8"):
            pass
        client = Process(f"client {name}", ["/usr/bin/python3", os.path.join(HERE, "client.py"),
                                            path],
                         lab.log(f"client-{name}"), lab.directory, env={"PYTHONPATH": LAB},
                         inside=self.net.inside(region, clocks=False))  # one clock for all logs
        client.ledger = log
        return client.start()


class Watch:
    """Asks every coordinator for the status, once a second each, over the operator's lines."""

    def __init__(self, lab):
        self.lab, self.samples, self.ending = lab, [], threading.Event()
        self.threads = [threading.Thread(target=self._watch, args=(r,), daemon=True)
                        for r in REGIONS]
        for thread in self.threads:
            thread.start()

    def _watch(self, region):
        path = f"/v1/clusters/{self.lab.tenant}/{self.lab.cluster}/status"
        while not self.ending.wait(1.0):
            try:
                status, body = self.lab.api.ask(region, "GET", path, timeout=2.0)
            except (LabError, OSError):
                continue
            if status == 200:
                self.samples.append((now_us(), region, body))

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join()

    def reasons(self):
        """(instant, what that status gives as reasons) in order."""
        found = []
        for at, _region, body in sorted(self.samples, key=lambda s: s[0]):
            told = [w.get("rule") or w["text"] for w in body.get("warnings") or []]
            if body.get("verdict") in ("UNPROTECTED", "FAILING_OVER"):
                told.append(body["verdict"])
            found.append((at, told))
        return found


class Play:
    """One run of one scenario; what its script gets."""

    def __init__(self, stage, scenario, seed):
        self.stage, self.lab, self.net = stage, stage.lab, stage.net
        self.scenario, self.random = scenario, random.Random(f"{seed}/{scenario.name}")
        self.faults = Faults(stage.lab, stage.net)
        self.findings, self.figures, self.hit = [], {}, set()
        self.primary = self.watch = self.began = self.epoch = None
        self.clients, self.known = {}, set()

    # -- questions ------------------------------------------------------------------------------

    def status(self):
        """Of the first coordinator that answers, the leader's when it is known."""
        last = LabError("no coordinator answers")
        path = f"/v1/clusters/{self.lab.tenant}/{self.lab.cluster}/status"
        for region in REGIONS:
            try:
                code, body = self.lab.api.ask(region, "GET", path, timeout=2.0)
                if code == 200:
                    return body
            except LabError as error:
                last = error
        raise last

    def settled(self):
        """The primary's region when one primary and streaming standbys are there, or None."""
        status = self.status()
        nodes = {n["node"]: n for n in status["nodes"]}
        streaming = [n for n in nodes.values() if n["role"] == "standby" and n["ok"]]
        primary = status["primary"]
        if not primary or nodes[primary]["role"] != "primary" or not nodes[primary]["ok"] \
                or len(streaming) != len(REGIONS) - 1:
            return None
        if (status.get("last") or {}).get("result") == "running":
            return None
        self.epoch_now = int(status["epoch"])
        return next(r for r in REGIONS if self.lab.node(r) == primary)

    def converged(self):
        """settled, and PostgreSQL of every region says so itself."""
        primary = self.settled()
        if primary is None:
            return None
        for region in REGIONS:
            try:
                standby, = self.lab.server(region).query("SELECT pg_is_in_recovery()")[0]
            except psycopg2.Error:
                return None
            if standby == (region == primary):
                return None
        return primary

    def standby(self):
        return self.random.choice([r for r in REGIONS if r != self.primary])

    def leader(self):
        return wait_until("a leading coordinator", 60, self.lab.api.leader, 0.1)

    def etcd_leader(self):
        return wait_until("an etcd leader", 60, self.lab.etcd_client().leader, 0.1)

    def operations(self):
        """Those of this scenario, oldest first."""
        found = [o for o in self.lab.api.operations() if o["id"] not in self.known
                 and o["kind"] in ("failover", "switchover")]
        return sorted(found, key=lambda o: (o["started_at"], o["id"]))

    # -- what scripts do ------------------------------------------------------------------------

    def moment(self, most=1.5):
        """A moment that the seed chooses."""
        time.sleep(self.random.uniform(0, most))

    def wait(self, seconds):
        time.sleep(seconds)

    def wait_failover(self, count=1):
        """The first `count` operations of this scenario have ended."""
        def ended():
            done = [o for o in self.operations() if o["state"] == "finished"]
            return done if len(done) >= count else None
        wait_until(f"{count} failovers to end", OPERATION_S, ended, 0.3)

    # -- the run --------------------------------------------------------------------------------

    def open(self):
        """A sound cluster, clients that write."""
        self.primary = wait_until("a sound cluster", CONVERGE_S, self.converged, 0.5)
        self.epoch = self.epoch_now
        self.known = {o["id"] for o in self.lab.api.operations()}
        tag = f"{self.scenario.name}-{self.random.randrange(1 << 20):05x}"
        self.clients = {r: self.stage.start_client(f"{tag}-{r}", r) for r in REGIONS}
        self.more(20)
        self.watch = Watch(self.lab)
        self.began = now_us()
        time.sleep(2)  # what the status says of a sound cluster is known, too

    def log_of(self, region):
        return checker.Log.read(self.clients[region].ledger, region, self.stage.region_of)

    def more(self, rows, seconds=60):
        """Every client gets so many more acknowledgements."""
        goals = {r: len(self.log_of(r).acks) + rows for r in REGIONS}
        wait_until(f"{rows} more rows for each client", seconds, lambda: all(
            len(self.log_of(r).acks) >= goal for r, goal in goals.items()), 0.2)

    def settle(self):
        """Everything whole again: one primary, everyone streaming, clients that write."""
        self.faults.undo()
        healed = now_us()
        wait_until("one primary and all standbys streaming", CONVERGE_S, self.converged, 0.5)
        self.more(20)
        wait_until("the cluster to stay so", CONVERGE_S, self.converged, 0.5)
        self.figures["settled_s"] = (now_us() - healed) / 1e6

    def close(self):
        for client in self.clients.values():
            client.stop()
        if self.watch is not None:
            self.watch.stop()

    def tables(self):
        """Region -> digest of all rows of this scenario's clients there."""
        names = [os.path.basename(c.ledger)[len("client-"):-len(".jsonl")]
                 for c in self.clients.values()]
        return {region: self.lab.server(region).query(
            "SELECT client, count(*), md5(string_agg(n || filler, ',' ORDER BY n)) FROM ledger "
            "WHERE client = ANY (%s) GROUP BY client ORDER BY client", (names,), "app")
            for region in REGIONS}, names

    def check(self):
        """All findings of a scenario that ran to its end."""
        expect = self.scenario.expect
        logs = [self.log_of(r) for r in REGIONS]
        primary = self.converged()

        def equal():
            try:
                return not checker.unequal(self.tables()[0])
            except psycopg2.Error:
                return False
        try:
            wait_until("the same rows in all regions", 60, equal, 0.5)
        except LabError:
            self.findings += checker.unequal(self.tables()[0]) or ["rows were not comparable"]
        _, names = self.tables()
        rows = collections.defaultdict(set)
        for client, n in self.lab.server(primary).query(
                "SELECT client, n FROM ledger WHERE client = ANY (%s)", (names,), "app"):
            rows[client].add(n)
        operations = self.operations()
        for o in operations:
            for end in ("from", "to"):
                region = next((r for r in REGIONS if self.lab.node(r) == o[end]), None)
                o[f"{end}_address"] = region and self.lab.address(region)
        self.figures["reasons"] = dict(collections.Counter(
            reason for _, told in self.watch.reasons() for reason in told))
        found, late = checker.two_histories(logs, self.faults.cuts)
        self.findings += found
        found, lost, predicted = checker.losses(logs, rows, operations)
        self.findings += found + checker.invented(logs, rows)
        # A client behind the line that was cut knows less than it could be told.
        outside = [g for g in logs if g.region not in self.hit]
        self.findings += checker.unexplained(outside, self.watch.reasons(),
                                             (LEASE_S + ANSWER_S) * 1e6,
                                             self.faults.story[0][0] if self.faults.story else 0)
        self.figures.update(
            lost=lost, predicted_ms=predicted, late=late, acked=sum(len(g.acks) for g in logs),
            silence={g.region: g.longest_silence(self.began)[0] for g in logs},
            operations=[f"{o['kind']} {o['from']}→{o['to']} {o['result']}" for o in operations],
            primary=f"{self.primary}→{primary}" if primary != self.primary else primary,
            epochs=self.epoch_now - self.epoch)
        self.against(expect, logs, primary)

    def against(self, expect, logs, primary):
        """The figures against what was expected."""
        say = self.findings.append
        if expect.primary == "stays" and (primary != self.primary or self.figures["epochs"]):
            say(f"the primary was to stay: {self.figures['primary']}, "
                f"{self.figures['epochs']} epochs")
        if expect.primary == "moves" and primary == self.primary:
            say("the primary was to move to another region")
        if expect.loss == 0 and self.figures["lost"]:
            say(f"{self.figures['lost']} acknowledged rows lost where none may be")
        watched = [g for g in logs if expect.refused == "nobody" or g.region not in self.hit]
        if expect.refused != "anybody":
            # A late answer is no refusal: the silence below bounds it.
            self.findings += [text for text in checker.refused(watched, self.began)
                              if ": Late no answer" not in text][:6]
        for log in watched if expect.refused != "anybody" else logs:
            silence = log.longest_silence(self.began)[0]
            if silence > expect.down_s:
                say(f"client of {log.region}: silent for {silence:.1f} s")

    def keep(self, directory):
        """Everything that explains a failure, into a directory of its own."""
        os.makedirs(directory, exist_ok=True)
        shutil.copytree(os.path.join(self.lab.directory, "log"), os.path.join(directory, "log"),
                        dirs_exist_ok=True)
        for region in REGIONS:
            state = os.path.join(self.lab.region_dir(region), "agent", "state")
            for name in ("postgresql.log", "fencer.log", "agent.json"):
                if os.path.exists(os.path.join(state, name)):
                    shutil.copy(os.path.join(state, name),
                                os.path.join(directory, f"{region}-{name}"))
        with open(os.path.join(directory, "story.txt"), "w", encoding="utf-8") as f:
            f.write(f"{self.scenario.name}: {self.scenario.expect}\n")
            f.writelines(f"{(at - (self.began or at)) / 1e6:8.3f} s {text}\n"
                         for at, text in self.faults.story)
            f.writelines(f"FOUND {text}\n" for text in self.findings)
            f.write(f"{self.figures}\n{self.net.show()}")
        with open(os.path.join(directory, "status.jsonl"), "w", encoding="utf-8") as f:
            f.writelines(json.dumps(s) + "\n" for s in (self.watch.samples if self.watch else []))
        try:
            with open(os.path.join(directory, "operations.json"), "w", encoding="utf-8") as f:
                json.dump([self.lab.api.operation(o["id"]) for o in self.lab.api.operations()],
                          f, indent=1)
        except LabError:
            pass
