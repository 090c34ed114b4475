"""csrc/http/decode.c against the modules that encode: whole, in pieces, cut, corrupted, in chains.

Every byte behind its input and its output faults. Verdicts of corrupted bodies are Python's.
"""

from __future__ import annotations

import ctypes
import gzip
import random
import subprocess
import sys
import time
import zlib
from pathlib import Path

import brotli
import pytest
import support
from aiohttp.http_parser import DeflateBuffer
from decode_support import (
    ENCODERS,
    Decoder,
    build,
    coding_of,
    raw_deflate,
    zstd,
)

RNG = random.Random(1)
BODIES = {
    "empty": b"",
    "one": b"x",
    "text": b"".join(b"line %d of a text\n" % n for n in range(2000)),
    "noise": RNG.randbytes(150_000),
    "zeros": bytes(1_000_000),
    "eight": b"\x08\x1d\x08\x1d" * 50,
}
SHORT = b"the quick brown fox jumps over the lazy dog " * 3


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return build(tmp_path_factory.mktemp("decode"))


encoders = pytest.mark.parametrize("encoder", ENCODERS)


def split(data: bytes, rng: random.Random, most: int) -> list[bytes]:
    pieces, at = [], 0
    while at < len(data):
        n = rng.randint(0, most)  # empty ones too
        pieces.append(data[at : at + n])
        at += n
    return pieces


# ---- well-formed --------------------------------------------------------------------------------


@encoders
@pytest.mark.parametrize("body", BODIES)
def test_whole(library: ctypes.CDLL, encoder: str, body: str) -> None:
    encoded = ENCODERS[encoder](BODIES[body])
    for room in (1000, 65536):
        assert Decoder(library, coding_of(encoder), room=room).all([encoded]) == BODIES[body]


@encoders
@pytest.mark.parametrize("room", [1, 2, 7, 4096])
def test_byte_by_byte(library: ctypes.CDLL, encoder: str, room: int) -> None:
    encoded = ENCODERS[encoder](SHORT)
    pieces = [encoded[i : i + 1] for i in range(len(encoded))]
    assert Decoder(library, coding_of(encoder), room=room).all(pieces) == SHORT


@encoders
@pytest.mark.parametrize("seed", range(20))
def test_random_splits(library: ctypes.CDLL, encoder: str, seed: int) -> None:
    rng = random.Random(seed)
    body = BODIES["text"] + rng.randbytes(rng.randrange(5000)) + bytes(rng.randrange(50_000))
    pieces = split(ENCODERS[encoder](body), rng, rng.choice([3, 100, 5000]))
    decoder = Decoder(library, coding_of(encoder), room=rng.choice([13, 100, 5000]))
    assert decoder.all(pieces) == body


@encoders
def test_every_two_way_split(library: ctypes.CDLL, encoder: str) -> None:
    encoded = ENCODERS[encoder](SHORT)
    for at in range(len(encoded) + 1):
        pieces = [encoded[:at], encoded[at:]]
        assert Decoder(library, coding_of(encoder), room=50).all(pieces) == SHORT


def test_zlib_levels_and_windows(library: ctypes.CDLL) -> None:
    body = BODIES["text"]
    for level in range(10):
        for bits in (9, 12, 15):
            for coding, wbits in (("deflate", bits), ("gzip", 16 + bits), ("deflate", -bits)):
                coder = zlib.compressobj(level=level, wbits=wbits)
                encoded = coder.compress(body) + coder.flush()
                assert Decoder(library, coding).all([encoded]) == body


def test_gzip_header_fields(library: ctypes.CDLL) -> None:
    """RFC 1952 2.3: extra field, name, comment and the header's own checksum."""
    header = b"\x1f\x8b\x08\x1e" + bytes(6) + b"\x03\x00abc" + b"a name\0" + b"a comment\0"
    header += (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little")
    tail = zlib.crc32(SHORT).to_bytes(4, "little") + len(SHORT).to_bytes(4, "little")
    encoded = header + raw_deflate(SHORT) + tail
    for at in range(len(encoded)):
        assert Decoder(library, "gzip").all([encoded[:at], encoded[at:]]) == SHORT


def test_flushed_blocks_come_at_once(library: ctypes.CDLL) -> None:
    """A server that flushes, as one that streams events does: nothing waits for what follows."""
    for wbits, coding in ((31, "gzip"), (15, "deflate"), (-15, "deflate")):
        coder = zlib.compressobj(wbits=wbits)
        decoder = Decoder(library, coding)
        for n in range(5):
            event = b"event %d\n" % n
            encoded = coder.compress(event) + coder.flush(zlib.Z_SYNC_FLUSH)
            assert b"".join(decoder.feed(encoded)) == event
        decoder.close()
    br = brotli.Compressor()
    decoder = Decoder(library, "br")
    assert b"".join(decoder.feed(br.process(b"event") + br.flush())) == b"event"
    decoder.close()
    zs = zstd.ZstdCompressor()
    decoder = Decoder(library, "zstd")
    assert b"".join(decoder.feed(zs.compress(b"event", mode=zs.FLUSH_BLOCK))) == b"event"
    decoder.close()


# ---- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["gzip", "GZIP", "GZip", "x-gzip", "X-GZIP", " gzip\t", ",gzip,,", "identity, gzip"]
)
def test_names_of_gzip(library: ctypes.CDLL, line: str) -> None:
    assert Decoder(library, line).all([gzip.compress(SHORT)]) == SHORT


@pytest.mark.parametrize("line", ["Deflate", "BR", "Zstd"])
def test_names_in_any_case(library: ctypes.CDLL, line: str) -> None:
    assert Decoder(library, line).all([ENCODERS[line.lower()](SHORT)]) == SHORT


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        [" "],
        [","],
        ["identity"],
        ["compress"],
        ["gzip, foo"],
        ["foo", "gzip"],
        ["gzi"],
        ["gzipp"],
        ["g zip"],
        ["gz\xefp"],
        ["x-deflate"],
        ["br;q=1"],
    ],
)
def test_unknown_codings_pass(library: ctypes.CDLL, lines: list[str]) -> None:
    decoder = Decoder(library, *lines)
    assert decoder.passes and not decoder.refused


@pytest.mark.parametrize(
    ("name", "lacking"),
    [("br", "br (built without libbrotlidec)"), ("zstd", "zstd (built without libzstd)")],
)
def test_left_out(tmp_path: Path, name: str, lacking: str) -> None:
    """A build without a library says so of a body that came in its coding unasked, alone or in a
    chain; the others are decoded, and the name means that coding only."""
    library = build(tmp_path, lacking=name)
    encoded = ENCODERS[name](SHORT)
    for lines, body in [([name.upper()], encoded), ([f"{name}, gzip"], gzip.compress(encoded))]:
        with pytest.raises(ValueError) as caught:
            Decoder(library, *lines).all([body])
        assert str(caught.value) == f"Can not decode content-encoding: {lacking}"
    assert Decoder(library, name).all([]) == b""
    assert Decoder(library, lacking).passes and Decoder(library, name[:-1]).passes
    for other in ENCODERS.keys() - {name}:
        assert Decoder(library, coding_of(other)).all([ENCODERS[other](SHORT)]) == SHORT


# ---- chains -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_chains(library: ctypes.CDLL, seed: int) -> None:
    rng = random.Random(seed)
    body = BODIES[rng.choice(list(BODIES))]
    names = [rng.choice(list(ENCODERS)) for _ in range(rng.randint(2, 5))]
    encoded = body
    for name in names:
        encoded = ENCODERS[name](encoded)
    codings = [coding_of(name) for name in names]
    lines = [", ".join(codings)] if seed % 2 else codings
    decoder = Decoder(library, *lines, room=rng.choice([100, 20_000]))
    assert decoder.all(split(encoded, rng, rng.choice([10_000, 50_000]))) == body


def test_chain_of_six(library: ctypes.CDLL) -> None:
    for lines in ([", ".join(["gzip"] * 6)], ["gzip"] * 6, ["br"] * 1000):
        decoder = Decoder(library, *lines)
        assert decoder.refused
        assert decoder.error == "Can not decode content-encoding: more than 5 codings"
        decoder.close()


def test_chain_names_the_coding_that_fails(library: ctypes.CDLL) -> None:
    for broken, text in (
        (gzip.compress(b"not br, for it is a text"), "br"),
        (brotli.compress(SHORT), "gzip"),
    ):
        with pytest.raises(ValueError, match=f"^Can not decode content-encoding: {text}$"):
            Decoder(library, "br, gzip").all([broken])


# ---- members and frames -------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["gzip", "deflate", "zstd"])
def test_members(library: ctypes.CDLL, encoder: str) -> None:
    encode = ENCODERS[encoder]
    members = [b"one ", b"", b"two ", bytes(100_000), b"", b"", b"three"]
    encoded = b"".join(map(encode, members))
    for most in (1, 10, 100_000):
        pieces = split(encoded, random.Random(most), most)
        assert Decoder(library, encoder).all(pieces) == b"".join(members)


@pytest.mark.parametrize("encoder", ["gzip", "deflate", "zstd"])
def test_many_members(library: ctypes.CDLL, encoder: str) -> None:
    """More than the cap, each with something in it: bgzip makes such files."""
    encoded = b"".join(ENCODERS[encoder](b"%d" % n) for n in range(3000))
    assert Decoder(library, encoder).all([encoded]) == b"".join(b"%d" % n for n in range(3000))


@pytest.mark.parametrize("encoder", ["gzip", "deflate", "zstd"])
def test_empty_members_are_capped(library: ctypes.CDLL, encoder: str) -> None:
    empty = ENCODERS[encoder](b"")
    end = ENCODERS[encoder](b"end")
    assert Decoder(library, encoder).all([empty * 1024, end]) == b"end"
    assert Decoder(library, encoder).all([empty * 1000, end] * 3) == b"end" * 3
    for pieces in ([empty * 1025 + end], [empty] * 1026):
        with pytest.raises(ValueError, match=f"Can not decode content-encoding: {encoder}"):
            Decoder(library, encoder).all(pieces)


def test_zstd_skippable_frames(library: ctypes.CDLL) -> None:
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    encoded = skippable + zstd.compress(b"a") + skippable + zstd.compress(b"b")
    for most in (1, 1000):
        pieces = split(encoded, random.Random(1), most)
        assert Decoder(library, "zstd").all(pieces) == b"ab"


def test_zstd_window(library: ctypes.CDLL) -> None:
    """RFC 9659: a window of more than 8 MiB is refused."""
    log = zstd.CompressionParameter.window_log
    for bits, well in ((23, True), (24, False), (27, False)):
        coder = zstd.ZstdCompressor(options={log: bits})
        encoded = coder.compress(bytes(100)) + coder.flush()
        if well:
            assert Decoder(library, "zstd").all([encoded]) == bytes(100)
        else:
            with pytest.raises(ValueError, match="zstd"):
                Decoder(library, "zstd").all([encoded])


@encoders
def test_garbage_behind(library: ctypes.CDLL, encoder: str) -> None:
    encoded = ENCODERS[encoder](SHORT)
    for pieces in ([encoded + b"garbage \xff"], [encoded, b"garbage \xff"]):
        with pytest.raises(ValueError, match=f"^Can not decode .*: {coding_of(encoder)}$"):
            Decoder(library, coding_of(encoder)).all(pieces)


# ---- cut short, corrupted -----------------------------------------------------------------------


@encoders
def test_cut_short(library: ctypes.CDLL, encoder: str) -> None:
    encoded = ENCODERS[encoder](SHORT)
    for n in range(1, len(encoded)):
        decoder = Decoder(library, coding_of(encoder), room=32)
        out = b"".join(decoder.feed(encoded[:n]))
        assert SHORT.startswith(out)
        for _ in range(2):  # it stays an error
            with pytest.raises(ValueError, match=f"^Can not decode .*: {coding_of(encoder)}$"):
                decoder.finish()
        decoder.close()


@encoders
def test_nothing_at_all(library: ctypes.CDLL, encoder: str) -> None:
    """A response without a body may name a coding."""
    assert Decoder(library, coding_of(encoder)).all([]) == b""
    assert Decoder(library, coding_of(encoder)).all([b"", b""]) == b""


def python_verdict(coding: str, data: bytes) -> bytes | None:
    """What the module makes of all of `data`, None where it refuses it or it is cut short."""
    try:
        if coding == "br":
            decoder = brotli.Decompressor()
            out = decoder.process(data)
            return out if decoder.is_finished() else None
        if coding == "zstd":
            return zstd.decompress(data, options={zstd.DecompressionParameter.window_log_max: 23})
        bits = 31 if coding == "gzip" else 15 if data[0] & 15 == 8 else -15
        out = b""
        while data:
            inflater = zlib.decompressobj(bits)
            out += inflater.decompress(data)
            if not inflater.eof:
                return None
            data = inflater.unused_data
        return out
    except (zlib.error, brotli.error, zstd.ZstdError):
        return None


@encoders
def test_every_bit_flipped(library: ctypes.CDLL, encoder: str) -> None:
    coding = coding_of(encoder)
    encoded = ENCODERS[encoder](SHORT)
    refused = 0
    for bit in range(8 * len(encoded)):
        broken = bytearray(encoded)
        broken[bit // 8] ^= 1 << bit % 8
        for pieces in ([bytes(broken)], [bytes(broken[i : i + 1]) for i in range(len(broken))]):
            verdict = None
            try:
                verdict = Decoder(library, coding, room=64).all(pieces)
            except ValueError:
                refused += 1
            allowed = [python_verdict(coding, bytes(broken))]
            if coding == "zstd":  # one version of libzstd sees more than another
                allowed.append(SHORT)
            assert verdict in allowed, bit
    assert refused > len(encoded)


@encoders
def test_noise(library: ctypes.CDLL, encoder: str) -> None:
    coding = coding_of(encoder)
    for seed in range(300):
        rng = random.Random(seed)
        data = rng.randbytes(rng.randint(1, 300))
        if seed % 2:  # past the header
            data = ENCODERS[encoder](SHORT)[:10] + data
        try:
            decoded = Decoder(library, coding, room=100).all(split(data, rng, 50))
        except ValueError:
            decoded = None
        if coding != "zstd":  # one version of libzstd sees more than another
            assert decoded == python_verdict(coding, data)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_error_texts_are_aiohttps(library: ctypes.CDLL, coding: str) -> None:
    class Out:
        total_compressed_bytes: int | None = None
        _low_water = 2**16

        def feed_data(self, data: bytes, size: int) -> None:
            pass

    broken = ENCODERS[coding](SHORT)[: 2 if coding == "deflate" else 8] + b"\xff" * 50
    with pytest.raises(Exception, match="Can not decode") as theirs:
        DeflateBuffer(Out(), coding).feed_data(broken, len(broken))  # type: ignore[arg-type]
    with pytest.raises(ValueError) as ours:
        Decoder(library, coding).all([broken])
    assert str(theirs.value).endswith(f"  {ours.value}")


# ---- cost ---------------------------------------------------------------------------------------

BOMB = """
import resource, sys
sys.path[:0] = sys.argv[1:3]
import ctypes
from pathlib import Path
from decode_support import ENCODERS, Decoder, build
library = build(Path(sys.argv[3]))
codings = sys.argv[4].split()
bomb = bytes(1 << 28)
for coding in codings:
    bomb = ENCODERS[coding](bomb)
decoder = Decoder(library, ", ".join(codings), room=1 << 16)
list(decoder.feed(ENCODERS["gzip"](b"")) if codings[-1] == "gzip" else [])
del decoder
Path("/proc/self/clear_refs").write_text("5")
before = resource.getrusage(resource.RUSAGE_SELF)
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
start = peak()
decoder = Decoder(library, ", ".join(codings), room=1 << 16)
total = sum(map(len, decoder.feed(bomb)))
decoder.finish()
print(len(bomb), total, peak() - start)
"""


@pytest.mark.once
@pytest.mark.parametrize("codings", ["gzip", "deflate", "br", "zstd", "gzip gzip", "zstd br gzip"])
def test_bombs(codings: str, tmp_path: Path) -> None:
    """256 MiB of zeros in at most 256 KiB: what it takes to decode them is bounded."""
    command = [
        sys.executable,
        "-c",
        BOMB,
        str(Path(__file__).parent),
        str(Path(__file__).parents[1]),
    ]
    done = subprocess.run(
        [*command, str(tmp_path), codings],
        env=support.frugal(),
        check=True,
        capture_output=True,
        text=True,
    )
    size, total, grown = map(int, done.stdout.split())
    assert size < 300_000
    assert total == 1 << 28
    # KiB. The windows: br 16 MiB, zstd 8 MiB.
    assert grown < (40_000 if "br" in codings else 20_000 if "zstd" in codings else 3000)


@pytest.mark.once
@pytest.mark.parametrize("encoder", ["gzip", "zstd"])
def test_members_take_linear_time(library: ctypes.CDLL, encoder: str) -> None:
    member = ENCODERS[encoder](b"x")

    def cpu(n: int) -> float:
        encoded = member * n
        start = time.process_time()
        assert sum(map(len, Decoder(library, encoder, room=65536).feed(encoded))) == n
        return time.process_time() - start

    small, large = cpu(1500), cpu(15_000)
    assert large < 100 * small + 0.5  # quadratic: 100 times, and seconds
