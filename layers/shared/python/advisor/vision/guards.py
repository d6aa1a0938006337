"""What keeps a stranger's photo from taking more memory or time than a function has.

Decoding holds MAX_MEMORY at most, beside what a warm function holds anyway: less than 300 MB in
all, measured on hostile files by `python -m benchmarks.hostile_images`.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.WebPImagePlugin import _get_size as webp_size  # private, of a Pillow that is pinned

from advisor.errors import UnreadableImageError

MAX_BYTES: Final = 50 * 1024 * 1024
MAX_PIXELS: Final = 40_000_000
MAX_MEMORY: Final = 162_000_000  # the pixels of 40 MP, and 2 MB
MAX_SIDE_BYTES: Final = 8 * 1024 * 1024
MAX_READS: Final = 200_000  # a PNG of 50 MB in libpng's pieces of 8 KB takes 26,000
# A camera writes one, of 64 KB at most; Pillow joins them, and takes 38 times that to read one tag.
MAX_EXIFS: Final = 16
MAX_SCANS: Final = 100  # programs write some ten; each takes up to 25 ms, be it of ten bytes

# Measured (docs/decisions/0018-photo-formats.md): bytes held for a pixel while it is decoded, and
# for a byte of the file. Every WebP, lossy or not, is decoded onto two canvases of four bytes a
# pixel, of which Pillow makes a copy; the decoder has a copy of the file, and Pillow one of what an
# extended file has besides pixels.
_WEBP_PIXEL: Final = 12.1
_WEBP_BYTE: Final = 2
_WEBP_OPENING: Final = 5  # times the file, before a pixel is there
# An AVIF's planes, and twice (in libavif and as Pillow's copy) what they become.
_AVIF_BYTE: Final = 1
_AVIF_REST: Final = 1
_AVIF_HEAD: Final = 65_536  # a camera's says all within 1,000 bytes; else the worst is assumed
# What tells how a stream within an AVIF is coded, and its bits there: (AV1-ISOBMFF, 2.3.3).
_AV1C: Final = re.compile(rb"av1C\x81.(.)", re.DOTALL)
_DEEP, _GREY, _HALF_ACROSS, _HALF_DOWN = 0x40, 0x10, 0x08, 0x04
_WORST: Final = _DEEP
# Other formats: a pixel is four bytes in Pillow, unless it is of one of these modes. The text
# that a PNG may carry is kept, too.
_PIXEL_BYTES: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2}
_PNG_OR_GIF_COPIES: Final = 2
_JPEG: Final = b"\xff\xd8"
_SCAN: Final = b"\xff\xda"  # a JPEG's marker
_EXIF: Final = b"Exif\0\0"  # and what its EXIF begins with

_LIMITING = threading.Lock()  # a limit belongs to the process


class MeteredFile(BytesIO):
    """A photo's bytes, for a decoder that must not read its millionth comment, too.

    Pillow keeps whatever a JPEG, PNG or GIF carries besides pixels, and reads it in steps of
    Python: MAX_SIDE_BYTES of that and MAX_READS steps are enough for any camera.
    in_pixels: the header is read; set by who has opened the image.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.in_pixels = False
        self._reads = self._side_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on.

        Raises: UnreadableImageError for the step or the byte that is too many.
        """
        data = super().read(size)
        self._reads += 1
        # Pixels are read in small pieces, one large comment in larger ones.
        if not self.in_pixels or len(data) > ImageFile.MAXBLOCK:
            self._side_bytes += len(data)
        if self._side_bytes > MAX_SIDE_BYTES:
            raise UnreadableImageError(
                f"more than {MAX_SIDE_BYTES} bytes besides its pixels", reason="too much besides"
            )
        if self._reads > MAX_READS:
            raise UnreadableImageError(f"more than {MAX_READS} pieces", reason="too much besides")
        return data


def photo_file(data: bytes) -> BytesIO:
    """The bytes as a file that Pillow can open without harm.

    Raises: UnreadableImageError for a WebP of too many pixels, or a JPEG of too much EXIF: opening
        it would already take memory for all of them.
    """
    if _is_webp(data):
        if size := webp_size(data[:30]):
            check_size("WEBP", size, data)
            _check_memory("WEBP", size, data, _webp_needs(size[0] * size[1], data))
    elif not is_avif(data):
        _check_exifs(data)
        return MeteredFile(data)
    return BytesIO(data)  # WebP and AVIF are read whole, at once


def check_size(form: str, size: tuple[int, int], data: bytes) -> None:
    """Refuse more than MAX_PIXELS.

    Raises: UnreadableImageError, saying what was received.
    """
    if size[0] * size[1] > MAX_PIXELS:
        raise UnreadableImageError(
            f"{received(form, size, data)}; at most {MAX_PIXELS} pixels are decoded",
            reason="too many pixels",
        )


def check_memory(image: Image.Image, size: tuple[int, int], data: bytes) -> None:
    """Refuse an opened (and drafted) image whose pixels would take more than MAX_MEMORY.

    size: as it was before the draft.
    Raises: UnreadableImageError, saying what was received.
    """
    pixels = image.width * image.height
    form = image.format or ""
    if isinstance(image, JpegImageFile):
        scale = image.decoderconfig[0] if image.decoderconfig else 1
        sides = sum(len(side) for _, side in image.applist)  # EXIF and profiles are joined, too
        pixel = 4 + _coefficient_bytes(image, data) * scale**2
        needed = int(pixel * pixels) + len(data) + 2 * sides
    elif form == "WEBP":
        needed = _webp_needs(pixels, data)
    elif form == "AVIF":
        needed = _held((_avif_pixel(image.mode, data), _AVIF_BYTE), pixels, data)
    else:
        needed = _held((_PIXEL_BYTES.get(image.mode, 4), _PNG_OR_GIF_COPIES), pixels, data)
    _check_memory(form, size, data, needed)


def check_scans(image: Image.Image, size: tuple[int, int], data: bytes) -> None:
    """Refuse an opened JPEG of more than MAX_SCANS.

    All pixels are gone through for each, whatever is in it: 300 KB took 90 s. What looks like a
    scan after the photo's end counts, too, since only the decoder knows where that is.
    Raises: UnreadableImageError, saying what was received.
    """
    if isinstance(image, JpegImageFile) and not _in_one_scan(image, data):
        scans = data.count(_SCAN)
        if scans > MAX_SCANS:
            raise UnreadableImageError(
                f"{received('JPEG', size, data)}, in {scans} scans; at most {MAX_SCANS} are read",
                reason="too many scans",
            )


@contextmanager
def bounded_memory(data: bytes) -> Iterator[None]:
    """Let the process have at most MAX_MEMORY more while a file is read that may need any amount.

    An AVIF names its size twice. Pillow's decoder believes the container, then decodes the
    stream inside: 1,287 bytes that say 100x100 took 205 MB for 12000x12000. A lossless WebP (or
    a lossy one's alpha) brings its own Huffman tables: 295 KB of 1024x1024 pixels with a set of
    them for each 4x4 took 382 MB. Only the kernel stops them, and can do so on Linux alone; what
    is refused memory fails as any damaged photo. The limit is the process's: where it has other
    threads, as in training, it is more, since they need memory, too, to read photos or to start.
    """
    if sys.platform != "linux" or not (is_avif(data) or (_is_webp(data) and _has_tables(data))):
        yield
        return
    import resource  # noqa: PLC0415 (not everywhere)

    with _LIMITING:
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        in_use = 1024 * int(status.partition("VmData:")[2].split(maxsplit=1)[0])
        limits = [in_use - len(data) + _granted(), *(one for one in (soft, hard) if one >= 0)]
        resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
        try:
            yield
        except MemoryError as error:
            most = f"{MAX_MEMORY // 10**6} MB of memory"
            form = "WEBP" if _is_webp(data) else "AVIF"
            raise UnreadableImageError(
                f"{form} of {len(data)} bytes, takes more than {most} to decode",
                reason="too much memory",
            ) from error
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _granted() -> int:
    """Bytes that the process may take while one photo is read; more with several threads."""
    threads = threading.active_count()
    return MAX_MEMORY if threads == 1 else 2 * MAX_MEMORY * (threads + (os.cpu_count() or 1))


def is_avif(data: bytes) -> bool:
    """Whether the bytes begin as an AVIF or one of its relatives does."""
    return data[4:8] == b"ftyp"


def received(form: str, size: tuple[int, int], data: bytes) -> str:
    """What came, in words: "PNG of 640x480 pixels, 12345 bytes"."""
    return f"{form} of {size[0]}x{size[1]} pixels, {len(data)} bytes"


def _check_memory(form: str, size: tuple[int, int], data: bytes, needed: int) -> None:
    if needed > MAX_MEMORY:
        raise UnreadableImageError(
            f"{received(form, size, data)}, would take {needed // 10**6} MB of memory to decode; "
            f"at most {MAX_MEMORY // 10**6} MB are used",
            reason="too much memory",
        )


def _check_exifs(data: bytes) -> None:
    if data[:2] == _JPEG and data.count(_EXIF) > MAX_EXIFS:
        raise UnreadableImageError(
            f"a JPEG of {len(data)} bytes, with EXIF in {data.count(_EXIF)} segments; at most"
            f" {MAX_EXIFS} are read",
            reason="too much besides",
        )


def _held(costs: tuple[float, int], pixels: int, data: bytes) -> int:
    return int(costs[0] * pixels) + costs[1] * len(data)


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def _has_tables(data: bytes) -> bool:
    """Whether a WebP has a lossless part; true of some that have none, too."""
    return b"VP8L" in data or b"ALPH" in data


def _webp_needs(pixels: int, data: bytes) -> int:
    a_byte = _WEBP_BYTE + (data[12:16] == b"VP8X")
    return max(_held((_WEBP_PIXEL, a_byte), pixels, data), _WEBP_OPENING * len(data))


def _avif_pixel(mode: str, data: bytes) -> float:
    """Bytes held for a pixel of an AVIF that is opened with this mode, by what its header says."""
    found = [match[0] for match in _AV1C.findall(data, 0, _AVIF_HEAD)] or [_WORST]
    sample = 2 if any(flags & _DEEP for flags in found) else 1
    chroma = max(_chroma(flags) for flags in found)  # the alpha's stream has none
    return sample * (1 + chroma + (mode == "RGBA")) + 2 * len(mode) + _AVIF_REST


def _chroma(flags: int) -> float:
    """Samples of colour for a pixel: none, or two in each 1x1, 2x1, 1x2 or 2x2 of them."""
    if flags & _GREY:
        return 0
    return 2 / ((2 if flags & _HALF_ACROSS else 1) * (2 if flags & _HALF_DOWN else 1))


def _coefficient_bytes(image: JpegImageFile, data: bytes) -> float:
    """Bytes for a pixel of the whole photo that libjpeg holds besides those it gives out.

    Nothing for a photo in one scan. Of a progressive one it keeps all coefficients, two bytes
    each, until the last scan has come.
    """
    if _in_one_scan(image, data):
        return 0
    sampled = [across * down for _, across, down, _ in image.layer]
    return 2 * sum(sampled) / max(sampled, default=1)


def _in_one_scan(image: JpegImageFile, data: bytes) -> bool:
    """Whether the first scan, whose header was read last, brings all of the photo."""
    end_of_header = image.fp.tell() if image.fp else 0
    scan = data.rfind(_SCAN, 0, end_of_header)
    components = data[scan + 4 : scan + 5]
    return scan >= 0 and components == bytes([image.layers]) and "progressive" not in image.info
