"""The public suffix list: domains below which anyone may register one: com, co.uk, github.io.

A cookie for such a domain would go to everyone in it, so there is none (RFC 6265, 5.3, 5). The list
is that of the package publicsuffixlist, read when it is first needed; the algorithm is that of
https://github.com/publicsuffix/list/wiki/Format. The package's own reader is not used: it takes ten
times as long, for which a loop would stand still.
"""

from __future__ import annotations

import functools
import warnings

__all__ = ("is_public_suffix", "registrable_domain")


@functools.cache
def _rules() -> frozenset[str]:
    """All rules: "co.uk", "*.ck", "!www.ck", in Unicode. The file's comments are in it, too: they
    have slashes, so they match no domain."""
    try:
        from publicsuffixlist import PSLFILE

        with open(PSLFILE, encoding="utf-8") as file:
            return frozenset(file.read().split("\n"))
    except (ImportError, OSError) as exc:  # an incomplete bundle: better than to fail a request
        warnings.warn(
            f"uvolt.http finds no public suffix list, so cookies for co.uk are kept: {exc}",
            RuntimeWarning,
            stacklevel=4,
        )
        return frozenset()


def _label(label: str) -> str:
    """A label in Unicode, lower case."""
    label = label.lower()
    if label.startswith("xn--"):
        try:
            return label[4:].encode("ascii").decode("punycode")
        except UnicodeError:
            return label
    return label


def _suffix_length(domain: str) -> int:
    """How many labels of a domain are its public suffix; one at least: the rule "*"."""
    rules = _rules()
    labels = [_label(label) for label in domain.split(".")]
    longest = 1
    for count in range(1, len(labels) + 1):
        name = ".".join(labels[-count:])
        if f"!{name}" in rules:
            return count - 1
        _, _, parent = name.partition(".")
        if name in rules or (parent and f"*.{parent}" in rules):
            longest = count
    return longest


@functools.lru_cache(maxsize=1024)
def is_public_suffix(domain: str) -> bool:
    """Whether anyone may register below a domain. True for a name of one label that is not listed,
    and for what is no domain (an empty label)."""
    labels = domain.split(".")
    # No rule is that long; who asks for a thousand labels waits no longer for it.
    return "" in labels or (len(labels) <= 16 and _suffix_length(domain) == len(labels))


def registrable_domain(domain: str) -> str | None:
    """The part of a domain that someone has registered, in lower case: the public suffix and a
    label more. None for a public suffix."""
    labels = domain.lower().split(".")
    if "" in labels:
        return None
    count = _suffix_length(".".join(labels[-16:])) + 1
    return ".".join(labels[-count:]) if len(labels) >= count else None
