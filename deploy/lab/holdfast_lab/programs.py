# SPDX-License-Identifier: Apache-2.0
"""Holdfast's own programs: copied beside the laboratory's data, configured, started, asked."""
import json
import os
import shutil

from . import config
from .process import LabError, Process, run

NAMES = ("holdfast-agent", "holdfast-fencer", "holdfast-coordinator", "holdfast", "holdfast.so")


def install(build, directory):
    """Copies the programs where the server's user may run them, whatever the build tree's mode."""
    os.makedirs(directory, exist_ok=True)
    for name in NAMES:
        source = os.path.join(build, name)
        if not os.path.exists(source):
            raise LabError(f"{source} is not built")
        shutil.copy2(source, os.path.join(directory, name))
        os.chmod(os.path.join(directory, name), 0o755)


class Authority:
    """The installation's certificate authority, by `holdfast ca`."""

    def __init__(self, lab):
        self.lab = lab
        self.directory = lab.make_dir("authority", owner=None, mode=0o700)
        self._run("init")

    def _run(self, *words):
        run([self.lab.program("holdfast"), "ca", words[0], "--dir", self.directory, *words[1:]],
            mark=self.lab.directory)

    def issue(self, directory, kind, *words):
        """Issues a certificate and moves it into a directory of the server's user; the
        authority's copy of the key does not stay."""
        before = set(os.listdir(self.directory))
        self._run("issue", kind, *words)
        made = sorted(set(os.listdir(self.directory)) - before)
        keys = [name for name in made if name.endswith(".key")]
        certificates = [name for name in made if name.endswith((".pem", ".crt"))]
        if len(keys) != 1 or len(certificates) != 1:
            raise LabError(f"holdfast ca issue {kind} made {made}")
        os.makedirs(directory, exist_ok=True)
        paths = {"ca": "ca.pem", "certificate": certificates[0], "key": keys[0]}
        shutil.copy(os.path.join(self.directory, "ca.pem"), directory)
        for name in (certificates[0], keys[0]):
            shutil.move(os.path.join(self.directory, name), os.path.join(directory, name))
        for kind_of, name in paths.items():
            path = os.path.join(directory, name)
            os.chmod(path, 0o600 if kind_of == "key" else 0o644)
            self.lab.own(path)
        return {kind_of: os.path.join(directory, name) for kind_of, name in paths.items()}


def agent(lab, region, alone=False):
    directory = lab.make_dir(os.path.join(region, "agent"))
    tls = lab.certificate(f"agent-{region}", "agent", "--tenant", lab.tenant, "--region", region,
                          "--name", lab.node(region), "--host", lab.address(region),
                          directory=directory)
    lab.make_dir(os.path.join(region, "agent", "state"), mode=0o700)
    lab.write(os.path.join(directory, "k1.key"), lab.secret("k1", 32) + "\n", 0o600)
    lab.write_passfile(os.path.join(directory, "pgpass"), ("holdfast", "holdfast_repl"))
    path = os.path.join(directory, "agent.yaml")
    values = config.agent(lab, region, directory, tls)
    if alone:
        values["coordinators"] = []
    lab.write(path, config.dump(values))
    return Process(f"agent {lab.node(region)}",
                   [lab.program("holdfast-agent"), "run", "--config", path],
                   lab.log(f"{region}-agent"), lab.region_dir(region), user=lab.user,
                   cwd=directory, inside=lab.inside(region))


def coordinator(lab, region):
    directory = lab.make_dir(os.path.join(region, "coordinator"))
    tls = lab.certificate(f"coordinator-{region}", "coordinator", "--name", region, "--host",
                          lab.address(region), directory=directory)
    etcd_tls = lab.certificate(f"etcd-client-{region}", "etcd-client", directory=directory)
    lab.make_dir(os.path.join(region, "coordinator", "state"), mode=0o700)
    lab.write(os.path.join(directory, "pdns.key"), lab.dns.key + "\n", 0o600)
    lab.write_passfile(os.path.join(directory, "pgpass"), ("holdfast",))
    path = os.path.join(directory, "coordinator.yaml")
    lab.write(path, config.dump(config.coordinator(lab, region, directory, tls, etcd_tls)))
    return Process(f"coordinator {region}",
                   [lab.program("holdfast-coordinator"), "run", "--config", path],
                   lab.log(f"{region}-coordinator"), lab.region_dir(region), user=lab.user,
                   cwd=directory, inside=lab.inside(region))


class Operator:
    """The `holdfast` command with an administrator's certificate."""

    def __init__(self, lab):
        self.lab = lab
        self.directory = lab.make_dir("operator", owner=None, mode=0o700)
        self.tls = lab.certificate("user-ops", "user", "--name", "ops", "--role", "admin",
                                   directory=self.directory)
        self.config = os.path.join(self.directory, "client.yaml")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(config.dump(config.client(lab, self.tls)))
        os.chown(self.tls["key"], os.getuid(), os.getgid())  # the operator is who runs this

    def command(self):
        return [self.lab.program("holdfast"), "--config", self.config]

    def run(self, *words, timeout=60, check=True):
        return run([*self.command(), *words], mark=self.lab.directory, timeout=timeout,
                   check=check)

    def json(self, *words, timeout=60):
        text = self.run(*words, "-o", "json", timeout=timeout).stdout
        try:
            return json.loads(text)
        except ValueError as error:
            raise LabError(f"holdfast {' '.join(words)}: not JSON: {text[:200]}") from error
