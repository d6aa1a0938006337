"""What keeps a stranger's photo from taking more memory or time than a function has.

Decoding holds MAX_MEMORY at most, beside what a warm function holds anyway: less than 300 MB in
all, measured on hostile files by `python -m benchmarks.hostile_images`.
"""

from __future__ import annotations

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
MAX_MEMORY: Final = 170_000_000
MAX_SIDE_BYTES: Final = 8 * 1024 * 1024
MAX_READS: Final = 200_000  # a PNG of 50 MB in libpng's pieces of 8 KB takes 26,000
MAX_SCANS: Final = 100  # programs write some ten; each takes up to 25 ms, be it of ten bytes

# Measured: bytes held for a pixel while it is decoded, and for a byte of the file.
_WEBP: Final = (15, 5)
_AVIF: Final = (16, 2)
# Other formats: a pixel is four bytes in Pillow, unless it is of one of these modes. The text
# that a PNG may carry is kept, too.
_PIXEL_BYTES: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2}
_PNG_OR_GIF_COPIES: Final = 2
_SCAN: Final = b"\xff\xda"  # a JPEG's marker

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

    Raises: UnreadableImageError for a WebP of too many pixels: opening it would already take
        memory for all of them.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        if size := webp_size(data[:30]):
            check_size("WEBP", size, data)
            _check_memory("WEBP", size, data, _held(_WEBP, size[0] * size[1], data))
    elif not is_avif(data):
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
        needed = int(pixels * (4 + _coefficient_bytes(image, data) * scale**2)) + len(data)
    elif form == "WEBP":
        needed = _held(_WEBP, pixels, data)
    elif form == "AVIF":
        needed = _held(_AVIF, pixels, data)
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
    """Let the process have at most MAX_MEMORY more while an AVIF is read; others are as they say.

    An AVIF names its size twice. Pillow's decoder believes the container, then decodes the
    stream inside: 1,287 bytes that say 100x100 took 205 MB for 12000x12000. Only the kernel
    stops it, and can do so on Linux alone; what is refused memory fails as any damaged photo.
    """
    if sys.platform != "linux" or not is_avif(data):
        yield
        return
    import resource  # noqa: PLC0415 (not everywhere)

    with _LIMITING:
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        in_use = 1024 * int(status.partition("VmData:")[2].split(maxsplit=1)[0])
        limits = [in_use - len(data) + MAX_MEMORY, *(one for one in (soft, hard) if one >= 0)]
        resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
        try:
            yield
        except MemoryError as error:
            most = f"{MAX_MEMORY // 10**6} MB of memory"
            raise UnreadableImageError(
                f"an AVIF that takes more than {most} to decode", reason="too much memory"
            ) from error
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


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


def _held(costs: tuple[int, int], pixels: int, data: bytes) -> int:
    return costs[0] * pixels + costs[1] * len(data)


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
