"""The public suffix list: its own test cases, and what a jar does with it."""

from __future__ import annotations

import builtins
import re
from pathlib import Path
from typing import Any

import publicsuffixlist
import pytest
from yarl import URL

from uvolt.http import publicsuffix
from uvolt.http.cookiejar import CookieJar
from uvolt.http.publicsuffix import is_public_suffix, registrable_domain

_case = re.compile(r"checkPublicSuffix\((?:'([^']*)'|null), (?:'([^']*)'|null)\);").match


def cases() -> list[tuple[str, str | None]]:
    """The list's test cases (github.com/publicsuffix/list, tests/test_psl.txt); the package that
    the list comes from has them, too."""
    text = (Path(publicsuffixlist.__file__).parent / "test_psl.txt").read_text("utf-8")
    found = [match.groups() for line in text.splitlines() if (match := _case(line))]
    assert len(found) == 78
    return [(domain or "", expected) for domain, expected in found]


@pytest.mark.parametrize(("domain", "expected"), cases())
def test_case_of_the_list(domain: str, expected: str | None) -> None:
    assert registrable_domain(domain) == expected
    if domain:
        assert is_public_suffix(domain) == (expected is None)


@pytest.mark.parametrize("seed", ["com", "co.uk", "github.io", "kobe.jp", "ck", "xn--p1ai"])
def test_agrees_with_the_package(seed: str) -> None:
    theirs = publicsuffixlist.PublicSuffixList()
    for domain in (f"b.{seed}", f"a.b.{seed}", f"city.{seed}", f"www.{seed}", f"x.city.{seed}"):
        assert registrable_domain(domain) == theirs.privatesuffix(domain)


def test_no_domain_is_too_long() -> None:
    long = ".".join(["a"] * 100_000)
    assert not is_public_suffix(f"{long}.com")
    assert registrable_domain(f"{long}.com") == "a.com"


@pytest.mark.parametrize(
    ("host", "domain", "expected"),
    [
        ("www.example.com", "com", None),
        ("a.co.uk", "co.uk", None),
        ("a.co.uk", "CO.uk", None),
        ("a.co.uk", ".co.uk", None),
        ("a.b.c.kobe.jp", "c.kobe.jp", None),
        ("me.github.io", "github.io", None),
        ("xn--85x722f.xn--55qx5d.cn", "xn--55qx5d.cn", None),
        ("a.intranet", "intranet", None),
        # A suffix may have cookies of its own, for itself alone (RFC 6265, 5.3, 5).
        ("github.io", "github.io", "github.io"),
        ("localhost", "localhost", "localhost"),
    ],
)
def test_no_cookie_for_everyone_in_a_public_suffix(
    host: str, domain: str, expected: str | None
) -> None:
    for put in ("headers", "morsels"):
        jar = CookieJar()
        url = URL(f"https://{host}/")
        if put == "headers":
            jar.update_cookies_from_headers([f"a=1; Domain={domain}"], url)
        else:
            source = CookieJar()
            source.update_cookies_from_headers(["a=1"], url)
            morsel = next(iter(source)).copy()
            morsel["domain"] = domain
            jar.update_cookies({"a": morsel}, url)
        assert [key[0] for key in jar.host_only_cookies] == ([expected] if expected else [])
        assert len(jar) == bool(expected)
        assert not jar.filter_cookies(URL(f"https://other.{domain.lower().lstrip('.')}/"))


def test_the_list_is_not_read_for_nothing() -> None:
    publicsuffix._rules.cache_clear()
    publicsuffix.is_public_suffix.cache_clear()
    jar = CookieJar()
    jar.update_cookies_from_headers(["a=1; Path=/; Secure"], URL("https://example.com/"))
    jar.update_cookies({"b": "2"})
    assert len(jar) == 2 and publicsuffix._rules.cache_info().currsize == 0
    jar.update_cookies_from_headers(["a=1; Domain=example.com"], URL("https://example.com/"))
    assert publicsuffix._rules.cache_info().currsize == 1


def test_a_program_without_the_list_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    publicsuffix._rules.cache_clear()
    publicsuffix.is_public_suffix.cache_clear()
    true_open = builtins.open

    def no_list(file: Any, *args: Any, **kwargs: Any) -> Any:
        if str(file).endswith(".dat"):
            raise FileNotFoundError(file)
        return true_open(file, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", no_list)
    with pytest.warns(RuntimeWarning, match="no public suffix list"):
        assert is_public_suffix("com")  # what is one label always is
    assert not is_public_suffix("example.com")
    publicsuffix._rules.cache_clear()
    publicsuffix.is_public_suffix.cache_clear()
