"""Programs in which the allocation of some number fails: what they share, as source for
support.script()."""

COMMON = '''
import contextlib, gc, os, socket, sys, warnings
import _testcapi

warnings.simplefilter("ignore")
sys.unraisablehook = lambda args: None  # CPython's own finalizers run short of memory, too

# 3.13's own dict of current tasks breaks when it cannot grow: it is given room for all there are.
ROOM = dict.fromkeys(range(100_000))
asyncio.tasks._current_tasks.update(ROOM)
for key in ROOM:
    del asyncio.tasks._current_tasks[key]


def fail_at(number):
    """From now on. None: no allocation fails."""
    if number is not None:
        _testcapi.set_nomemory(number, number + 1)


def stop_if(told):
    if told:
        asyncio.get_running_loop().stop()


def ending(loop, work, number, errors):
    """How a coroutine ends: "done"; "raised", one of those errors; "told", the loop's exception
    handler, where there was no memory to wake it. And what that was told."""
    told = []
    loop.set_exception_handler(lambda _, context: told.append(context.get("exception")))
    # Who waits for ten seconds hangs; what was told is soon known.
    timers = [loop.call_later(seconds, stop_if, told) for seconds in (0.25, 1, 4)]
    timers.append(loop.call_later(10, loop.stop))
    task = loop.create_task(work)
    try:
        loop.run_until_complete(task)
        outcome = "done"
    except RuntimeError as error:
        assert "Event loop stopped before Future completed" in str(error), repr(error)
        assert told, f"hangs at allocation {number} and nobody was told"
        outcome = "told"
    except (MemoryError, *errors):
        outcome = "raised"
    except SystemError as error:  # CPython forgets to set the MemoryError in places
        assert "without" in str(error), repr(error)
        outcome = "raised"
    finally:
        _testcapi.remove_mem_hooks()
        for timer in timers:
            timer.cancel()
    for other in asyncio.all_tasks(loop):
        other.cancel()
    loop.run_until_complete(asyncio.sleep(0.001))
    return outcome, told


def answering(*pieces):
    """The address of a server that sends these for each piece of a request, and its process."""
    listener = socket.create_server(("127.0.0.1", 0))
    child = os.fork()
    if child != 0:
        address = listener.getsockname()
        listener.close()
        return address, child
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    while True:
        sock, _ = listener.accept()
        with sock, contextlib.suppress(OSError):  # reset by who has no memory to go on
            while sock.recv(65536):
                for piece in pieces:
                    sock.send(piece)


def count(outcomes):
    return {outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))}
'''
