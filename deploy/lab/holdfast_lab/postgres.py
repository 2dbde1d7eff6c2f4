# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL of the laboratory that is not Holdfast's to run: the database that a user brings
along, the history database, and the scratch server that a restored directory is looked at with."""
import glob
import os
import signal

import psycopg2

from .process import LabError, Process, run

# Dynamic shared memory as files of the data directory: a killed server leaves nothing elsewhere.
MEMORY = {"dynamic_shared_memory_type": "mmap"}
SQL = os.path.join(os.path.dirname(__file__), "..", "..", "postgresql", "roles.sql")


def bin_dir():
    """The newest installed server's programs."""
    found = glob.glob("/usr/lib/postgresql/*/bin/postgres")
    if not found:
        raise LabError("no PostgreSQL server below /usr/lib/postgresql")
    newest = max(found, key=lambda path: int(path.split("/")[4]))
    return os.path.dirname(newest)


def initdb(lab, directory, password_file):
    run([os.path.join(bin_dir(), "initdb"), "-D", directory, "-U", "postgres", "--data-checksums",
         "--auth-local=scram-sha-256", "--auth-host=scram-sha-256", f"--pwfile={password_file}",
         "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions", "--no-sync"],
        user=lab.user, mark=directory, cwd=os.path.dirname(directory))


def quoted(value):
    return "'" + str(value).replace("'", "''") + "'"


class Server:
    """A plain server on one directory, started and stopped by the laboratory."""

    def __init__(self, lab, name, directory, address, port, socket_dir, settings=(),
                 place="services"):
        self.lab, self.name, self.directory = lab, name, directory
        self.address, self.port, self.socket_dir = address, port, socket_dir
        argv = [os.path.join(bin_dir(), "postgres"), "-D", directory,
                "-c", f"listen_addresses={address}", "-c", f"port={port}",
                "-c", f"unix_socket_directories={socket_dir}"]
        for key, value in {**MEMORY, **dict(settings)}.items():
            argv += ["-c", f"{key}={value}"]
        self.process = Process(f"PostgreSQL {name}", argv, lab.log(f"{name}-postgresql"), directory,
                               user=lab.user, cwd=os.path.dirname(directory),
                               inside=lab.inside(place))

    def start(self):
        self.process.start()
        return self

    def ready(self, seconds=30):
        """Up and answering questions, out of any recovery that it does to become consistent."""
        def answers():
            try:
                self.query("SELECT 1")
                return True
            except psycopg2.Error:
                return False
        self.process.ready(seconds, answers)
        return self

    def connect(self, database="postgres", user="postgres", **options):
        connection = psycopg2.connect(
            host=self.address, port=self.port, dbname=database, user=user,
            passfile=self.lab.passfile, connect_timeout=3, **options)
        connection.autocommit = True
        return connection

    def query(self, sql, parameters=None, database="postgres"):
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def answer(self, sql, parameters=None, database="postgres"):
        """As query, but [] while the server gives none: it starts, or ends sessions to rejoin."""
        try:
            return self.query(sql, parameters, database)
        except psycopg2.Error:
            return []

    def stop(self):
        """Fast shutdown, with its checkpoint."""
        self.process.signal(signal.SIGINT)
        try:
            self.process.reap(30)
        except LabError:
            self.process.kill()


def make_user_database(lab, region):
    """The database that a user has before Holdfast comes: one node, checksums, data, an ordinary
    configuration in its own directory, the roles of roles.sql. It runs, as a user's would."""
    directory = lab.data_dir(region)
    initdb(lab, directory, lab.secret_file("postgres"))
    settings = {
        "listen_addresses": lab.address(region), "port": lab.port["postgres"],
        "unix_socket_directories": lab.run_dir(region), "max_connections": 60,
        "shared_buffers": "32MB", "wal_level": "replica", "max_wal_senders": 12,
        "max_replication_slots": 12, "hot_standby": "on", "wal_log_hints": "on",
        "archive_mode": "on", "track_commit_timestamp": "on", "min_wal_size": "80MB",
        "max_wal_size": "512MB",
        "log_line_prefix": "%m [%p] %q%u@%d ", "log_checkpoints": "off", "timezone": "UTC",
        **MEMORY,
    }
    if lab.guard:
        # Without effect until an agent makes the node a managed one, and it starts anew.
        settings["shared_preload_libraries"] = lab.program("holdfast.so")
    with open(os.path.join(directory, "postgresql.conf"), "a", encoding="utf-8") as f:
        f.write("\n# laboratory\n")
        f.writelines(f"{key} = {quoted(value)}\n" for key, value in settings.items())
    lab.write(os.path.join(directory, "pg_hba.conf"),
              "local all all scram-sha-256\n"
              "local replication all scram-sha-256\n"
              f"host all all {lab.addresses.network} scram-sha-256\n"
              f"host replication holdfast_repl {lab.addresses.network} scram-sha-256\n", 0o600)
    server = Server(lab, f"{region}-first", directory, lab.address(region), lab.port["postgres"],
                    lab.run_dir(region), place=region).start().ready()
    make_roles(lab, server)
    server.query("CREATE ROLE app LOGIN PASSWORD " + quoted(lab.secret("app")))
    server.query("CREATE DATABASE app OWNER app")
    return server


def make_roles(lab, server):
    """Runs roles.sql as shipped; passwords go through psql's standard input, not its arguments."""
    text = (f"\\set holdfast_password {quoted(lab.secret('holdfast'))}\n"
            f"\\set replication_password {quoted(lab.secret('holdfast_repl'))}\n"
            f"\\i {os.path.abspath(SQL)}\n")
    run([os.path.join(bin_dir(), "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h",
         server.address, "-p", str(server.port), "-U", "postgres", "-d", "postgres"],
        text=text, env={"PGPASSFILE": lab.passfile, "PGCONNECT_TIMEOUT": "5"}, mark=lab.directory)


class History(Server):
    """The small database for people: operations, backups, audit."""

    def __init__(self, lab):
        base = lab.make_dir("history")
        directory = os.path.join(base, "data")
        super().__init__(lab, "history", directory, lab.addresses.history, lab.port["history"],
                         base, {"max_connections": 40, "shared_buffers": "16MB", "fsync": "on"})

    def start(self):
        fresh = not os.path.exists(self.directory)
        if fresh:
            initdb(self.lab, self.directory, self.lab.secret_file("postgres"))
            with open(os.path.join(self.directory, "pg_hba.conf"), "a", encoding="utf-8") as f:
                f.write(f"host all all {self.lab.addresses.network} scram-sha-256\n")
        self.process.start()
        return self

    def ready(self, seconds=30):
        super().ready(seconds)
        if not self.query("SELECT 1 FROM pg_roles WHERE rolname = 'holdfast'"):
            self.query("CREATE ROLE holdfast LOGIN PASSWORD "
                       + quoted(self.lab.secret("holdfast")))
            self.query("CREATE DATABASE holdfast OWNER holdfast")
        return self


def scratch(lab, directory, name="scratch"):
    """A restored directory, opened on an address of its own: no archiving, nobody else's slots."""
    return Server(lab, name, directory, lab.addresses.scratch, lab.port["postgres"],
                  lab.make_dir(f"{name}-run"))


def shared_memory_of(directory):
    """System V segment of the instance on this directory, by its lock file, or None."""
    try:
        with open(os.path.join(directory, "postmaster.pid"), encoding="ascii") as f:
            return int(f.read().split("\n")[6].split()[1])
    except (OSError, ValueError, IndexError):
        return None
