"""A progress bar on a terminal; elsewhere a line for each thing that begins."""

from __future__ import annotations

from typing import TextIO

WIDTH = 30


def can_draw(stream: TextIO) -> bool:
    """Whether the stream's encoding has the characters of our bars."""
    try:
        "█▓░─·".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


class Progress:
    """Counts steps up to a total. Draws only between measurements, never during one."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total = total
        self._stream = stream
        self._tty = stream.isatty()
        self._full, self._empty = ("█", "░") if can_draw(stream) else ("#", ".")
        self._done = 0
        self._text = ""

    def tell(self, text: str) -> None:
        """What happens now."""
        self._text = text
        if self._tty:
            self._draw()
        else:
            print(text, file=self._stream, flush=True)

    def step(self) -> None:
        """One step is done."""
        self._done += 1
        if self._tty:
            self._draw()

    def close(self) -> None:
        """Take the bar away."""
        if self._tty:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _draw(self) -> None:
        full = WIDTH * self._done // self._total
        bar = self._full * full + self._empty * (WIDTH - full)
        self._stream.write(f"\r\x1b[K{bar} {self._done:3}/{self._total} {self._text}")
        self._stream.flush()
