"""decode(): any bytes give the model's input or one clear error."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL import __version__ as pillow_version

from advisor.errors import UnreadableImageError
from advisor.vision import colours, guards, images
from advisor.vision.images import PREPROCESSING_ID, SIZE, decode, image_id, read_file
from infra.layers import PROCESS
from tests.images import icc
from tests.images.make import SUFFIXES, exif_of_one_tag, many_tables_webp, png_chunk

PHOTOS = Path(__file__).parents[2] / "images"
GOLDEN = PHOTOS / "golden"
NAMES = sorted(p.name for p in PHOTOS.iterdir() if p.suffix in SUFFIXES)
# Pillow also warns of damage that it can live with, such as broken EXIF data.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def read(name: str) -> bytes:
    return (PHOTOS / name).read_bytes()


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_decodes_every_kind_to_its_golden_array(name: str) -> None:
    with Image.open(GOLDEN / f"{name}.png") as golden:
        assert np.array_equal(decode(read(name)), np.asarray(golden))


def test_there_is_a_golden_array_for_every_photo() -> None:
    assert sorted(path.name for path in GOLDEN.iterdir()) == [f"{name}.png" for name in NAMES]


@pytest.mark.parametrize(
    "name", ["progressive.jpg", "rgb.png", "rgb16.png", "rgb.webp", "rgb.avif", "ycck.jpg"]
)
def test_the_format_hardly_matters(name: str) -> None:
    difference = decode(read(name)).astype(int) - decode(read("rgb.jpg"))
    assert np.abs(difference).mean() < 8


@pytest.mark.parametrize(
    ("animated", "still"),
    [
        ("animated.gif", "palette.png"),
        ("animated.png", "rgb.png"),
        ("animated.webp", "rgb.webp"),
        ("animated.avif", "rgb.avif"),
    ],
)
def test_only_the_first_frame_of_an_animation_counts(animated: str, still: str) -> None:
    difference = decode(read(animated)).astype(int) - decode(read(still))
    assert np.abs(difference).mean() < 3  # an animation is encoded with other settings


def test_a_wide_gamut_photo_keeps_its_colours() -> None:
    """Display P3's own pure red lies outside sRGB, and sRGB's red is a duller one of its own."""
    red = Image.new("RGB", (20, 20), (234, 51, 35))  # sRGB's red, in Display P3
    data = encode(red, "PNG", icc_profile=icc.DISPLAY_P3)
    assert np.abs(decode(data).astype(int) - (255, 0, 0)).max() <= 2


def test_a_transparent_grey_photo_keeps_what_its_profile_means() -> None:
    opaque = encode(Image.new("L", (20, 20), 55), "PNG", icc_profile=icc.LINEAR_GREY)
    transparent = encode(Image.new("LA", (20, 20), (55, 255)), "PNG", icc_profile=icc.LINEAR_GREY)
    assert decode(opaque).mean() > 100  # as light, by an even curve
    assert np.array_equal(decode(transparent), decode(opaque))


def test_the_transparent_level_of_16_bit_grey_is_white() -> None:
    levels = np.full((1200, 900), 40 * 257, np.uint16)  # in more than one band
    levels[:600] = 80 * 257
    pixels = decode(encode(Image.fromarray(levels), "PNG", transparency=80 * 257))
    assert (pixels[:110] == 255).all()
    assert (pixels[-110:] == 40).all()


def test_a_transparent_wide_gamut_photo_is_still_put_on_white() -> None:
    hidden = Image.new("RGBA", (20, 20), (0, 200, 0, 0))
    assert (decode(encode(hidden, "PNG", icc_profile=icc.DISPLAY_P3)) == 255).all()


def test_a_grey_photo_with_a_linear_curve_is_brightened() -> None:
    grey = Image.new("L", (20, 20), 55)  # 21.6 % of the light: 128 in sRGB
    data = encode(grey, "PNG", icc_profile=icc.LINEAR_GREY)
    assert np.abs(decode(data).astype(int) - 128).max() <= 1


def test_cyan_ink_is_what_the_press_says() -> None:
    cyan = Image.new("CMYK", (20, 20), (255, 0, 0, 0))
    plain = decode(encode(cyan, "JPEG"))[0, 0]
    printed = decode(encode(cyan, "JPEG", icc_profile=icc.INKS))[0, 0]
    assert tuple(plain) == (0, 255, 255)
    red, green, blue = map(int, printed)  # Lab 65 -35 -45
    assert red < 60
    assert 150 < green < 190 < blue


def test_a_profile_that_says_srgb_changes_no_pixel() -> None:
    assert np.array_equal(decode(read("srgb-profile.jpg")), decode(read("rgb.jpg")))


@pytest.mark.parametrize("profile", [b"x" * 300, icc.DISPLAY_P3[:150], icc.INKS, icc.LINEAR_GREY])
def test_a_profile_that_does_not_fit_changes_no_pixel(profile: bytes) -> None:
    scene = Image.open(PHOTOS / "rgb.png")
    assert np.array_equal(
        decode(encode(scene, "PNG", icc_profile=profile)), decode(encode(scene, "PNG"))
    )


def test_a_profile_that_breaks_off_changes_no_pixel() -> None:
    """Pillow then says that there is one, and that it is None."""
    scene = Image.open(PHOTOS / "rgb.png")
    png, jpeg = encode(scene, "PNG"), encode(scene, "JPEG")
    bad_zlib = png_chunk(b"iCCP", b"a name\0\0this is not compressed")
    assert np.array_equal(decode(png[:33] + bad_zlib + png[33:]), decode(png))
    first_of_two = b"ICC_PROFILE\0\x01\x02" + icc.DISPLAY_P3
    segment = b"\xff\xe2" + struct.pack(">H", len(first_of_two) + 2) + first_of_two
    assert np.array_equal(decode(jpeg[:2] + segment + jpeg[2:]), decode(jpeg))


def test_a_program_in_a_profile_is_not_run() -> None:
    """It could be of any length; this short one would make all black."""
    colour = Image.new("RGB", (20, 20), (200, 100, 50))
    program = icc.display_p3_with_program(elements=1, segments=2)
    told, plain = (
        decode(encode(colour, "PNG", icc_profile=profile)) for profile in (program, icc.DISPLAY_P3)
    )
    assert np.array_equal(told, plain)
    assert plain.any()


@pytest.mark.parametrize(("side", "expected"), [(136, 7), (141, 90)])
def test_a_profile_of_more_than_8_mib_changes_no_pixel(side: int, expected: int) -> None:
    """A smaller one of one table, that makes all colours one grey, does."""
    webp = encode(Image.new("RGB", (20, 20), (90, 90, 90)), "WEBP", lossless=True)
    changed = with_profile(webp, icc.large_table(side))
    assert (decode(changed) == expected).all()


def with_profile(webp: bytes, profile: bytes) -> bytes:
    chunk = struct.pack("<4sI", b"ICCP", len(profile)) + profile + bytes(len(profile) % 2)
    data = bytearray(extended_webp((20, 20), chunk + webp[12:]))
    data[20] = 0x20
    return bytes(data)


def test_large_profiles_are_not_kept() -> None:
    colours._kept_transform.cache_clear()
    image = Image.new("RGB", (2, 2))
    colours.to_srgb(image, icc.large_table(72))
    assert colours._kept_transform.cache_info().currsize == 0
    colours.to_srgb(image, icc.DISPLAY_P3)
    assert colours._kept_transform.cache_info().currsize == 1


def test_a_large_jpeg_is_drafted_to_nearly_the_same_pixels() -> None:
    whole = Image.open(BytesIO(read("large.jpg"))).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    assert np.abs(decode(read("large.jpg")).astype(int) - np.asarray(whole)).mean() < 1.5


def test_turns_a_photo_upright_by_its_exif_orientation() -> None:
    for form in ("jpg", "avif"):
        upright = decode(read(f"rgb.{form}"))
        assert np.array_equal(decode(read(f"turned.{form}")), np.rot90(upright, -1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orients_as_pillow_itself_does(orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.open(PHOTOS / "rgb.png"), "JPEG", exif=exif, quality=95)
    upright = encode(ImageOps.exif_transpose(Image.open(BytesIO(data))), "PNG")
    assert np.abs(decode(data).astype(int) - decode(upright)).max() <= 1


def test_broken_exif_counts_as_none() -> None:
    data = encode(Image.open(PHOTOS / "rgb.png"), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert decode(data).shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_an_orientation_of_a_million_values_is_none_and_not_read(form: str) -> None:
    """Pillow would make an object of each: 300 bytes for one of eight."""
    scene = Image.open(PHOTOS / "rgb.png")
    data = encode(scene, form, exif=exif_of_one_tag(8_000_000))
    tracemalloc.start()
    try:
        pixels = decode(data)
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()
    assert np.array_equal(pixels, decode(encode(scene, form)))


def test_refuses_a_jpeg_of_much_more_exif_than_a_camera_writes() -> None:
    """Pillow reads the resolution when it opens it."""
    data = read("rgb.jpg")
    exif = b"\xff\xe1\x40\x08Exif\0\0".ljust(0x400A, b"\0")
    decode(data[:2] + guards.MAX_EXIFS * exif + data[2:])
    with pytest.raises(UnreadableImageError, match=r"EXIF in 17 segments; at most 16 are read"):
        decode(data[:2] + (guards.MAX_EXIFS + 1) * exif + data[2:])


def test_puts_transparent_parts_on_white() -> None:
    hidden = Image.new("RGBA", (50, 40), (200, 0, 0, 0))
    for form in ("PNG", "WEBP"):
        data = encode(hidden, form, **({"lossless": True, "exact": True} if form == "WEBP" else {}))
        assert (decode(data) == 255).all()


def test_a_palette_with_a_transparent_colour_is_put_on_white() -> None:
    image = Image.new("P", (10, 10), 0)
    image.putpalette([9, 9, 9, 1, 1, 1])
    assert (decode(encode(image, "PNG", transparency=0)) == 255).all()
    assert (decode(encode(image, "PNG")) == 9).all()


@pytest.mark.parametrize(("level", "expected"), [(0, 0), (257, 1), (128 * 257, 128), (65535, 255)])
def test_16_bit_grey_keeps_its_tones(level: int, expected: int) -> None:
    image = Image.fromarray(np.full((30, 20), level, np.uint16))
    assert (decode(encode(image, "PNG")) == expected).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L", "P", "1"])
@pytest.mark.parametrize(("width", "height"), [(1201, 913), (450, 2300), (3001, 7), (448, 224)])
def test_a_photo_scaled_in_bands_has_the_very_pixels_of_the_whole(
    mode: str, width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 4), np.uint8)
    image = Image.fromarray(pixels).convert("RGB" if mode == "P" else mode).convert(mode)
    transparent = {"transparency": 3} if mode == "P" else {}
    data = encode(image, "PNG", compress_level=1, **transparent)
    whole = decode(data)
    monkeypatch.setattr(images, "_BAND_PIXELS", 5000)
    assert np.array_equal(decode(data), whole)


def test_refuses_too_many_pixels_before_decoding_any() -> None:
    header = struct.pack(">IIBBBBB", 9000, 9000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    data += struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", 1000) + b"IDAT"
    with pytest.raises(UnreadableImageError, match=r"PNG of 9000x9000 pixels.*at most 40000000"):
        decode(data)


def test_refuses_a_webp_of_too_many_pixels_before_it_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Opening one allocates its canvas twice."""
    data = bytearray(read("alpha.webp"))
    start = data.index(b"VP8L") + 9
    size = int.from_bytes(data[start : start + 4], "little") & ~0xFFFFFFF
    data[start : start + 4] = (size | 16382 | 16382 << 14).to_bytes(4, "little")
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(UnreadableImageError, match=r"WEBP of 16383x16383 pixels.*at most 40000000"):
        decode(bytes(data))


def test_refuses_a_png_in_colour_that_would_take_too_much_memory() -> None:
    decode(encode(Image.new("L", (9000, 4400)), "PNG"))  # as grey it is small enough
    data = encode(Image.new("RGB", (9000, 4400)), "PNG") + bytes(15_000_000)
    with pytest.raises(UnreadableImageError, match=r"PNG of 9000x4400.*at most 162 MB"):
        decode(data)


@pytest.mark.parametrize(
    ("form", "mode", "options"),
    [
        ("WEBP", "RGB", {"method": 0}),
        ("WEBP", "RGBA", {"method": 0}),
        ("WEBP", "RGBA", {"method": 0, "lossless": True}),
        ("AVIF", "RGB", {"speed": 10}),
        ("AVIF", "RGBA", {"speed": 10}),
        ("AVIF", "RGB", {"speed": 10, "subsampling": "4:4:4"}),
    ],
)
def test_reads_a_photo_of_12_megapixels_of_any_kind_and_refuses_one_of_21(
    form: str, mode: str, options: dict[str, Any]
) -> None:
    """Nearly every phone takes 4032x3024, and apps and shops encode that anew."""
    decode(encode(Image.new(mode, (4032, 3024), 9), form, **options))
    with pytest.raises(UnreadableImageError, match=rf"{form} of 5300x4000.*at most 162 MB"):
        decode(encode(Image.new(mode, (5300, 4000), 9), form, **options))


def test_an_avif_takes_by_its_samples_what_its_header_says() -> None:
    """4:2:0 of eight bits is read where 4:4:4 or ten bits are not."""
    grey = encode(Image.new("L", (6300, 6300), 9), "AVIF", speed=10)
    decode(grey)
    half = encode(Image.new("RGB", (4600, 4000), 9), "AVIF", speed=10)
    decode(half)
    full = encode(Image.new("RGB", (4600, 4000), 9), "AVIF", speed=10, subsampling="4:4:4")
    deep = (PHOTOS / "hostile" / "deep.avif").read_bytes()
    decode(deep)
    deep = deep.replace(struct.pack(">II", 3400, 3410), struct.pack(">II", 4600, 4000))
    end = int.from_bytes(half[:4], "big")
    late = half[:end] + struct.pack(">I4s", 70_000, b"free").ljust(70_000, b"\0") + half[end:]
    for data, needed in ((full, 184), (deep, 239), (late, 239)):
        with pytest.raises(
            UnreadableImageError, match=rf"AVIF of 4600x4000 .* would take {needed} MB"
        ):
            decode(data)


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("said", [(100, 100), (16_000, 2_000), (3001, 2000), (3000, 1999)])
def test_refuses_a_webp_whose_container_lies_of_its_size(
    said: tuple[int, int], lossless: bool
) -> None:
    """libwebp goes by the container, and sees what is in it when it is opened."""
    data = encode(Image.new("RGBA", (3000, 2000), 9), "WEBP", lossless=lossless, method=0)
    stream = data[data.index(b"VP8X") + 18 :] if b"VP8X" in data else data[12:]
    decode(extended_webp((3000, 2000), stream))
    with pytest.raises(UnreadableImageError, match=r"damaged header|would take"):
        decode(extended_webp(said, stream))


def extended_webp(size: tuple[int, int], stream: bytes) -> bytes:
    head = struct.pack("<4sIB3x", b"VP8X", 10, 0x10)
    head += b"".join((side - 1).to_bytes(3, "little") for side in size)
    return struct.pack("<4sI4s", b"RIFF", 4 + len(head + stream), b"WEBP") + head + stream


def test_takes_a_baseline_jpeg_of_40_megapixels_but_no_such_progressive_cmyk() -> None:
    decode(encode(Image.new("RGB", (8000, 5000)), "JPEG"))
    inks = Image.new("CMYK", (6000, 4000))
    decode(encode(inks, "JPEG"))
    with pytest.raises(UnreadableImageError, match=r"JPEG of 6000x4000 .* would take 19. MB"):
        decode(encode(inks, "JPEG", progressive=True))


def test_what_a_jpeg_carries_besides_its_pixels_counts_three_times() -> None:
    """The file has it, Pillow keeps it, and joins it."""
    data = encode(Image.new("RGB", (65_500, 600)), "JPEG")  # too low to be drafted
    decode(data)
    segments = 30 * (b"\xff\xe2\xff\xff" + bytes(65_533))
    with pytest.raises(UnreadableImageError, match=r"JPEG of 65500x600 .* would take 16. MB"):
        decode(data[:2] + segments + data[2:])


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_refuses_a_jpeg_of_more_scans_than_any_program_writes(mode: str) -> None:
    """Each is gone through for all pixels, and has ten bytes."""
    whole = encode(Image.effect_noise((640, 480), 60).convert(mode), "JPEG", progressive=True)
    scan = bytes.fromhex("ffda 0008 01 01 00 01 3f 00")
    first, end = whole.count(scan[:2]), whole.rindex(b"\xff\xd9")
    most = guards.MAX_SCANS - first
    decode(whole[:end] + most * scan + whole[end:])
    with pytest.raises(UnreadableImageError, match=r"JPEG of 640x480 .* in 101 scans; at most 100"):
        decode(whole[:end] + (most + 1) * scan + whole[end:])


def test_what_follows_a_photo_in_one_scan_is_none_of_its_scans() -> None:
    photo = read("rgb.jpg")
    assert np.array_equal(decode(photo + 1000 * b"\xff\xda"), decode(photo))


WARNING = """
import sys
from advisor.vision.images import decode
print(decode(sys.stdin.buffer.read()).shape)
"""


def test_a_function_prints_no_line_for_each_odd_entry_of_a_photo() -> None:
    """Else half a megabyte of a stranger's photo becomes seven of the log."""
    count = 1000
    entries = b"".join(struct.pack("<HHII", 1000 + n, 7, 9000, 0) for n in range(count))
    exif = b"II*\0" + struct.pack("<IH", 8, count) + entries + bytes(4)
    odd = encode(Image.new("RGB", (8, 8)), "PNG", exif=exif)
    printed = {}
    for name, settings_of_a_process in (("plain", {}), ("function", PROCESS)):
        child = subprocess.run(
            [sys.executable, "-c", WARNING],
            input=odd,
            capture_output=True,
            check=True,
            env=os.environ | settings_of_a_process,
        )
        assert child.stdout == b"(224, 224, 3)\n"
        printed[name] = child.stderr.count(b"\n")
    assert printed["plain"] >= count
    assert printed["function"] == 0


HOSTILE = """
import sys
from resource import RLIMIT_DATA, getrlimit
from advisor.errors import UnreadableImageError
from advisor.vision.images import decode
before = getrlimit(RLIMIT_DATA)
try:
    decode(sys.stdin.buffer.read())
except UnreadableImageError as error:
    print(error, getrlimit(RLIMIT_DATA) == before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's limit is Linux's")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        ((PHOTOS / "hostile" / "lying.avif").read_bytes, "damaged AVIF of 100x100 pixels"),
        ((PHOTOS / "hostile" / "grain.avif").read_bytes, "AVIF of 767 bytes, takes more than"),
        (many_tables_webp, "damaged WEBP of 1024x1024 pixels"),
    ],
    ids=["a stream larger than its container says", "grain", "many Huffman tables"],
)
def test_what_takes_more_memory_than_its_header_says_is_refused_it(
    make: Callable[[], bytes], said: str
) -> None:
    """In a process of its own, where no memory freed before can be had again."""
    child = subprocess.run(
        [sys.executable, "-c", HOSTILE], input=make(), capture_output=True, check=False
    )
    assert child.stdout.decode().startswith(said), child.stderr[-2000:]
    assert child.stdout.endswith(b" True\n")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's limit is Linux's")
def test_other_threads_have_memory_for_their_photos_meanwhile() -> None:
    """Else one photo of a training refuses the others theirs, and keeps threads from starting."""
    lossless = b"RIFF\0\0\0\0WEBPVP8L"
    with ThreadPoolExecutor(2) as others:
        others.submit(int).result()  # one is there, the other not yet
        with guards.bounded_memory(lossless):
            for _ in range(2):
                photo = others.submit(np.empty, guards.MAX_MEMORY, np.uint8).result()
                assert len(photo) == guards.MAX_MEMORY


def test_names_a_heic_which_it_does_not_read() -> None:
    data = bytes.fromhex("00000018") + b"ftypheic" + bytes(100)
    with pytest.raises(UnreadableImageError, match="AVIF: 112 bytes beginning with HEIC"):
        decode(data)


def test_a_photo_of_ten_thousand_chunks_is_read() -> None:
    data = read("rgb.png")
    end = data.index(b"IDAT") - 4
    many = data[:end] + 10_000 * png_chunk(b"prVt", b"") + data[end:]
    assert np.array_equal(decode(many), decode(data))


@pytest.mark.parametrize("name", ["rgb.png", "rgb.jpg", "animated.gif"])
def test_a_photo_that_is_mostly_not_photo_is_refused(name: str) -> None:
    data = read(name)
    comment, at = {
        "rgb.png": (png_chunk(b"tEXt", b"a\0" + bytes(900)), 33),
        "rgb.jpg": (b"\xff\xfe\x03\x86" + bytes(900), 2),
        "animated.gif": (b"\x21\xfe\xff" + bytes(255) + b"\0", data.find(b",\0\0\0\0")),
    }[name]
    padding = comment * (guards.MAX_SIDE_BYTES // len(comment) + 10)
    with pytest.raises(UnreadableImageError, match=r"besides its pixels|pieces"):
        decode(data[:at] + padding + data[at:])


def test_text_after_the_pixels_counts_too() -> None:
    data = read("rgb.png")
    end = data.index(b"IEND") - 4
    text = png_chunk(b"prVt", bytes(guards.MAX_SIDE_BYTES + 1))
    with pytest.raises(UnreadableImageError, match=r"PNG of 120x90 .*besides its pixels"):
        decode(data[:end] + text + data[end:])


def test_too_many_pieces_are_refused() -> None:
    data = read("rgb.png")
    end = data.index(b"IDAT") - 4
    pieces = guards.MAX_READS * png_chunk(b"IDAT", b"")
    with pytest.raises(UnreadableImageError, match="more than 200000 pieces"):
        decode(data[:end] + pieces + data[end:])


def test_refuses_too_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", 100)
    with pytest.raises(UnreadableImageError, match="bytes; at most 100"):
        decode(read("rgb.jpg"))


def test_a_file_is_read_as_far_as_a_photo_may_go(tmp_path: Path) -> None:
    film = tmp_path / "film.mov"
    with film.open("wb") as file:
        file.truncate(1 << 36)
    with pytest.raises(UnreadableImageError, match=f"{1 << 36} bytes; at most {guards.MAX_BYTES}"):
        read_file(film)
    with pytest.raises(UnreadableImageError, match=f"{guards.MAX_BYTES + 1} bytes"):
        read_file(Path("/dev/zero"))
    assert read_file(PHOTOS / "rgb.jpg") == read("rgb.jpg")


def test_refuses_an_empty_file() -> None:
    with pytest.raises(UnreadableImageError, match="0 bytes"):
        decode(b"")


@pytest.mark.parametrize("form", ["TIFF", "BMP", "PPM", "ICO"])
def test_refuses_other_formats(form: str) -> None:
    data = encode(Image.new("RGB", (32, 32)), form)
    with pytest.raises(UnreadableImageError, match="no image in JPEG, PNG, WEBP, GIF, AVIF:"):
        decode(data)


@pytest.mark.parametrize(
    "name", ["rgb.jpg", "progressive.jpg", "rgb.png", "rgb.webp", "large.jpg", "rgb.avif"]
)
@pytest.mark.parametrize("tenth", range(1, 10))
def test_refuses_a_truncated_photo(name: str, tenth: int) -> None:
    data = read(name)
    with pytest.raises(UnreadableImageError):
        decode(data[: len(data) * tenth // 10])


def test_damage_that_pillow_calls_a_syntax_error_is_ours() -> None:
    data = encode(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)), "PNG"
    )
    second = data.index(b"IDAT", data.index(b"IDAT") + 4)
    with pytest.raises(UnreadableImageError, match="damaged PNG of 300x300 pixels"):
        decode(data[:second] + b"\x00\x01\x02\x03" + data[second + 4 :])


def test_the_preprocessing_is_named_with_pillow() -> None:
    assert PREPROCESSING_ID.endswith(f"/pillow-{pillow_version}")


def test_a_photo_is_named_by_the_sha256_of_its_bytes() -> None:
    assert image_id(b"abc").startswith("ba7816bf8f01cfea")


@given(st.binary(max_size=300))
def test_any_bytes_give_an_array_or_our_error(data: bytes) -> None:
    assert_array_or_our_error(data)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_damaged_photos_give_an_array_or_our_error(data: st.DataObject) -> None:
    """Of each format, half the time within its header."""
    names = st.sampled_from(NAMES)
    damaged = bytearray(read(data.draw(names)))
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["written over", "cut", "inserted", "spliced"]))
        start = data.draw(
            st.integers(0, min(len(damaged), data.draw(st.sampled_from([64, 10**9]))))
        )
        piece = data.draw(st.binary(min_size=1, max_size=8))
        if kind == "written over":
            damaged[start : start + len(piece)] = piece
        elif kind == "cut":
            del damaged[start : start + data.draw(st.integers(1, 4096))]
        elif kind == "inserted":
            damaged[start:start] = data.draw(st.integers(1, 64)) * piece
        else:
            other = read(data.draw(names))
            damaged[start:] = other[data.draw(st.integers(0, len(other))) :]
    assert_array_or_our_error(bytes(damaged))


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(
        [
            ("RGB", icc.DISPLAY_P3),
            ("L", icc.LINEAR_GREY),
            ("CMYK", icc.INKS),
            ("RGB", icc.large_table(3)),
            ("RGB", icc.display_p3_with_program(2, 2)),
        ]
    ),
    st.lists(st.tuples(st.floats(0, 0.999), st.binary(max_size=6)), min_size=1, max_size=6),
)
def test_damaged_profiles_give_rgb(
    kind: tuple[str, bytes], edits: list[tuple[float, bytes]]
) -> None:
    mode, profile = kind
    damaged = bytearray(profile)
    for where, patch in edits:
        start = int(where * len(damaged))
        damaged[start : start + len(patch)] = patch
    shown = colours.to_srgb(Image.new(mode, (4, 4), 9), bytes(damaged))
    assert (shown.mode, shown.size) == ("RGB", (4, 4))


def assert_array_or_our_error(data: bytes) -> None:
    try:
        photo = decode(data)
    except UnreadableImageError:
        return
    assert photo.shape == (SIZE, SIZE, 3)
    assert photo.dtype == np.uint8
