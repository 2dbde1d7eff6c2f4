# SPDX-License-Identifier: Apache-2.0
"""What the commit guard's tests and benchmark stand on: a lease page written as an agent would, a
PostgreSQL node that loads holdfast.so, a client that shows every byte of the protocol."""
import mmap
import os
import shutil
import signal
import socket
import struct
import threading
import time

import psycopg2

from holdfast_lab.postgres import bin_dir, quoted
from holdfast_lab.process import LabError, Process, run, wait_until

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOREVER = 2 ** 63 - 1
REFUSED = "25006"

# docs/protocol.md, section 2: from the boot id on.
BODY = struct.Struct("<40sQQQQqqIIQIIQq1024s272sI")


def lease_clock_us():
    """MONOTONIC_RAW + (BOOTTIME - MONOTONIC), as common/io/clock.c."""
    raw, boot, mono = (time.clock_gettime_ns(c) for c in (
        time.CLOCK_MONOTONIC_RAW, time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC))
    return (raw + boot - mono) // 1000


class Page:
    """The agent's half of a lease page, under its seqlock."""

    def __init__(self, lab, path):
        self.lab, self.path = lab, path
        self.map = None
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
            boot = f.read().strip().encode()
        self.fields = {
            "boot": boot, "time_namespace": os.stat("/proc/self/ns/time").st_ino, "generation": 1,
            "epoch": 7, "serial": 3, "deadline": 0, "commits_until": FOREVER, "open": 0, "guard": 1,
            "newest_epoch": 7, "postmaster_pid": 0, "armed": 1, "postmaster_start": 0,
            "grace": 2_000_000, "data_dir": b"", "primary": b"", "synchronous": 0}
        self.version, self.magic = 1, b"HFPAGE1\0"

    def make(self):
        """The file, new: as a different inode when there was one."""
        fresh = self.path + ".new"
        fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.ftruncate(fd, 4096)
        self.map = mmap.mmap(fd, 4096)
        os.close(fd)
        self.lab.own(fresh)
        os.rename(fresh, self.path)
        return self.write()

    def write(self, **fields):
        self.fields.update(fields)
        (sequence,) = struct.unpack_from("<I", self.map, 12)
        struct.pack_into("<I", self.map, 12, sequence | 1)
        self.map[0:8] = self.magic
        struct.pack_into("<I", self.map, 8, self.version)
        self.map[16:16 + BODY.size] = BODY.pack(*self.fields.values())
        struct.pack_into("<I", self.map, 12, (sequence | 1) + 1)
        return self

    def leave_half_written(self):
        struct.pack_into("<I", self.map, 12, struct.unpack_from("<I", self.map, 12)[0] | 1)

    def open(self, seconds=600.0, **fields):
        """A lease that lasts so long from now."""
        return self.write(open=1, deadline=lease_clock_us() + int(seconds * 1e6), **fields)

    def expire(self):
        """The deadline passes: nobody closes anything."""
        return self.write(deadline=lease_clock_us() - 1000)

    def close(self):
        return self.write(open=0)

    def hold(self):
        """The exposure's limit is reached."""
        return self.write(commits_until=lease_clock_us() - 1000)

    def release(self):
        return self.write(commits_until=FOREVER)


class Node:
    """One PostgreSQL, reached by a UNIX socket alone; a copy of one initdb."""

    def __init__(self, lab, build, name, managed=True, settings=None):
        self.lab, self.name = lab, name
        self.base = lab.make_dir(name, mode=0o700)
        self.data = os.path.join(self.base, "data")
        self.page = Page(lab, os.path.join(self.base, "lease.page"))
        self.library = os.path.join(lab.make_dir("bin", owner=None), "holdfast.so")
        if not os.path.exists(self.library):
            shutil.copy(os.path.join(build, "holdfast.so"), self.library)
        self.settings = {
            "listen_addresses": "", "unix_socket_directories": self.base, "port": 5432,
            "max_connections": 30, "shared_buffers": "16MB", "wal_level": "replica",
            "fsync": "off", "max_wal_size": "256MB", "autovacuum": "off",
            "max_prepared_transactions": 5, "timezone": "UTC",
            "shared_preload_libraries": self.library,
            "holdfast.managed": "on" if managed else "off", "holdfast.page": self.page.path}
        self.settings.update(settings or {})
        self.process = None

    def program(self, name):
        return os.path.join(bin_dir(), name)

    def run(self, name, *words, check=True, text=None, env=None):
        return run([self.program(name), *words], user=self.lab.user, mark=self.base, check=check,
                   text=text, env={"PGHOST": self.base, "PGUSER": "postgres", **(env or {})},
                   cwd=self.base)

    def initdb(self):
        template = os.path.join(self.lab.directory, "template", "data")
        if not os.path.exists(template):
            self.lab.make_dir("template", mode=0o700)
            run([self.program("initdb"), "-D", template, "-U", "postgres", "--auth=trust",
                 "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", "--no-instructions",
                 "--no-sync"], user=self.lab.user, mark=self.lab.directory, cwd="/")
        run(["cp", "-a", template, self.data], mark=self.lab.directory)
        return self.configure()

    def configure(self, **settings):
        self.settings.update(settings)
        text = "".join(f"{k} = {quoted(v)}\n" for k, v in self.settings.items())
        self.lab.write(os.path.join(self.data, "postgresql.conf"), text, 0o600)
        self.lab.write(os.path.join(self.data, "pg_hba.conf"),
                       "local all all trust\nlocal replication all trust\n", 0o600)
        return self

    def signal_file(self, name="standby.signal"):
        self.lab.write(os.path.join(self.data, name), "", 0o600)

    def spawn(self):
        self.process = Process(
            f"PostgreSQL {self.name}", [self.program("postgres"), "-D", self.data],
            self.lab.log(self.name), self.base, user=self.lab.user, cwd=self.base)
        self.process.start()
        return self

    def start(self):
        self.spawn()

        def answers():
            try:
                self.connect().close()
                return True
            except psycopg2.Error:
                return False
        self.process.ready(30, answers)
        return self

    def start_refused(self):
        """The end of the log of a start that must not succeed."""
        self.spawn()
        self.process.reap(20)
        if self.process.child.returncode == 0:
            raise LabError("a start that should be refused ended well")
        return self.process.tail()

    def stop(self, how=signal.SIGINT):
        if self.process is not None and self.process.running():
            self.process.signal(how)
            self.process.reap(30)

    def reload(self, **settings):
        """Settings that a reload changes, in force when this returns (but see rule E5)."""
        self.configure(**settings)
        connection = self.connect(options="-c holdfast.stale_reads=on")
        self.process.signal(signal.SIGHUP)
        for name, value in settings.items():
            wait_until(f"{name} to be {value!r}", 10, lambda n=name, v=value: query(
                connection, f"SHOW {n}") == [(v,)])
        connection.close()
        return self

    def connect(self, user="postgres", **options):
        connection = psycopg2.connect(host=self.base, user=user, dbname="postgres",
                                      connect_timeout=5, **options)
        connection.autocommit = True
        return connection

    def look(self, sql):
        """A superuser's look at a node that may be fenced; it writes no more than others."""
        connection = self.connect(options="-c holdfast.stale_reads=on")
        try:
            return query(connection, sql)
        finally:
            connection.close()

    def make_view(self):
        """The extension's objects, without its files in the server's own directories."""
        with open(os.path.join(TOP, "agent/pgmodule/holdfast--1.0.sql"), encoding="utf-8") as f:
            text = f.read().replace("MODULE_PATHNAME", self.library)
        connection = self.connect()
        query(connection, "CREATE SCHEMA holdfast")
        query(connection, text)
        connection.close()

    def counters(self):
        (row,) = self.look("SELECT refusals, silent_ends, waits, waited_s FROM holdfast.guard")
        return dict(zip(("refusals", "silent_ends", "waits", "waited_s"), row))

    def wait_event(self, pid, event):
        wait_until(f"{pid} to wait in {event}", 10, lambda: self.look(
            f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND wait_event = '{event}'"))


def query(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


class Running(threading.Thread):
    """A statement under way: finished() gives what it came to."""

    def __init__(self, connection, sql):
        super().__init__(daemon=True)
        self.connection, self.sql = connection, sql
        self.outcome, self.ended_at = None, None
        self.start()

    def run(self):
        try:
            self.outcome = query(self.connection, self.sql)
        except psycopg2.Error as error:
            self.outcome = error
        self.ended_at = time.monotonic()

    def finished(self, seconds=10):
        self.join(seconds)
        if self.is_alive():
            raise LabError(f"still running: {self.sql}")
        return self.outcome


class Wire:
    """The protocol by hand: what was sent, and every message that came back until it paused."""

    def __init__(self, node, user="postgres"):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(os.path.join(node.base, ".s.PGSQL.5432"))
        body = b"".join(p + b"\0" for p in (b"user", user.encode(), b"database", b"postgres"))
        body = struct.pack(">I", 196608) + body + b"\0"
        self.socket.sendall(struct.pack(">I", len(body) + 4) + body)
        self.buffer = b""
        self.pid = None
        for kind, body in self.until(b"Z"):
            if kind == b"K":
                self.pid = struct.unpack(">I", body[:4])[0]

    def ask(self, sql):
        """A simple query, sent; answer() or until() has what comes back."""
        return self.send(self.message(b"Q", sql.encode() + b"\0"))

    def answer(self):
        return self.until(b"Z")

    def close(self):
        self.socket.close()

    @staticmethod
    def message(kind, body=b""):
        return kind + struct.pack(">I", len(body) + 4) + body

    def send(self, *messages):
        self.socket.sendall(b"".join(messages))
        return self

    def until(self, last, seconds=10):
        """[(type, body)] to the first message of this type, or to the connection's end (None)."""
        self.socket.settimeout(seconds)
        found = []
        while True:
            if len(self.buffer) >= 5:
                size = struct.unpack(">I", self.buffer[1:5])[0] + 1
                if len(self.buffer) >= size:
                    found.append((self.buffer[:1], self.buffer[5:size]))
                    self.buffer = self.buffer[size:]
                    if found[-1][0] == last:
                        return found
                    continue
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                found.append((None, b""))
                return found
            self.buffer += more

    def parse(self, sql, name=b""):
        return self.message(b"P", name + b"\0" + sql.encode() + b"\0" + struct.pack(">H", 0))

    def bind(self, portal=b"", name=b""):
        return self.message(b"B", portal + b"\0" + name + b"\0" + struct.pack(">HHH", 0, 0, 0))

    def execute(self, rows=0, portal=b""):
        return self.message(b"E", portal + b"\0" + struct.pack(">I", rows))

    def sync(self):
        return self.message(b"S")

    def call(self, oid, argument):
        """The function call message, with one 4-byte argument in binary."""
        return self.message(b"F", struct.pack(">IHHHiIH", oid, 1, 1, 1, 4, argument, 1))


def kinds(messages):
    return [kind for kind, _ in messages]


def is_cut(messages):
    """Not one word of success or failure: the connection just ended."""
    return messages[-1][0] is None and not {b"C", b"E", b"Z"} & set(kinds(messages))


def error_code(messages):
    """SQLSTATE of the first error among them, or None."""
    for kind, body in messages:
        if kind == b"E":
            return {field[:1]: field[1:] for field in body.split(b"\0") if field}[b"C"].decode()
    return None
