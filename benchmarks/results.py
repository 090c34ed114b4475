"""The results of a run: what was measured, on which machine, with which versions; as JSON."""

from __future__ import annotations

import datetime
import importlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import peers, stats

FORMAT = 1


@dataclass
class PeerResult:
    """What one peer did in one case; `error` alone if it could not do it."""

    values: list[float] = field(default_factory=list)  # a round each, nanoseconds or bytes
    rates: list[float] = field(default_factory=list)
    extra: dict[str, float] = field(default_factory=dict)  # medians over the rounds
    instructions: float | None = None
    syscalls: float | None = None
    syscall_names: dict[str, float] = field(default_factory=dict)
    error: str = ""

    @property
    def summary(self) -> stats.Summary | None:
        return stats.summarize(self.values) if self.values else None

    @property
    def rate(self) -> float | None:
        return stats.median(self.rates) if self.rates else None


@dataclass
class CaseResult:
    name: str
    unit: str
    about: str
    metric: str
    limit: str = ""
    series: str = ""
    x: int = 0
    peers: dict[str, PeerResult] = field(default_factory=dict)

    def measured(self) -> dict[str, PeerResult]:
        return {name: result for name, result in self.peers.items() if result.values}

    def fastest(self) -> str | None:
        """The peer with the lowest median, the limit in C left out."""
        able = {k: v for k, v in self.measured().items() if k != self.limit}
        return min(able, key=lambda name: stats.median(able[name].values), default=None)

    def ratio(self, peer: str, reference: str | None) -> float | None:
        """How many times the reference's cost a peer's is, paired round by round."""
        measured = self.measured()
        if reference is None or peer not in measured or reference not in measured:
            return None
        return stats.paired_ratio(measured[peer].values, measured[reference].values)


@dataclass
class Run:
    when: str
    machine: dict[str, Any]
    versions: dict[str, str]
    settings: dict[str, Any]
    cases: list[CaseResult] = field(default_factory=list)

    def case(self, name: str) -> CaseResult | None:
        return next((case for case in self.cases if case.name == name), None)


def dump(run: Run) -> str:
    return json.dumps({"format": FORMAT, **asdict(run)}, indent=1) + "\n"


def save(run: Run, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(dump(run))
    partial.replace(path)


def parse(text: str) -> Run:
    """The run of a JSON text; ValueError if it is not one of ours."""
    data = json.loads(text)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f"not results of format {FORMAT}")
    cases = []
    for raw in data["cases"]:
        able = {name: PeerResult(**peer) for name, peer in raw.pop("peers").items()}
        cases.append(CaseResult(**raw, peers=able))
    return Run(data["when"], data["machine"], data["versions"], data["settings"], cases)


def load(path: Path) -> Run:
    return parse(path.read_text())


def new_run(settings: dict[str, Any], distributions: Iterable[str]) -> Run:
    now = datetime.datetime.now(datetime.timezone.utc)
    return Run(now.isoformat(timespec="seconds"), machine(), versions(distributions), settings)


def machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
    }


def versions(distributions: Iterable[str]) -> dict[str, str]:
    found = {"python": f"{platform.python_implementation()} {platform.python_version()}"}
    found["compiler of python"] = platform.python_compiler()
    for distribution in sorted({d for d in distributions if d}):
        found[distribution] = peers.version(distribution) or "-"
    found["libuv"] = _output(["pkg-config", "--modversion", "libuv"])
    try:
        uvolt = importlib.import_module("uvolt")
    except ImportError:
        pass
    else:  # it may run from a checkout, without metadata
        found["uvolt"] = uvolt.__version__
        found["libuv of uvolt"] = uvolt.libuv_version
    found["gcc"] = _output([os.environ.get("CC", "cc"), "-dumpfullversion"])
    return found


def _output(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "-"
    return done.stdout.strip()
