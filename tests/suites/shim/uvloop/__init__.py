"""What `import uvloop` gives uvloop's own tests: the loop under test under uvloop's names.

UVLOOP_SHIM_LOOP names it ("uvolt", or "asyncio" for comparison), UVLOOP_SHIM_SOURCE the folder of
uvloop's source distribution, whose `_testbase` is used as it is. The child processes that the tests
start import it, too.
"""

from __future__ import annotations

import asyncio
import os

_SOURCE = os.environ["UVLOOP_SHIM_SOURCE"]
__path__.append(os.path.join(_SOURCE, "uvloop"))
__version__ = "0.23.0"

if os.environ["UVLOOP_SHIM_LOOP"] == "asyncio":
    Loop = new_event_loop = asyncio.SelectorEventLoop
    EventLoopPolicy = asyncio.DefaultEventLoopPolicy

    def install() -> None:
        pass

    def run(main, *, loop_factory=new_event_loop, debug=None, **kwargs):
        return asyncio.run(main, debug=debug, **kwargs)
else:
    from uvolt import EventLoopPolicy, Loop, install, new_event_loop, run

__all__ = ["EventLoopPolicy", "Loop", "install", "new_event_loop", "run"]
