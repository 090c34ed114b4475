"""``python -m uvolt``: the same as the console script ``uvolt``."""

from __future__ import annotations

import sys

from uvolt.cli import main

if __name__ == "__main__":
    sys.exit(main())
