# SPDX-License-Identifier: Apache-2.0
"""The laboratory's configuration files: the real format, this laboratory's paths."""
import json

BUCKET = "holdfast"
PREFIX = "lab"
NAME = "db.main.hf.test."


def dump(value, indent=0):
    """YAML of plain values; texts quoted, so that nothing is taken for something else."""
    pad = "  " * indent
    if isinstance(value, dict):
        if not value:
            return " {}\n"
        text = "\n" if indent else ""
        for key, item in value.items():
            text += f"{pad}{json.dumps(key) if not key.replace('_', '').isalnum() else key}:"
            text += dump(item, indent + 1)
        return text
    if isinstance(value, list):
        return " [" + ", ".join(json.dumps(item) for item in value) + "]\n"
    return f" {json.dumps(value)}\n"


def repositories(lab, directory):
    """Per region: a directory, or a bucket with its credentials in a file of its own."""
    found = {}
    for region in lab.regions:
        if lab.store == "posix":
            found[region] = {"type": "posix", "path": lab.repository_dir(region), "prefix": PREFIX}
        else:
            gateway = lab.gateways[region]
            name = f"s3-{region}.cred"
            lab.write(f"{directory}/{name}",
                      f"access_key_id = {gateway.access_key}\n"
                      f"secret_access_key = {gateway.secret_key}\n", 0o600)
            found[region] = {"type": "s3", "endpoint": gateway.endpoint, "bucket": BUCKET,
                             "signing_region": gateway.signing_region, "addressing": "path",
                             "prefix": PREFIX, "credentials": name}
    return found


def agent(lab, region, directory, tls):
    name, address = lab.node(region), lab.address(region)
    return {
        "version": 1, "tenant": lab.tenant, "cluster": lab.cluster, "region": region, "name": name,
        "state_dir": f"{directory}/state", "socket": f"{lab.run_dir(region)}/agent.sock",
        "http": {"listen": f"{address}:{lab.port['http']}"}, "tls": tls,
        "coordinators": [f"wss://{lab.address(r)}:{lab.port['agents']}" for r in lab.regions],
        "postgresql": {
            "data_dir": lab.data_dir(region), "bin_dir": lab.postgres_bin,
            "socket_dir": lab.run_dir(region),
            "advertise": f"{address}:{lab.port['postgres']}", "manage": "process",
            "fence_grace": lab.grace,
            "user": "holdfast", "replication_user": "holdfast_repl",
            "passfile": "pgpass",
        },
        "repositories": repositories(lab, directory),
        "encryption": {"active": "k1", "keys": {"k1": {"file": "k1.key"}}},
        "backup": {"workers": 2, "zstd_level": 3, "pack_size": "64MB", "memory": "96MB"},
        "wal": {"queue_max": "2GB"},
        "log": {"level": "info", "target": "stderr"},
    }


def coordinator(lab, region, directory, tls, etcd_tls):
    address = lab.address(region)
    return {
        "version": 1, "name": region, "region": region, "state_dir": f"{directory}/state",
        "tls": tls,
        "agents": {"listen": f"{address}:{lab.port['agents']}"},
        "users": {"listen": f"{address}:{lab.port['users']}", "auth": "certificate"},
        "etcd": {"endpoints": [f"https://{lab.address(r)}:{lab.port['etcd']}"
                               for r in lab.regions],
                 "prefix": "/holdfast/v1", "tls": etcd_tls, "timeout": "500ms"},
        "lease": {"ttl": lab.lease, "rate_margin": "1%"},
        "history": {"dsn": f"host={lab.addresses.history} port={lab.port['history']} "
                           "dbname=holdfast user=holdfast",
                    "passfile": "pgpass", "spool_max": "256MB"},
        "dns": {"pdns": {"type": "powerdns", "url": lab.dns.url, "api_key_file": "pdns.key",
                         "zone": "hf.test.",
                         "authoritative": [f"{lab.addresses.dns}:{lab.port['dns']}"]}},
        "log": {"level": "info", "target": "stderr"},
    }


def client(lab, tls):
    return {"api": [f"https://{lab.address(r)}:{lab.port['users']}" for r in lab.regions],
            **tls, "cluster": f"{lab.tenant}/{lab.cluster}"}


def cluster(lab, mode="automatic"):
    return {
        "version": 1, "tenant": lab.tenant, "name": lab.cluster,
        "nodes": {lab.node(r): {"region": r} for r in lab.regions},
        "level": "manage", "bootstrap": f"adopt:{lab.node(lab.regions[0])}",
        "rpo": {"target": "5s", "enforcement": "alert", "unknown": "alert"},
        "rto": {"target": "60s"},
        "failover": {"mode": mode, "prefer": list(lab.regions[1:]),
                     "max_loss": {"time": "30s", "wal": "256MB"}, "on_excess_loss": "wait"},
        "wal": {"acknowledge": "own"},
        "route": {"provider": "pdns", "name": NAME, "type": "A", "ttl": "2s"},
    }
