"""Dask: a cluster of processes that all run on the loop under test, over TCP and over TLS."""

from __future__ import annotations

import subprocess
import sys

import pytest
import support

pytestmark = pytest.mark.unsanitized

# Dask starts a worker as a new process, which imports this file: the policy holds there, too.
PROGRAM = """
class Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self):
        return new_loop()

asyncio.set_event_loop_policy(Policy())

import os, signal, sys
import distributed

def kind(dask_worker):
    return type(dask_worker.loop.asyncio_loop).__module__.split(".")[0]

async def later(n):
    await asyncio.sleep(0.001)
    return n + 1

def fail():
    return 1 / 0

def die_once(path):
    if not os.path.exists(path):
        open(path, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"

async def main():
    security = distributed.Security.temporary() if sys.argv[1] == "tls" else None
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0",
        asynchronous=True, security=security, silence_logs=50,
    )
    async with cluster, distributed.Client(cluster, asynchronous=True) as client:
        print("scheme", cluster.scheduler_address.split(":")[0])
        print("loops", *set((await client.run(kind)).values()))
        numbers = client.map(lambda n: n * n, range(200))
        print("sum", await client.submit(sum, numbers))
        print("coroutines", sum(await client.gather(client.map(later, range(100)))))
        one, two = (await client.run(os.getpid)).keys()
        data = os.urandom(5_000_000)
        there = await client.scatter(data, workers=[one])
        moved = client.submit(lambda data: data[::-1], there, workers=[two])  # one sends it to two
        print("moved", await moved == data[::-1])
        try:
            await client.submit(fail)
        except ZeroDivisionError as error:
            print("failed", error)
        if sys.argv[1] == "tcp":
            mark = os.path.join(os.path.dirname(__file__), "died")
            print("killed and", await client.submit(die_once, mark))
        never = client.submit(asyncio.sleep, 1000)
        await asyncio.sleep(0.05)
        await never.cancel()
        print("cancelled", never.cancelled())

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_cluster(loop_name, scheme, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(support.factory_code(loop_name) + "import asyncio\n" + PROGRAM)
    done = subprocess.run(
        [sys.executable, path, scheme],
        capture_output=True,
        text=True,
        timeout=50 * support.SLOW,
        stdin=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"scheme {scheme}",
        f"loops {loop_name}",
        f"sum {sum(n * n for n in range(200))}",
        f"coroutines {sum(range(101))}",
        "moved True",
        "failed division by zero",
        *(["killed and alive"] if scheme == "tcp" else []),
        "cancelled True",
    ]
