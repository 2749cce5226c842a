"""A picture of a page of ours, taken by the Chromium that is installed, if one is."""

import os
import shutil
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS_MAX = 30.0
LOAD_MS_MAX = 10_000
HEIGHT_MAX = 4_000
"""Chromium takes a picture of its window, not of the page: the window is taller than ours, and the rest is cut off."""
MARGIN = 24  # pixels that stay below the page's last line
_PNG = b"\x89PNG\r\n\x1a\n"


def chromium() -> str | None:
    """The path of a Chromium: the one that O2C_CHROMIUM names, or one on the path; None when there is none."""
    named = os.environ.get("O2C_CHROMIUM")
    return named or next((path for name in CHROMIUMS if (path := shutil.which(name))), None)


def take_picture(url: str, file: Path, width: int = 1280) -> bool:
    """Write a PNG of a whole page; whether there is one now. A picture is a courtesy: what goes wrong is no error."""
    browser = chromium()
    if browser is None:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [browser, "--headless=new", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        command += [f"--user-data-dir={profile}", f"--window-size={width},{HEIGHT_MAX}", f"--timeout={LOAD_MS_MAX}"]
        # Chromium refuses to be sandboxed for root; what it is shown here is our own page.
        command += ["--no-sandbox"] if os.geteuid() == 0 else []
        command += [f"--screenshot={file.absolute()}", url]
        try:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=SECONDS_MAX,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    if not file.exists():
        return False
    file.write_bytes(ended(file.read_bytes()))
    return True


def ended(png: bytes) -> bytes:
    """A PNG without the empty rows at its end, but for a margin; what is none, or of another kind, as it is.

    Rows are kept as they are encoded: a row depends on those above it alone, and empty rows are encoded alike.
    """
    chunks = _chunks(png)
    try:
        width, height, depth, colours, _, _, interlaced = struct.unpack(">IIBBBBB", dict(chunks)[b"IHDR"])
        size = 1 + width * {2: 3, 6: 4}[colours]
        pixels = zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT"))
    except (KeyError, struct.error, zlib.error):
        return png
    if depth != 8 or interlaced or len(pixels) != size * height:
        return png
    rows = height
    while rows > 1 and pixels[(rows - 2) * size : (rows - 1) * size] == pixels[-size:]:
        rows -= 1
    rows = min(rows + MARGIN, height)
    header = struct.pack(">II", width, rows) + chunks[0][1][8:]
    kept = [(b"IHDR", header), (b"IDAT", zlib.compress(pixels[: rows * size])), (b"IEND", b"")]
    return _PNG + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in kept
    )


def _chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """The parts of a PNG by kind; none for what is no PNG."""
    found, at = [], len(_PNG)
    while png.startswith(_PNG) and at + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, at)
        found.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    return found
