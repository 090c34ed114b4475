"""Libraries that stand on aiohttp, unchanged, with uvolt.http's engine in aiohttp's names."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
