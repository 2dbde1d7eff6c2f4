# SPDX-License-Identifier: Apache-2.0
"""The laboratory: three regions, what runs in each, and the verbs that hurt them.

Invariants: everything lies in one directory; every process belongs to that directory and is gone
when close() returns, however the run ended; a region's things can be killed without touching
another's.
"""
import atexit
import concurrent.futures
import contextlib
import glob
import json
import os
import pwd
import secrets
import shutil
import signal
import sys
import threading

from . import api, ceph, config, etcd, postgres, powerdns, programs
from .address import REGIONS, AddressPlan
from .process import (LabError, Process, is_alive, kill_below, processes_below,
                      remove_shared_memory, run, wait_until)


class Laboratory:
    """Made empty; start() brings up servers, then the programs. Use as a context manager."""

    tenant, cluster = "demo", "main"

    def __init__(self, build, store="posix", directory=None, keep=False, lease="6s",
                 regions=REGIONS, guard=True, grace="15s", addresses=None):
        self.closed, self.directory = False, None
        self.guard, self.grace = guard, grace  # commit guard; from a lease's end to the hard fence
        self.build, self.store, self.keep, self.lease = build, store, keep, lease
        self.regions = tuple(regions)
        self.user = "postgres" if os.getuid() == 0 else None
        self.addresses = addresses or AddressPlan()
        self.port = self.addresses.port
        # Threads that live as long as we do: a child's death signal comes when its thread ends.
        self.pool = concurrent.futures.ThreadPoolExecutor(len(self.regions))
        self._work = []
        self._make_directory(directory)
        self.postgres_bin = postgres.bin_dir()
        self._secrets, self._certificates, self._shared_memory = {}, {}, set()
        self.etcd, self.agents, self.coordinators, self.gateways = {}, {}, {}, {}
        self.etcd_token = "holdfast-lab"
        self.dns = self.history = self.authority = self.operator = None
        self.database = self.api = self._etcd_client = None
        self.extra = []

    def _make_directory(self, wanted):
        """Known to close() before it is there: an interruption at any point leaves none behind."""
        directory = os.path.realpath(
            wanted or f"/var/tmp/holdfast-lab-{secrets.token_hex(4)}")
        if os.path.isdir(directory) and os.listdir(directory):
            raise LabError(f"{directory} is not empty")
        self.directory = directory
        atexit.register(self.close)
        os.makedirs(directory, exist_ok=True)
        os.chmod(directory, 0o755)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- names, files ---------------------------------------------------------------------------

    def node(self, region):
        return f"{region}-1"

    def address(self, region):
        return self.addresses.region[region]

    def inside(self, place):
        """What starts a program in the network of a region, or of the "services"."""
        return self.addresses.inside(place)

    def region_dir(self, region):
        return os.path.join(self.directory, region)

    def data_dir(self, region):
        return os.path.join(self.directory, region, "data")

    def run_dir(self, region):
        return os.path.join(self.directory, region, "run")

    def repository_dir(self, region):
        return os.path.join(self.directory, region, "store", "repository")

    def log(self, name):
        return os.path.join(self.directory, "log", name + ".log")

    def program(self, name):
        return os.path.join(self.directory, "bin", name)

    def own(self, path):
        """Gives a file to the server's user."""
        if self.user:
            entry = pwd.getpwnam(self.user)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    def make_dir(self, name, owner="server", mode=0o755):
        path = os.path.join(self.directory, name)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)
        if owner:
            self.own(path)
        return path

    def write(self, path, text, mode=0o644):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        self.own(path)
        return path

    def secret(self, name, size=16):
        """The password or key of this name, made at first use."""
        return self._secrets.setdefault(name, secrets.token_hex(size))

    def secret_file(self, name):
        return self.write(os.path.join(self.make_dir("secrets", mode=0o700), name),
                          self.secret(name) + "\n", 0o600)

    def write_passfile(self, path, users):
        return self.write(path, "".join(f"*:*:*:{u}:{self.secret(u)}\n" for u in users), 0o600)

    @property
    def passfile(self):
        """For the laboratory's own connections (superuser, application)."""
        path = os.path.join(self.directory, "passfile")
        if not os.path.exists(path):
            self.write_passfile(path, ("postgres", "app", "holdfast", "holdfast_repl"))
            os.chown(path, os.getuid(), os.getgid())
        return path

    def certificate(self, name, kind, *words, directory=None):
        """Paths (ca, certificate, key) of the certificate of this name, issued at first use."""
        if name not in self._certificates:
            if self.authority is None:
                self.authority = programs.Authority(self)
            self._certificates[name] = self.authority.issue(
                directory or self.make_dir(os.path.join("tls", name)), kind, *words)
        return self._certificates[name]

    # -- bringing up ----------------------------------------------------------------------------

    def each_region(self, work, regions=None):
        """Calls work(region) for all of them at once; the first failure is raised."""
        self._work = [self.pool.submit(work, region) for region in regions or self.regions]
        return [future.result() for future in self._work]

    def prepare(self):
        """Directories and programs; nothing runs yet."""
        programs.install(self.build, os.path.join(self.directory, "bin"))
        for region in self.regions:
            self.make_dir(region)
            self.make_dir(os.path.join(region, "run"))
            self.make_dir(os.path.join(region, "store"), owner=None)
            self.make_dir(os.path.join(region, "store", "repository"), mode=0o700)
        return self

    def start_alone(self):
        """The first region's PostgreSQL and an agent's configuration without coordinators."""
        region = self.regions[0]
        self.database = postgres.make_user_database(self, region)
        self.agents[region] = programs.agent(self, region, alone=True)
        command = (f"{self.program('holdfast-agent')} archive-push --config "
                   f"{self.region_dir(region)}/agent/agent.yaml %p")
        self.database.query(f"ALTER SYSTEM SET archive_command = {postgres.quoted(command)}")
        self.database.query("SELECT pg_reload_conf()")
        return self

    def start_agent_alone(self):
        """The agent as a daemon that archives, with no coordinator; PostgreSQL hands it WAL."""
        region = self.regions[0]
        self.agents[region].start()
        wait_until("the agent's socket", 20, lambda: os.path.exists(
            os.path.join(self.run_dir(region), "agent.sock")))
        # Alone the agent leaves PostgreSQL's settings to their owner; this is what `init` says.
        config = os.path.join(self.region_dir(region), "agent", "agent.yaml")
        self.database.query("ALTER SYSTEM SET archive_command = %s", (
            f"{self.program('holdfast-agent')} archive-push --config {config} %p",))
        self.database.query("SELECT pg_reload_conf()")

    def start_servers(self):
        """Everything that is not Holdfast: etcd, DNS, history, stores, and the user's database."""
        self.start_etcd()
        self.dns = powerdns.PowerDns(self).start()
        self.history = postgres.History(self).start()
        if self.store == "s3":
            self.start_gateways()
        self.database = postgres.make_user_database(self, self.regions[0])
        self.dns.ready()
        self.history.ready()
        self.etcd_ready()
        return self

    def start_etcd(self):
        for region in self.regions:
            self.etcd[region] = etcd.member(self, region).start()

    def etcd_ready(self, seconds=30):
        client = self.etcd_client()

        def led():
            for process in self.etcd.values():
                process.expect_running()
            return client.leader()
        return wait_until("etcd to elect a leader", seconds, led)

    def start_gateways(self):
        for region in self.regions:
            self.gateways[region] = ceph.Gateway(self, region)
        self.each_region(lambda r: self.gateways[r].start().ready())
        for region in self.regions:
            self.gateways[region].make_bucket(config.BUCKET)

    def start_programs(self):
        for region in self.regions:
            self.coordinators[region] = programs.coordinator(self, region).start()
        for region in self.regions:
            self.agents[region] = programs.agent(self, region).start()
        self.operator = programs.Operator(self)
        self.api = api.Api(self, self.operator.tls)
        return self

    def agent_command(self, region, verb, *words, timeout=60, check=True, env=None):
        """`holdfast-agent VERB` of a region's host, as its user, to its end."""
        configuration = os.path.join(self.region_dir(region), "agent", "agent.yaml")
        return run([self.program("holdfast-agent"), verb, "--config", configuration, *words],
                   user=self.user, mark=self.region_dir(region), timeout=timeout, check=check,
                   env=env)

    def etcd_client(self):
        if self._etcd_client is None:
            self._etcd_client = etcd.Client(self)
        return self._etcd_client

    def apply_policy(self, seconds=30, mode="automatic"):
        """`holdfast cluster apply` with the laboratory's policy, once a coordinator leads."""
        path = self.write(os.path.join(self.directory, "cluster.yaml"),
                          config.dump(config.cluster(self, mode)))

        def applied():
            self.operator.run("cluster", "apply", "-f", path)
            return True
        wait_until("the policy to be accepted", seconds, applied, every=0.5)

    def status(self):
        return self.operator.json("status", f"{self.tenant}/{self.cluster}")

    def node_status(self, region, status=None):
        for node in (status or self.status())["nodes"]:
            if node["node"] == self.node(region):
                return node
        raise LabError(f"status does not show {self.node(region)}")

    def wait_for(self, what, seconds, test, every=0.2):
        """Waits for test(status); coordinators that do not answer yet are waited for too."""
        return wait_until(what, seconds, lambda: test(self.status()), every)

    def connect(self, region, database="app", user="postgres", **options):
        """A connection straight to one region's PostgreSQL."""
        return self.server(region).connect(database, user, **options)

    def server(self, region):
        """A view of one region's PostgreSQL, which the agent starts and stops."""
        return postgres.Server(self, region, self.data_dir(region), self.address(region),
                               self.port["postgres"], self.run_dir(region), place=region)

    def start_writer(self, client="demo", pause_s=0.01, filler=100):
        """A process that writes through the published name; its log is at .ledger."""
        log = os.path.join(self.directory, "log", f"writer-{client}.txt")
        options = {"client": client, "log": log, "name": config.NAME,
                   "dns_address": self.addresses.dns, "dns_port": self.port["dns"],
                   "port": self.port["postgres"], "database": "app", "user": "app",
                   "passfile": self.passfile, "connect_s": 0.5, "answer_s": 1.0,
                   "pause_s": pause_s, "retry_s": 0.05, "filler": filler}
        path = os.path.join(self.make_dir("writer", owner=None), f"{client}.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(options, f)
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        writer = Process(f"writer {client}",
                         ["/usr/bin/python3", "-m", "holdfast_lab.writer", path],
                         self.log(f"writer-{client}"), self.directory, env={"PYTHONPATH": here})
        writer.ledger = log
        with open(log, "a", encoding="utf-8"):
            pass  # there from now on, also before the writer has written
        self.extra.append(writer)
        return writer.start()

    # -- the verbs ------------------------------------------------------------------------------

    def postmaster(self, region):
        """Pid of a region's postmaster by its data directory's lock file, or None."""
        try:
            with open(os.path.join(self.data_dir(region), "postmaster.pid"),
                      encoding="ascii") as f:
                pid = int(f.readline())
        except (OSError, ValueError):
            return None
        return pid if is_alive(pid) else None

    def postgres_processes(self, region):
        """Every process that works in the region's data directory."""
        return processes_below(self.data_dir(region))

    def fencer(self, region):
        """Pid of a region's fencer, or None."""
        for pid in processes_below(self.region_dir(region)):
            try:
                if os.readlink(f"/proc/{pid}/exe").endswith("/holdfast-fencer"):
                    return pid
            except OSError:
                continue
        return None

    def kill_postmaster(self, region):
        pid = self.postmaster(region)
        if pid is None:
            raise LabError(f"{region} has no postmaster to kill")
        self._remember_shared_memory()
        os.kill(pid, signal.SIGKILL)
        wait_until(f"the postmaster {pid} to be gone", 10, lambda: not is_alive(pid), 0.002)
        self._reap_database(region)
        return pid

    def _reap_database(self, region):
        """The user's database was our child before it was adopted: leave no zombie of it."""
        if self.database is not None and region == self.regions[0]:
            if self.postmaster(region) != self.database.process.pid:
                self.database.process.reap(10)

    def _remember_shared_memory(self):
        """System V segments of all servers, also of those that something else kills."""
        found = glob.glob(os.path.join(self.directory, "*", "data"))
        found += [self.data_dir(region) for region in self.regions]
        self._shared_memory |= {postgres.shared_memory_of(d) for d in found} - {None}

    def kill_region(self, region):
        """Everything of a region at once; its repository is out of reach until start_region."""
        self._remember_shared_memory()
        store = os.path.join(self.region_dir(region), "store")
        os.chmod(store, 0)
        if self.user:
            os.chown(store, 0, 0)
        killed = kill_below(self.region_dir(region))
        self._reap_database(region)
        for table in (self.etcd, self.agents, self.coordinators):
            if region in table:
                table[region].reap(10)
        if region in self.gateways:
            for daemon in self.gateways[region].daemons.values():
                daemon.reap(10)
        return killed

    def start_region(self, region):
        """Power comes back: what a machine starts by itself, in the order of a boot."""
        os.chmod(os.path.join(self.region_dir(region), "store"), 0o755)
        self.etcd[region].start()
        if region in self.gateways:
            self.gateways[region].start()
        if region in self.coordinators:
            self.coordinators[region].start()
        if region in self.agents:
            self.agents[region].start()

    # -- the end --------------------------------------------------------------------------------

    def _stop_in_order(self):
        """For data that is kept: programs first, then PostgreSQL, then the servers below."""
        for process in [*self.extra, *self.agents.values(), *self.coordinators.values()]:
            process.stop(20)
        for region in self.regions:
            pid = self.postmaster(region)
            if pid:
                os.kill(pid, signal.SIGINT)
                wait_until(f"PostgreSQL of {region} to stop", 30, lambda p=pid: not is_alive(p))
        for gateway in self.gateways.values():
            gateway.stop()
        if self.history:
            self.history.stop()
        if self.dns:
            self.dns.process.stop()
        for process in self.etcd.values():
            process.stop()

    def _end_processes(self):
        """Ends everything; work that other threads still do fails with its processes."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        while not all(future.done() for future in self._work):
            kill_below(self.directory)
            concurrent.futures.wait(self._work, 0.1)
        self.pool.shutdown(wait=True)
        kill_below(self.directory)

    def close(self):
        """Ends everything and, unless it is kept, removes the directory. May be called again.
        Nothing interrupts it: what a second Ctrl-C cut short nobody would take up again."""
        with uninterrupted():
            if self.closed:
                return
            self.closed = True
            atexit.unregister(self.close)
            self._remember_shared_memory()
            try:
                if self.keep:
                    self._stop_in_order()
            except (LabError, OSError) as error:
                print(f"laboratory: {error}", file=sys.stderr)
            finally:
                self._end_processes()
                remove_shared_memory(self._shared_memory)
                if not self.keep:
                    shutil.rmtree(self.directory, ignore_errors=True)
                self.addresses.release()


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def uninterrupted():
    """Ignores what would end the program, while it tidies up (handlers are the main thread's)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_on_signals():
    """Turns SIGTERM and SIGHUP into an ordinary exit, so that a laboratory is taken down."""
    def end(number, _frame):
        raise SystemExit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
