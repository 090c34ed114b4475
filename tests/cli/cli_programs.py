"""Programs that end in every way a program can end."""

from __future__ import annotations

CHAIN = """
def low(x):
    return 1 / x

def high():
    try:
        low(0)
    except ZeroDivisionError as exc:
        raise KeyError("no such thing") from exc

try:
    high()
except KeyError:
    raise RuntimeError("while that was handled: \\u00e9")
"""

HOOK = """
import sys
def hook(kind, error, traceback):
    print("hook", kind.__name__, error, traceback.tb_frame.f_code.co_name,
          traceback.tb_next.tb_frame.f_code.co_name, error.__traceback__ is traceback,
          sys.last_value is error, sys.last_traceback is traceback, sys.excepthook is hook)
sys.excepthook = hook
def f():
    raise ValueError("mine")
f()
"""

BROKEN_HOOK = """
import sys
def hook(*args):
    raise LookupError("the hook")
sys.excepthook = hook
raise ValueError("the program")
"""

AT_EXIT = """
import atexit, sys, threading, time
atexit.register(lambda: print("atexit", "stdout not flushed before", end="", flush=False))
def work():
    time.sleep(0.1)
    print("thread done")
threading.Thread(target=work).start()
print("end of the program")
raise SystemExit(7)
"""

PICKLE = """
import pickle, sys
class Point:
    def __init__(self, x): self.x = x
if __name__ == "__main__":
    copy = pickle.loads(pickle.dumps(Point(3)))
    print(copy.x, type(copy) is Point, Point.__module__, sys.modules["__main__"].Point is Point)
"""

PROCESSES = """
import multiprocessing, sys
def square(x):
    return x * x
if __name__ == "__main__":
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(method, pool.map(square, [1, 2, 3]))
            pool.close()
            pool.join()
"""

NAMESPACE = """
import sys
print(sorted(globals()))
for name in ("__name__", "__file__", "__package__", "__spec__", "__doc__", "__cached__"):
    print(name, repr(globals().get(name)))
print(type(__loader__).__name__, __loader__.path, getattr(__loader__, "name", None))
print(sys.modules["__main__"].__dict__ is globals(), __builtins__)
print(sys.argv, sys.path)
"""

PROGRAMS = {
    "nothing": "",
    "namespace": NAMESPACE,
    "exit int": "import sys; sys.exit(3)",
    "exit none": "import sys; sys.exit(None)",
    "exit text": "import sys; print('out'); sys.exit('the reason')",
    "exit tuple": "raise SystemExit(1, 2)",
    "exit true": "import sys; sys.exit(True)",
    "exit negative": "import sys; sys.exit(-1)",
    "exit large": "import sys; sys.exit(256 + 5)",
    "exit subclass": "class E(SystemExit): pass\nraise E(9)",
    "quit": "quit(4)",
    "_exit": "import os; os._exit(5)",
    "error": "def f(x):\n    return g(x)\n\ndef g(x):\n    return x['a']\n\nf({})\n",
    "chain": CHAIN,
    "no value": "assert 1 == 2",
    "base exception": "class B(BaseException): pass\nraise B('b')",
    "raised again": "try:\n    1 / 0\nexcept Exception as e:\n    raise e.with_traceback(None)",
    "syntax": "print('never')\nx = (1,\n",
    "indentation": "if 1:\nprint()\n",
    "syntax in the middle": "x = 1\ny = 1 +* 2\n",
    "syntax at the end": "print(1)\n\n\nclass A:\n",
    "unknown encoding": "# coding: nope\nprint(1)\n",
    "import of a broken module": "open('b.py', 'w').write('x = (')\nimport b",
    "compile": "compile('x = (', '<text>', 'exec')",
    "import": "import nowhere.to.be_found",
    "interrupt": "raise KeyboardInterrupt",
    "interrupt with text": "def f():\n    raise KeyboardInterrupt('stop')\nf()",
    "signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "hook": HOOK,
    "broken hook": BROKEN_HOOK,
    "hook that exits": "import sys\nsys.excepthook = lambda *a: sys.exit(11)\n1 / 0",
    "deleted hook": "import sys\ndel sys.excepthook\n1 / 0",
    "no hook": "import sys\nsys.excepthook = None\n1 / 0",
    "at exit": AT_EXIT,
    "unraisable": "class D:\n    def __del__(self): 1 / 0\nD()\nprint('on')",
    "thread": "import threading\nt = threading.Thread(target=int, args='x')\nt.start()\nt.join()",
    "warning": "import warnings as w\nw.warn('careful')\nw.warn('old', DeprecationWarning)",
    "pickle": PICKLE,
    "processes": PROCESSES,
    "future flags": "def f(x: int) -> str: ...\nprint(f.__annotations__)",
    "encoding": "# coding: latin-1\nprint(ascii('\u00e9'))",
    "stdin": "import sys; print(repr(sys.stdin.read()))",
    "traceback module": "import traceback as t\ntry: 1 / 0\nexcept Exception: t.print_exc()",
}
