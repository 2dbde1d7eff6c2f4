# SPDX-License-Identifier: Apache-2.0
"""A repository seen from outside Holdfast: its objects' names, and damage done to them."""
import os

from . import config


def listing(lab, region):
    """Keys of all objects in a region's repository, by the file system or by S3 itself."""
    if lab.store == "posix":
        base, found = lab.repository_dir(region), []
        for directory, _below, names in os.walk(base):
            found += [os.path.relpath(os.path.join(directory, name), base) for name in names]
        return sorted(found)
    pages = lab.gateways[region].client().get_paginator("list_objects_v2")
    return sorted(item["Key"] for page in pages.paginate(Bucket=config.BUCKET)
                  for item in page.get("Contents", []))


def read(lab, region, key):
    if lab.store == "posix":
        with open(os.path.join(lab.repository_dir(region), key), "rb") as f:
            return f.read()
    return lab.gateways[region].client().get_object(Bucket=config.BUCKET, Key=key)["Body"].read()


def overwrite(lab, region, key, data):
    """Puts other bytes under an existing name, past Holdfast: what a bad disk or a foe does."""
    if lab.store == "posix":
        path = os.path.join(lab.repository_dir(region), key)
        os.chmod(path, 0o600)
        with open(path, "wb") as f:
            f.write(data)
        lab.own(path)
    else:
        lab.gateways[region].client().put_object(Bucket=config.BUCKET, Key=key, Body=data)


def flip(lab, region, key, at=None):
    """Changes one byte (by default in the middle)."""
    data = bytearray(read(lab, region, key))
    data[len(data) // 2 if at is None else at] ^= 0x01
    overwrite(lab, region, key, bytes(data))


def truncate(lab, region, key, to):
    overwrite(lab, region, key, read(lab, region, key)[:to])


def cut_off(lab, region):
    """Makes a repository unreachable: a directory nobody may enter, a server that is gone."""
    if lab.store == "posix":
        store = os.path.dirname(lab.repository_dir(region))
        os.chmod(store, 0)
        if lab.user:
            os.chown(store, 0, 0)
    else:
        lab.gateways[region].daemons["gateway"].kill()


def join_again(lab, region):
    if lab.store == "posix":
        os.chmod(os.path.dirname(lab.repository_dir(region)), 0o755)
    else:
        lab.gateways[region].daemons["gateway"].start()
        lab.gateways[region].ready()
