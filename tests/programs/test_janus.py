"""janus: queues with one end in a thread and the other on the loop."""

from __future__ import annotations

import asyncio
import queue
import threading

import janus
import pytest
from servers import run


def test_thread_to_loop(loop):
    async def main():
        q = janus.Queue(maxsize=3)  # the thread waits for the loop

        def produce():
            for n in range(2000):
                q.sync_q.put(n)
            q.sync_q.join()

        thread = threading.Thread(target=produce)
        thread.start()
        for n in range(2000):
            assert await asyncio.wait_for(q.async_q.get(), 10) == n
            q.async_q.task_done()
        await loop.run_in_executor(None, thread.join)
        await q.aclose()

    run(loop, main)


def test_loop_to_threads(loop):
    async def main():
        q = janus.Queue(maxsize=5)
        taken = []

        def consume():
            while (n := q.sync_q.get(timeout=10)) is not None:
                taken.append(n)
                q.sync_q.task_done()
            q.sync_q.task_done()

        threads = [threading.Thread(target=consume) for _ in range(4)]
        for thread in threads:
            thread.start()
        for n in range(2000):
            await q.async_q.put(n)
        for _ in threads:
            await q.async_q.put(None)
        await q.async_q.join()
        for thread in threads:
            await loop.run_in_executor(None, thread.join)
        assert sorted(taken) == list(range(2000))
        await q.aclose()

    run(loop, main)


def test_cancelled_and_closed(loop):
    async def main():
        q = janus.PriorityQueue()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(q.async_q.get(), 0.01)
        with pytest.raises(queue.Empty):
            await loop.run_in_executor(None, lambda: q.sync_q.get(timeout=0.01))
        waiting = asyncio.ensure_future(q.async_q.get())
        await asyncio.sleep(0)
        q.shutdown()
        with pytest.raises(janus.AsyncQueueShutDown):
            await waiting
        with pytest.raises(janus.SyncQueueShutDown):
            q.sync_q.put(1)
        await q.aclose()

    run(loop, main)
