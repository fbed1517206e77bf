"""The kinds of image files that people have, made of one picture."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms

ORIENTATION = 0x0112
# PNG's colour types by channels.
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(samples: np.ndarray, depth: int, *ancillary: bytes) -> bytes:
    """A PNG of (height, width, channels) samples at a depth that Pillow does not write."""
    height, width, channels = samples.shape
    if depth == 16:
        rows = samples.astype(">u2").view(np.uint8).reshape(height, -1)
    else:
        bits = np.unpackbits(samples.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
        rows = np.packbits(bits.reshape(height, -1), axis=1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)  # no filter
    head = struct.pack(">IIBBBBB", width, height, depth, COLOUR_TYPES[channels], 0, 0, 0)
    parts = [chunk(b"IHDR", head), *ancillary, chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def netpbm(samples: np.ndarray, most: int, comment: bool = False) -> bytes:
    """A binary PGM or PPM."""
    height, width, channels = samples.shape
    head = f"P{6 if channels == 3 else 5}\n{'# made by hand' if comment else ''}\n{width} {height}\n{most}\n"
    return head.encode() + samples.astype(">u2" if most > 255 else np.uint8).tobytes()


def without_adobe(jpeg: bytes) -> bytes:
    """A JPEG less its APP14 segment."""
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 2 + int.from_bytes(jpeg[at + 2 : at + 4]) :]


def ycck(picture: Image.Image) -> bytes:
    """A CMYK JPEG whose CMY is stored as YCbCr, as Photoshop writes."""
    inverted = 255 - np.asarray(picture.convert("CMYK"))
    # A decoder makes RGB of YCbCr and takes 255 - RGB for the CMY that is stored, which is the inverted one.
    ycc = np.asarray(Image.fromarray(255 - inverted[..., :3]).convert("YCbCr"))
    stored = np.concatenate([ycc, inverted[..., 3:]], axis=2)
    written = io.BytesIO()
    # Pillow inverts what it writes.
    Image.fromarray(255 - stored, "CMYK").save(written, "JPEG", quality=95, subsampling=0)
    data = bytearray(written.getvalue())
    transform = data.index(b"\xff\xeeAdobe"[:2]) + 4 + 11
    assert data[transform] == 0, "Adobe's colour transform was expected: none"
    data[transform] = 2
    return bytes(data)


def wide(picture: Image.Image) -> np.ndarray:
    """(height, width, channels) of integers that have room for 16 bits."""
    return np.atleast_3d(np.asarray(picture)).astype(int)


def encoded(picture: Image.Image, suffix: str, **options: object) -> bytes:
    written = io.BytesIO()
    picture.save(written, {"jpg": "JPEG", "ppm": "PPM", "pgm": "PPM"}.get(suffix, suffix.upper()), **options)
    return written.getvalue()


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def sampled(picture: Image.Image, factor: int) -> bytes:
    """A JPEG with chroma sampling that Pillow does not write."""
    bgr = np.asarray(picture)[..., ::-1]
    ok, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor])
    assert ok
    return data.tobytes()


def jpegs(picture: Image.Image) -> Iterator[tuple[str, str, bytes]]:
    def jpeg(image: Image.Image = picture, **options: object) -> bytes:
        return encoded(image, "jpg", **{"quality": 95, **options})

    def cut(width: int, height: int) -> Image.Image:
        return picture.crop((0, 0, width, height))

    for orientation in range(1, 9):
        yield f"JPEG, EXIF orientation {orientation}", "jpg", jpeg(exif=oriented(orientation))
    yield "JPEG, EXIF orientation 9 (not one)", "jpg", jpeg(exif=oriented(9))
    for name, subsampling in (("4:4:4", 0), ("4:2:2", 1), ("4:2:0", 2)):
        yield f"JPEG, {name}", "jpg", jpeg(subsampling=subsampling)
    yield "JPEG, 4:4:0", "jpg", sampled(picture, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440)
    yield "JPEG, 4:1:1", "jpg", sampled(picture, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411)
    yield "JPEG, quality 30", "jpg", jpeg(quality=30)
    yield "JPEG, progressive 4:2:0", "jpg", jpeg(progressive=True, subsampling=2)
    yield "JPEG, progressive 4:4:4", "jpg", jpeg(progressive=True, subsampling=0)
    yield "JPEG, restart markers", "jpg", jpeg(restart_marker_blocks=7)
    yield "JPEG, stored as RGB", "jpg", jpeg(keep_rgb=True)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    yield "JPEG, ICC profile", "jpg", jpeg(icc_profile=profile)
    yield "JPEG, grey", "jpg", jpeg(picture.convert("L"))
    yield "JPEG, grey, progressive", "jpg", jpeg(picture.convert("L"), progressive=True)
    cmyk = jpeg(picture.convert("CMYK"), subsampling=0)
    yield "JPEG, CMYK as Adobe inverts it", "jpg", cmyk
    yield "JPEG, CMYK without Adobe's mark", "jpg", without_adobe(cmyk)
    yield "JPEG, YCCK", "jpg", ycck(picture)
    for width, height in ((1, 1), (7, 5), (17, 33), (255, 257)):
        yield f"JPEG, 4:2:0, {width}×{height}", "jpg", jpeg(cut(width, height), subsampling=2)
    yield "JPEG, 4:2:2, 255×257", "jpg", jpeg(cut(255, 257), subsampling=1)


def pngs(picture: Image.Image) -> Iterator[tuple[str, str, bytes]]:
    pixels, grey = wide(picture), wide(picture.convert("L"))
    alpha = np.linspace(0, 255, grey.size).astype(int).reshape(grey.shape)
    fine = np.random.default_rng(1).integers(0, 256, pixels.shape)  # the lower byte of 16 bits
    for depth in (1, 2, 4):
        yield f"PNG, grey, {depth} bit", "png", png(grey >> (8 - depth), depth)
    yield "PNG, grey, 8 bit", "png", encoded(picture.convert("L"), "png")
    yield "PNG, grey, 16 bit", "png", png(grey * 256 + fine[..., :1], 16)
    yield "PNG, grey with alpha", "png", png(np.concatenate([grey, alpha], 2), 8)
    yield "PNG, grey with alpha, 16 bit", "png", png(np.concatenate([grey, alpha], 2) * 257, 16)
    yield "PNG, RGB", "png", encoded(picture, "png")
    yield "PNG, RGB, 16 bit", "png", png(pixels * 256 + fine, 16)
    yield "PNG, RGB, a transparent colour", "png", encoded(picture, "png", transparency=tuple(pixels[0, 0].tolist()))
    yield "PNG, RGBA", "png", png(np.concatenate([pixels, alpha], 2), 8)
    yield "PNG, RGBA, 16 bit", "png", png(np.concatenate([pixels, alpha], 2) * 257, 16)
    palette = picture.quantize(256)
    yield "PNG, palette", "png", encoded(palette, "png")
    for bits in (1, 2, 4):
        yield f"PNG, palette, {bits} bit", "png", encoded(picture.quantize(2**bits), "png", bits=bits)
    yield "PNG, palette, a transparent entry", "png", encoded(palette, "png", transparency=3)
    yield "PNG, palette with alpha", "png", encoded(palette, "png", transparency=bytes(range(256)))
    yield "PNG, gamma 1.0", "png", png(pixels, 8, chunk(b"gAMA", struct.pack(">I", 100000)))
    yield "PNG, EXIF orientation 6", "png", encoded(picture, "png", exif=oriented(6))


def others(picture: Image.Image) -> Iterator[tuple[str, str, bytes]]:
    pixels, grey = wide(picture), wide(picture.convert("L"))
    translucent = picture.copy()
    translucent.putalpha(Image.linear_gradient("L").resize(picture.size))
    yield "WebP, lossy", "webp", encoded(picture, "webp", quality=90)
    yield "WebP, lossy, quality 20", "webp", encoded(picture, "webp", quality=20)
    yield "WebP, lossless", "webp", encoded(picture, "webp", lossless=True)
    yield "WebP, lossy with alpha", "webp", encoded(translucent, "webp", quality=90)
    yield "WebP, lossless with alpha", "webp", encoded(translucent, "webp", lossless=True, exact=True)
    yield "WebP, EXIF orientation 6", "webp", encoded(picture, "webp", lossless=True, exif=oriented(6))
    for name, image in (
        ("RGB", picture), ("grey", picture.convert("L")), ("palette", picture.quantize(256)),
        ("1 bit", picture.convert("1")), ("RGBA", translucent),
    ):  # fmt: skip
        yield f"BMP, {name}", "bmp", encoded(image, "bmp")
    yield "PPM", "ppm", netpbm(pixels, 255)
    yield "PPM, a comment", "ppm", netpbm(pixels, 255, comment=True)
    yield "PPM, 16 bit", "ppm", netpbm(pixels * 257, 65535)
    yield "PPM, largest value 100", "ppm", netpbm(pixels // 3, 100)
    yield "PGM", "pgm", netpbm(grey, 255)
    yield "PGM, 16 bit", "pgm", netpbm(grey * 257, 65535)
    yield "JPEG, named .png", "png", encoded(picture, "jpg", quality=95)


FAMILIES: list[Callable[[Image.Image], Iterator[tuple[str, str, bytes]]]] = [jpegs, pngs, others]


def written(picture: Image.Image, folder: Path) -> Iterator[tuple[str, Path]]:
    """Each kind and its file."""
    kinds = [kind for family in FAMILIES for kind in family(picture)]
    for index, (kind, suffix, data) in enumerate(kinds):
        path = folder / f"{index:03}.{suffix}"
        path.write_bytes(data)
        yield kind, path
