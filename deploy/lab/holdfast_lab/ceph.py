# SPDX-License-Identifier: Apache-2.0
"""A real S3 server for one region: one Ceph monitor, one object store, one RADOS gateway.

It needs root, lives in one directory, and uses nothing of /etc/ceph. There is no manager daemon:
reading, writing and the gateway's administration do without it.
"""
import http.client
import os
import uuid

from .process import LabError, Process, run, wait_until

STORE_BYTES = 6 << 30  # sparse; about 50 MB are real after the first start


class Gateway:
    def __init__(self, lab, region):
        self.lab, self.region, self.address = lab, region, lab.address(region)
        self.port, self.internal = lab.port["s3"], lab.port["ceph"]
        self.directory = os.path.join(lab.region_dir(region), "s3")
        self.config = os.path.join(self.directory, "ceph.conf")
        self.access_key = f"{region}access"
        self.secret_key = lab.secret(f"s3-{region}")
        self.signing_region = f"{region}-1"
        self.daemons = {
            name: Process(f"ceph {name} {region}", [*argv, "-f", "-c", self.config],
                          lab.log(f"{region}-s3-{name}"), self.directory, cwd="/",
                          env={"CEPH_CONF": self.config})
            for name, argv in (("monitor", ["ceph-mon", "-i", "a"]),
                               ("store", ["ceph-osd", "-i", "0"]),
                               ("gateway", ["radosgw", "-n", "client.rgw"]))}

    @property
    def endpoint(self):
        return f"http://{self.address}:{self.port}"

    def _settings(self, cluster_id):
        here = self.directory
        common = {
            "fsid": cluster_id, "mon host": f"[v2:{self.address}:{self.internal}]",
            "public addr": self.address, "cluster addr": self.address, "ms bind ipv6": "false",
            "ms bind port min": self.internal + 1, "ms bind port max": self.internal + 9,
            "auth allow insecure global id reclaim": "false", "run dir": here,
            "admin socket": f"{here}/$name.asok", "log to stderr": "true", "log to file": "false",
            "mon cluster log to file": "false", "mon cluster log to stderr": "false",
            "keyring": f"{here}/keyring",
            # one copy: the laboratory loses whole regions, not disks
            "osd pool default size": 1, "osd pool default min size": 1,
            "mon allow pool size one": "true", "osd crush chooseleaf type": 0,
            # without a manager nothing would scale placement groups later
            "osd pool default pg num": 4, "osd pool default pgp num": 4,
            "osd pool default pg autoscale mode": "off", "mon max pg per osd": 1000,
            "mon data": f"{here}/mon", "mon data avail crit": 1, "osd data": f"{here}/osd",
            "osd objectstore": "bluestore", "osd memory target": 1 << 30,
            "bluestore block size": STORE_BYTES, "bluestore block create": "true",
            "osd op num shards": 2, "osd class update on start": "false",
            "osd mclock skip benchmark": "true", "debug ms": "0/0",
            "debug mon": "0/0", "debug osd": "0/0", "debug paxos": "0/0", "debug rgw": "0/0",
        }
        gateway = {
            # Nagle and delayed acknowledgements together make small reads wait 48 ms
            "rgw frontends": f"beast endpoint={self.address}:{self.port} tcp_nodelay=1",
            "rgw enable usage log": "false", "rgw enable ops log": "false",
            "rgw run sync thread": "false", "rgw thread pool size": 64,
            "rgw gc obj min wait": 10, "rgw gc processor period": 30,
        }
        lines = ["[global]", *(f"{k} = {v}" for k, v in common.items()),
                 "[client.rgw]", *(f"{k} = {v}" for k, v in gateway.items())]
        return "\n".join(lines) + "\n"

    def _run(self, *argv, timeout=90):
        return run([argv[0], "-c", self.config, *argv[1:]], mark=self.directory, timeout=timeout,
                   env={"CEPH_CONF": self.config})

    def _prepare(self):
        """Configuration, keys and an empty monitor. cephx keys, for without authentication the
        gateway does not get in."""
        cluster_id = str(uuid.uuid4())
        for name in ("mon", "osd"):
            os.makedirs(os.path.join(self.directory, name))
        self.lab.write(self.config, self._settings(cluster_id), 0o600)
        keyring = os.path.join(self.directory, "keyring")
        everything = ["--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr",
                      "allow *"]
        rights = {"mon.": ["--cap", "mon", "allow *"], "client.admin": everything,
                  "client.rgw": everything,
                  "osd.0": ["--cap", "mon", "allow profile osd", "--cap", "osd", "allow *", "--cap",
                            "mgr", "allow profile osd"]}
        for number, (name, caps) in enumerate(rights.items()):
            run(["ceph-authtool", keyring, *(["--create-keyring"] if number == 0 else []),
                 "--gen-key", "-n", name, *caps], mark=self.directory)
        monitors = os.path.join(self.directory, "monmap")
        run(["monmaptool", "--create", "--clobber", "--fsid", cluster_id, "--addv", "a",
             f"[v2:{self.address}:{self.internal}]", "--set-min-mon-release", "pacific", monitors],
            mark=self.directory)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors, "--keyring", keyring)

    def _make_store(self):
        identity = str(uuid.uuid4())
        self._run("ceph", "--connect-timeout", "30", "osd", "new", identity)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", identity)

    def _make_zone(self):
        """An own realm before zonegroup and zone; the zonegroup's name is the S3 region."""
        def admin(*words):
            self._run("radosgw-admin", "-n", "client.rgw", *words)
        name = self.signing_region
        admin("realm", "create", "--rgw-realm=lab", "--default")
        admin("zonegroup", "create", f"--rgw-zonegroup={name}", f"--api-name={name}",
              f"--endpoints={self.endpoint}", "--master", "--default")
        admin("zone", "create", f"--rgw-zonegroup={name}", f"--rgw-zone={name}-a",
              f"--endpoints={self.endpoint}", "--master", "--default")
        admin("period", "update", "--commit")
        # the secret goes by argument here, within the laboratory's own processes: it guards
        # nothing but this run's loopback server
        admin("user", "create", "--uid=lab", "--display-name=lab",
              f"--access-key={self.access_key}", f"--secret-key={self.secret_key}")

    def start(self):
        """Starts the three daemons; the first time makes them. Blocks: run regions in parallel."""
        if os.getuid() != 0:
            raise LabError("the S3 server (Ceph) needs root")
        first = not os.path.exists(self.config)
        if first:
            os.makedirs(self.directory, exist_ok=True)
            self._prepare()
        self.daemons["monitor"].start()
        if first:
            self._make_store()
        self.daemons["store"].start()
        if first:
            self._make_zone()
        self.daemons["gateway"].start()
        return self

    def ready(self, seconds=60):
        def answers():
            connection = http.client.HTTPConnection(self.address, self.port, timeout=2)
            try:
                connection.request("GET", "/")
                return connection.getresponse().status == 200
            finally:
                connection.close()
        self.daemons["gateway"].ready(seconds, answers)
        return self

    def stop(self):
        for name in ("gateway", "store", "monitor"):
            self.daemons[name].stop(2 if name == "gateway" else 10)

    def client(self):
        """A boto3 client: the laboratory's own view of a bucket, apart from Holdfast's driver."""
        import boto3
        from botocore.config import Config
        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name=self.signing_region,
            aws_access_key_id=self.access_key, aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2},
                          connect_timeout=2, read_timeout=10, proxies={}))

    def make_bucket(self, name):
        """Makes the bucket that the agents use; already there is fine."""
        client = self.client()

        def made():
            try:
                client.create_bucket(Bucket=name, CreateBucketConfiguration={
                    "LocationConstraint": self.signing_region})
            except client.exceptions.BucketAlreadyOwnedByYou:
                pass
            return True
        wait_until(f"bucket {name} in {self.region}", 30, made, every=0.5)
