"""Results, their JSON, tables, charts and the page made of them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks import docs, registry, report, results, svg
from benchmarks.results import CaseResult, PeerResult, Run


def echo_case(scale: float = 1.0) -> CaseResult:
    return CaseResult(
        "echo/protocol_1k_10c",
        "round trip",
        "echo of 1 KiB",
        "cpu",
        limit="C",
        peers={
            "asyncio": PeerResult([30_000.0, 31_000.0, 32_000.0], [30e3, 31e3, 32e3]),
            "uvolt": PeerResult(
                [5000.0 * scale, 5100.0 * scale, 5200.0 * scale],
                [150e3, 151e3, 152e3],
                {"p50_us": 60.0},
                1800.0,
                2.11,
                {"read": 1.0},
            ),
            "gone": PeerResult(error="No module named 'gone'"),
            "C": PeerResult([4000.0, 4000.0, 4000.0], [200e3, 200e3, 200e3]),
        },
    )


def scale_cases() -> list[CaseResult]:
    return [
        CaseResult(
            f"scale/timers_{x}",
            "timer",
            f"timers: {x:,}",
            "cpu",
            series="scale/timers",
            x=x,
            peers={
                "uvolt": PeerResult([100.0 + x, 110.0 + x]),
                "asyncio": PeerResult([900.0 + 2 * x, 950.0 + 2 * x]),
            },
        )
        for x in (10, 1000, 100_000)
    ]


def make_run(scale: float = 1.0) -> Run:
    machine = {"cpu": "Test & Co <1>", "cores": 2, "system": "Linux"}
    run = Run("2026-11-21T11:00:00+00:00", machine, {"python": "3.11"}, {"rounds": 3})
    run.cases = [echo_case(scale), *scale_cases()]
    return run


@pytest.mark.parametrize(
    ("value", "metric", "shown"),
    [
        (81.94, "cpu", "81.9 ns"),
        (999.0, "cpu", "999 ns"),
        (1440.0, "cpu", "1.44 us"),
        (37_400_000.0, "wall", "37.4 ms"),
        (2.5e9, "wall", "2.50 s"),
        (1019.4, "bytes", "1,019 B"),
    ],
)
def test_quantity(value: float, metric: str, shown: str) -> None:
    assert report.quantity(value, metric) == shown


def test_the_limit_is_no_competitor() -> None:
    case = echo_case()
    assert case.fastest() == "uvolt"
    assert case.ratio("asyncio", "uvolt") == pytest.approx(31 / 5.1)
    assert case.ratio("uvolt", "C") == pytest.approx(1.275)
    assert case.ratio("gone", "uvolt") is None
    assert report.ordered(case) == ["C", "uvolt", "asyncio", "gone"]


def test_table_shows_ratios_counts_and_the_error_of_a_missing_peer() -> None:
    lines = report.case_table(echo_case()).splitlines()
    by_peer = {line.split()[0]: line for line in lines[2:]}
    cells = by_peer["uvolt"].split()
    assert cells[:7] == ["uvolt", "5.00", "us", "5.10", "us", "2%", "151,000"]
    assert cells[7:] == ["1.00", "1.27", "1,800", "2.11"]
    assert by_peer["gone"].split(maxsplit=2) == ["gone", "-", "No module named 'gone'"]


def test_table_warns_of_a_wide_spread() -> None:
    case = echo_case()
    assert "too wide" not in report.case_table(case)
    case.peers["uvolt"].values = [5000.0, 9000.0, 5000.0, 9500.0]
    table = report.case_table(case)
    assert "!" in table
    assert "the spread of uvolt is too wide to tell" in table


def test_comparison_marks_only_what_moved() -> None:
    slower, same = make_run(1.3), make_run()
    assert report.comparison(make_run(), same) == []
    assert report.comparison(slower, same) == ["echo/protocol_1k_10c uvolt: slower +30%"]
    assert "<- slower +30%" in report.terminal(slower, same)
    slower.cases[0].peers["uvolt"].instructions = 1900.0
    moved = report.comparison(slower, same)
    assert moved == ["echo/protocol_1k_10c uvolt: slower +30%, instructions +5.6%"]


def test_json_round_trip(tmp_path: Path) -> None:
    run = make_run()
    path = tmp_path / "deep" / "run.json"
    results.save(run, path)
    assert results.load(path) == run
    assert list(path.parent.iterdir()) == [path]


def test_foreign_json_is_refused() -> None:
    with pytest.raises(ValueError, match="format"):
        results.parse("[]")
    with pytest.raises(ValueError, match="format"):
        results.parse('{"format": 99}')


def test_machine_and_versions_are_recorded() -> None:
    run = results.new_run({}, ["pytest", "no-such-distribution-of-ours"])
    assert run.machine["cores"] >= 1
    assert run.versions["pytest"] == pytest.__version__
    assert run.versions["no-such-distribution-of-ours"] == "-"


def charts_of(run: Run) -> dict[str, str]:
    return docs.charts(run)


def test_charts_are_well_formed_and_drawn_to_scale() -> None:
    charts = charts_of(make_run())
    assert sorted(charts) == ["echo.svg", "scale.timers.svg"]
    bars = ElementTree.fromstring(charts["echo.svg"])
    name = "{http://www.w3.org/2000/svg}"
    widths = sorted(float(r.get("width", "0")) for r in bars.iter(f"{name}rect"))[:-1]
    assert len(widths) == 3
    assert widths[-1] / widths[-2] == pytest.approx(31 / 5.1, rel=0.01)
    lines = ElementTree.fromstring(charts["scale.timers.svg"])
    assert len(list(lines.iter(f"{name}polyline"))) == 2
    assert len(list(lines.iter(f"{name}circle"))) == 6


def test_a_bar_that_would_dwarf_the_others_is_cut_off() -> None:
    case = echo_case()
    case.peers["asyncio"] = PeerResult([4000.0 * 100])
    chart = svg.bars("t", [case])
    assert "\u00bb 400 us" in chart
    assert chart.count("\u00bb") == 1
    widths = [float(w) for w in re.findall(r"width='([\d.]+)' height='14'", chart)]
    assert widths[0] == pytest.approx(max(widths) / svg.CLIP, rel=0.01)


def test_charts_of_nothing() -> None:
    empty = echo_case()
    empty.peers = {"gone": PeerResult(error="<gone> & away")}
    for chart in (svg.bars("t", [empty]), svg.lines("t", [empty])):
        ElementTree.fromstring(chart)


def test_page_holds_every_case_and_its_charts(tmp_path: Path) -> None:
    run = make_run()
    written = docs.write(run, tmp_path)
    page = (tmp_path / "performance.md").read_text()
    for case in run.cases:
        assert f"### `{case.name}`" in page
    for path in written[1:]:
        assert f"(charts/{path.name})" in page
    assert "gone: No module named 'gone'" in page
    assert "| `echo/protocol_1k_10c` | 5.10 us |" in page


def test_the_page_in_the_repository_is_made_from_its_json() -> None:
    run = results.load(docs.DOCS / "performance.json")
    assert (docs.DOCS / "performance.md").read_text() == docs.render(
        run, "charts", docs.checks_text()
    )
    for name, chart in docs.charts(run).items():
        assert (docs.DOCS / "charts" / name).read_text() == chart


def test_registry_names_the_cases_that_other_issues_name() -> None:
    for name in (
        "micro/call_soon_chain",
        "micro/call_soon_fanout",
        "micro/call_later_cancel",
        "micro/call_later_fire",
        "micro/call_soon_threadsafe",
        "micro/sleep0",
        "micro/future_wake",
        "micro/gather",
        "micro/wait_for",
        "micro/queue",
        "micro/semaphore",
        "micro/run_in_executor",
        "micro/getaddrinfo_literal",
        "micro/sock_pingpong",
        "micro/udp_pingpong",
        "micro/connect_close",
        "micro/subprocess",
        "micro/add_reader_churn",
        "echo/protocol_1k_10c",
        "echo/buffered_10k_500c",
        "echo/streams_100k_1c",
        "echo/sock_1k_10c",
        "http/tls_13b",
        "http/tls_100kb",
    ):
        assert name in registry.CASES


def test_select() -> None:
    assert [case.name for case in registry.select(["micro/gather"])] == ["micro/gather"]
    assert len(registry.select(["start"])) == 3
    assert {c.size for c in registry.select(["echo/*_10k_1c"])} == {10240}
    with pytest.raises(KeyError, match="no case matches 'micro/nothing'"):
        registry.select(["micro/nothing"])
