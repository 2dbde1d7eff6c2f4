# SPDX-License-Identifier: Apache-2.0
"""A coordinator dies as it enters each step of a failover; the next leader carries the plan to its
end. The steps come from the program: one that no test tries fails the module."""
import os
import subprocess
import time

import pytest
from conftest import build_dir
from holdfast_lab.process import wait_until
from watch import Client, assert_loss_as_predicted, finished, healthy


def steps():
    program = os.path.join(build_dir(), "holdfast-coordinator")
    if not os.path.exists(program):
        return []
    return subprocess.run([program, "--list-steps"], check=True, capture_output=True,
                          text=True).stdout.split()


STEPS = steps()
TRIED = set()


def lead_with_fault(lab, region, fault):
    """Makes this region's coordinator lead, with a fault point armed; the others are clean."""
    others = [r for r in lab.regions if r != region]
    lab.coordinators[region].stop()
    lab.coordinators[region].start(env={"HF_FAULT": fault})
    for other in others:
        lab.coordinators[other].stop()
    wait_until(f"{region} to lead", 30, lambda: lab.api.get("/v1/version", region)
               .get("leader") == region, 0.1)
    for other in others:
        lab.coordinators[other].start()
    wait_until("agents to be connected again", 30, lambda: all(
        n["ok"] for n in lab.api.get(f"/v1/clusters/{lab.tenant}/{lab.cluster}/status",
                                     region)["nodes"]))


@pytest.mark.parametrize("step", STEPS)
def test_failover_survives_its_coordinator(cluster, step):
    TRIED.add(step)
    victim = healthy(cluster)
    leader = next(r for r in cluster.regions if r != victim)
    lead_with_fault(cluster, leader, f"plan.step.{step}=kill")
    known = len(cluster.api.operations("failover"))
    with Client(cluster, f"step-{step}") as client:
        cluster.kill_postmaster(victim)
        wait_until(f"the coordinator to die at step {step}", 60,
                   lambda: not cluster.coordinators[leader].running())
        assert cluster.coordinators[leader].child.returncode == -9
        operation = finished(cluster, after=known, seconds=90)
        assert operation["result"] == "done", operation
        client.more(30)
        assert_loss_as_predicted(client, operation, healthy(cluster))
    cluster.coordinators[leader].start()
    time.sleep(0.5)


def test_every_step_was_tried(request):
    assert STEPS, "the coordinator lists no steps"
    chosen = {item.callspec.params["step"] for item in request.session.items
              if getattr(item, "callspec", None) and "step" in item.callspec.params}
    assert TRIED == chosen
    if not request.config.option.keyword:
        assert TRIED == set(STEPS)
