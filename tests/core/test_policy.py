"""install, uninstall, run, new_event_loop and the policy: uvolt's own few names."""

from __future__ import annotations

import asyncio
import sys
import warnings

import pytest
import support

if "uvolt" in support.LOOPS:
    import uvolt

pytestmark = pytest.mark.skipif("uvolt" not in support.LOOPS, reason="uvolt's own names")


@pytest.fixture(autouse=True)
def policy_put_back(clean):
    before = asyncio.get_event_loop_policy()
    yield
    asyncio.set_event_loop(None)
    asyncio.set_event_loop_policy(before)


async def kind():
    await asyncio.sleep(0)
    return type(asyncio.get_running_loop())


def test_run():
    assert uvolt.run(kind()) is uvolt.Loop
    assert asyncio.run(kind()) is not uvolt.Loop


def test_run_with_a_factory():
    assert uvolt.run(kind(), loop_factory=asyncio.SelectorEventLoop) is asyncio.SelectorEventLoop


def test_run_debug():
    async def main():
        return asyncio.get_running_loop().get_debug()

    assert uvolt.run(main(), debug=True) is True
    assert uvolt.run(main(), debug=False) is False


def test_run_raises_what_main_raises():
    async def main():
        raise KeyError("x")

    with pytest.raises(KeyError):
        uvolt.run(main())


@pytest.mark.parametrize("wrong", [None, 1, kind, print])
def test_run_of_something_else(wrong):
    def outcome(run):
        with pytest.raises((ValueError, TypeError)) as caught:
            run(wrong)
        return type(caught.value)

    assert outcome(uvolt.run) is outcome(asyncio.run)


def test_run_within_a_loop():
    async def main():
        coro = kind()
        with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
            uvolt.run(coro)
        coro.close()

    uvolt.run(main())


def test_run_cleans_up():
    log = []

    async def generator():
        try:
            yield 1
        finally:
            log.append("generator")

    async def background():
        try:
            await asyncio.sleep(1000)
        finally:
            log.append("task")

    async def main():
        held.append(generator())
        await anext(held[0])
        held.append(asyncio.ensure_future(background()))
        await asyncio.get_running_loop().run_in_executor(None, int)
        return asyncio.get_running_loop()

    held: list = []
    loop = uvolt.run(main())
    assert sorted(log) == ["generator", "task"]
    assert loop.is_closed()


def test_install_and_uninstall():
    before = asyncio.get_event_loop_policy()
    uvolt.install()
    assert isinstance(asyncio.get_event_loop_policy(), uvolt.EventLoopPolicy)
    assert asyncio.run(kind()) is uvolt.Loop
    loop = asyncio.new_event_loop()
    assert type(loop) is uvolt.Loop
    loop.close()
    if sys.version_info >= (3, 11):
        with asyncio.Runner() as runner:
            assert runner.run(kind()) is uvolt.Loop
    uvolt.install()
    uvolt.uninstall()
    assert not isinstance(asyncio.get_event_loop_policy(), uvolt.EventLoopPolicy)
    assert asyncio.run(kind()) is not uvolt.Loop
    asyncio.set_event_loop_policy(before)
    uvolt.uninstall()  # not ours: left alone
    assert asyncio.get_event_loop_policy() is before


def test_policy():
    policy = uvolt.EventLoopPolicy()
    assert isinstance(policy, asyncio.DefaultEventLoopPolicy)
    assert isinstance(policy, asyncio.AbstractEventLoopPolicy)
    asyncio.set_event_loop_policy(policy)
    loop = policy.new_event_loop()
    assert type(loop) is uvolt.Loop
    policy.set_event_loop(loop)
    assert policy.get_event_loop() is loop
    assert asyncio.get_event_loop_policy().get_event_loop() is loop
    with pytest.raises(TypeError if sys.version_info >= (3, 11) else (TypeError, AssertionError)):
        policy.set_event_loop(1)
    policy.set_event_loop(None)
    loop.close()


def test_policy_in_another_thread():
    asyncio.set_event_loop_policy(uvolt.EventLoopPolicy())
    results = []

    def work():
        with pytest.raises(RuntimeError, match="There is no current event loop in thread"):
            asyncio.get_event_loop_policy().get_event_loop()
        results.append(asyncio.run(kind()))

    with support.thread(work):
        pass
    assert results == [uvolt.Loop]


def test_names():
    assert set(uvolt.__all__) <= set(dir(uvolt)) | {"EventLoopPolicy"}
    for name in uvolt.__all__:
        getattr(uvolt, name)
    with pytest.raises(AttributeError):
        uvolt.nonesuch  # noqa: B018
    assert uvolt.__version__.count(".") == 2
    assert tuple(int(n) for n in uvolt.libuv_version.split(".")[:2]) >= (1, 43)


def test_nothing_warns_on_import_and_use():
    out = support.script(
        "uvolt",
        """
        async def main():
            return 5
        print(uvolt.run(main()))
        """,
        options=("-X", "dev", "-W", "error"),
    )
    assert out == "5\n"


def test_loop_is_documented_as_asyncio():
    """Every public method of asyncio's loop is there, and takes the keywords of this Python."""
    import inspect

    loop = uvolt.new_event_loop()
    try:
        for name in dir(asyncio.AbstractEventLoop):
            if name.startswith("_"):
                continue
            assert callable(getattr(loop, name)), name
        for name in ("create_connection", "create_server", "getaddrinfo", "run_in_executor"):
            theirs = inspect.signature(getattr(asyncio.SelectorEventLoop, name)).parameters
            ours = inspect.signature(getattr(type(loop), name)).parameters
            assert set(theirs) <= set(ours), name
    finally:
        loop.close()


def test_ctrl_c():
    out = support.script(
        "uvolt",
        """
        import os, signal, sys, threading
        async def main():
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                await asyncio.sleep(60)
            finally:
                print("cleaned up")
        try:
            uvolt.run(main())
        except KeyboardInterrupt:
            print("KeyboardInterrupt")
        """,
        options=("-X", "faulthandler", "-W", "error"),
    )
    assert out.splitlines() == ["cleaned up", "KeyboardInterrupt"]


def test_install_in_a_program():
    out = support.script(
        "uvolt",
        """
        import uvolt
        uvolt.install()
        async def main():
            print(type(asyncio.get_running_loop()).__name__)
            await asyncio.gather(*(asyncio.sleep(0.001) for _ in range(3)))
        asyncio.run(main())
        asyncio.run(main())
        """,
    )
    assert out.split() == ["Loop", "Loop"]


def test_no_warning_leaks_from_the_policy():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        uvolt.install()
        uvolt.uninstall()
