"""The security matrix: a module for each class of docs/security.md. What they share is beside."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
