# SPDX-License-Identifier: Apache-2.0
"""Processes of the laboratory: each in a session of its own, known by pid, ended with us.

Invariant: nothing is ever ended by a name. A process is ours when we started it, or when its
command line, working directory or environment lies in the laboratory's own directory.
"""
import os
import signal
import subprocess
import time

MARK = "HOLDFAST_LAB"


class LabError(Exception):
    """A step of the laboratory failed; the text says which and where to look."""


def wait_until(what, seconds, test, every=0.05):
    """Calls test() until it gives something true, and returns that; LabError after the time."""
    deadline = time.monotonic() + seconds
    last = None
    while True:
        try:
            found = test()
            if found:
                return found
        except (OSError, LabError, ValueError, KeyError) as error:
            last = error
        if time.monotonic() > deadline:
            more = f" (last: {last})" if last else ""
            raise LabError(f"{what}: not within {seconds:g} s{more}")
        time.sleep(every)


def clean_environment(mark, extra=None):
    """A small environment: no proxies, no PG* variables, nothing that changes what programs do."""
    env = {key: os.environ[key] for key in ("PATH", "TZ", "ASAN_OPTIONS", "UBSAN_OPTIONS",
                                            "HF_FAULT", "TMPDIR") if key in os.environ}
    env.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    env.update({"LANG": "C.UTF-8", MARK: mark, "no_proxy": "*"})
    env.update(extra or {})
    return env


def as_user(user, argv, tied=True):
    """The argument vector that runs argv as this user (when we are root), ended when we end."""
    prefix = ["setpriv"]
    if tied:
        prefix += ["--pdeathsig", "KILL"]
    if user and os.getuid() == 0:
        prefix += [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return prefix + ["--"] + argv if len(prefix) > 1 else argv


def run(argv, user=None, mark="", timeout=60, text=None, check=True, env=None, cwd="/"):
    """Runs a program to its end and returns what it said; LabError with its last words if it
    fails."""
    try:
        done = subprocess.run(as_user(user, argv), input=text, capture_output=True, text=True,
                              errors="replace", timeout=timeout, cwd=cwd, check=False,
                              env=clean_environment(mark, env),
                              stdin=subprocess.DEVNULL if text is None else None)
    except subprocess.TimeoutExpired as late:
        raise LabError(f"{argv[0]}: no end within {timeout} s") from late
    except OSError as error:
        raise LabError(f"{argv[0]}: {error}") from error
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-12:]
        command = " ".join(argv[:6])
        raise LabError(f"{command}: exit {done.returncode}: " + "\n    ".join(said))
    return done


def is_alive(pid):
    """True while the process runs; a zombie has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def _read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def processes_below(directory):
    """Pids of running processes that belong to this directory, by command line, working directory
    or mark. Ourselves and those that started us excepted."""
    directory = directory.rstrip("/")
    needle = directory.encode()
    mark = f"{MARK}={directory}".encode()
    mine, pid = set(), os.getpid()
    while pid > 1:
        mine.add(pid)
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
                pid = int(f.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            break
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in mine:
            continue
        try:
            cwd = os.readlink(f"/proc/{name}/cwd")
        except OSError:
            cwd = ""
        marked = any(v == mark or v.startswith(mark + b"/")
                     for v in _read(f"/proc/{name}/environ").split(b"\0"))
        named = any(needle + b"/" in word or word.endswith(needle)
                    for word in _read(f"/proc/{name}/cmdline").split(b"\0"))
        if marked or named or cwd == directory or cwd.startswith(directory + "/"):
            if is_alive(int(name)):
                found.append(int(name))
    return found


def shared_memory(pid):
    """What a PostgreSQL process maps outside its directory: System V segments (their numbers) and
    files of /dev/shm (their paths)."""
    found = set()
    for line in _read(f"/proc/{pid}/maps").decode(errors="replace").splitlines():
        words = line.split(maxsplit=5)
        if len(words) < 6:
            continue
        if words[5].startswith("/SYSV"):
            found.add(int(words[4]))  # the inode of such a mapping is the segment's number
        elif words[5].startswith("/dev/shm/PostgreSQL."):
            found.add(words[5])
    return found


def remove_shared_memory(found):
    """Frees what killed servers left; a segment that somebody uses stays."""
    for path in (f for f in found if isinstance(f, str)):
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
    if any(isinstance(f, int) for f in found):
        with open("/proc/sysvipc/shm", encoding="ascii") as f:
            rows = [[int(word) for word in line.split()[:7]] for line in f.readlines()[1:]]
        for row in rows:
            if row[1] in found and row[6] == 0:
                run(["ipcrm", "-m", str(row[1])], check=False)


def _signal(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def kill_below(directory, seconds=20.0):
    """SIGKILL to everything of a directory, again until nothing is left; returns how many. The
    shared memory goes with its processes, as it does when a machine loses power."""
    killed, memory = set(), set()
    deadline = time.monotonic() + seconds
    while True:
        left = processes_below(directory)
        if not left:
            remove_shared_memory(memory)
            return len(killed)
        for pid in left:
            memory |= shared_memory(pid)
        _signal(left, signal.SIGKILL)
        killed.update(left)
        if time.monotonic() > deadline:
            raise LabError(f"processes of {directory} do not end: {left}")
        time.sleep(0.02)


class Process:
    """One server: start, stop, kill, freeze, thaw. Its output goes to one log file, appended."""

    def __init__(self, name, argv, log, mark, user=None, env=None, cwd="/", tied=True,
                 inside=()):
        self.name, self.argv, self.log, self.user = name, argv, log, user
        self.inside = list(inside)  # what it is started by, into the network of its place
        self.mark, self.env, self.cwd, self.tied = mark, env or {}, cwd, tied
        self.child = None
        self.frozen = False

    @property
    def pid(self):
        return self.child.pid if self.child else None

    def running(self):
        return self.child is not None and self.child.poll() is None

    def start(self, env=None):
        if self.running():
            raise LabError(f"{self.name} is running already (pid {self.pid})")
        os.makedirs(os.path.dirname(self.log), exist_ok=True)
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                self.inside + as_user(self.user, self.argv, self.tied),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.cwd,
                start_new_session=True,
                env=clean_environment(self.mark, {**self.env, **(env or {})}))
        self.frozen = False
        return self

    def expect_running(self):
        """LabError with the last lines of the log when the process has ended."""
        if not self.running():
            status = self.child.returncode if self.child else "never started"
            raise LabError(f"{self.name} ended (exit {status}); {self.log}:\n" + self.tail())

    def ready(self, seconds, test):
        """Waits for test() while watching that the process lives."""
        def both():
            if not self.running():
                return "ended"
            return test() and "up"
        if wait_until(f"{self.name} to be ready", seconds, both) == "ended":
            self.expect_running()
        return self

    def tail(self, lines=12):
        text = _read(self.log).decode(errors="replace").splitlines()[-lines:]
        return "\n".join("    " + line for line in text)

    def log_text(self):
        return _read(self.log).decode(errors="replace")

    def signal(self, number):
        if self.running():
            self.child.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.reap(10)

    def freeze(self):
        self.signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self):
        self.signal(signal.SIGCONT)
        self.frozen = False

    def stop(self, seconds=15.0):
        """SIGTERM, and SIGKILL when that does not help in time. Returns the exit status."""
        if self.frozen:
            self.thaw()
        self.signal(signal.SIGTERM)
        try:
            self.reap(seconds)
        except LabError:
            self.kill()
        return self.child.returncode if self.child else None

    def reap(self, seconds):
        if self.child is not None:
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired as late:
                raise LabError(f"{self.name} (pid {self.pid}) does not end") from late
