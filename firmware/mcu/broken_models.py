"""Breaks a model in many ways: broken_models.py MODEL FOLDER writes FOLDER/NAME.cardinal, all of which must be refused.

The layout is that of runtime/format/FORMAT.md. Where a name ends in "-sealed", length and CRC-32 fit the broken bytes,
so that only what they mean can give them away.
"""

import struct
import sys
import zlib
from pathlib import Path


def u32(data, at):
    return struct.unpack_from("<I", data, at)[0]


def sections(data):
    """Name -> (start, end)."""
    tensors, ops, labels, strings, provenance, blobs = (u32(data, at) for at in (28, 32, 36, 40, 44, 48))
    found, at = {}, 0
    for name, length in [
        ("header", 64),
        ("tensors", 32 * tensors),
        ("ops", 64 * ops),
        ("preprocess", 64),
        ("labels", 4 * labels),
        ("strings", strings),
        ("provenance", provenance),
        ("data", blobs),
        ("trailer", 4),
    ]:
        if name == "data":
            at = -(-at // 64) * 64
        found[name] = (at, at + length)
        at += length
    assert at == len(data), "not a .cardinal file of version 1.0"
    return found


def sealed(data):
    data = bytearray(data)
    struct.pack_into("<I", data, 12, len(data))
    return bytes(data[:-4]) + struct.pack("<I", zlib.crc32(data[:-4]))


def changed(data, at, layout, value):
    data = bytearray(data)
    struct.pack_into(layout, data, at, value)
    return bytes(data)


def flipped(data, at, bit):
    return changed(data, at, "B", data[at] ^ 1 << bit)


def broken(data):
    """Yields (name, bytes)."""
    parts = sections(data)
    start = {name: where[0] for name, where in parts.items()}
    for name, (first, end) in parts.items():
        middle = (first + end) // 2
        yield f"cut-in-{name}", data[:middle]
        yield f"flip-in-{name}", flipped(data, middle, 5)
        if first and name != "trailer":
            yield f"cut-in-{name}-sealed", sealed(data[: middle // 4 * 4] + bytes(4))
    # One bit each that no other check can miss.
    multiplier = start["data"] + u32(data, start["ops"] + 40) + 64
    for name, at, bit in [
        ("header", 28, 0),  # one tensor more or less
        ("tensors", start["tensors"] + 32, 2),  # a place that is no multiple of 64
        ("ops", start["ops"], 6),  # a kind that there is not
        ("preprocess", start["preprocess"] + 40, 0),  # a reserved byte
        ("labels", start["labels"] + 3, 7),  # a string that lies nowhere
        ("strings", start["strings"] + 2, 7),  # no UTF-8
        ("provenance", start["provenance"] + 2, 7),  # no UTF-8
        ("data", multiplier + 3, 6),  # a multiplier beyond all bounds
    ]:
        yield f"flip-in-{name}-sealed", sealed(flipped(data, at, bit))
    yield "empty", b""
    yield "longer", data + bytes(64)
    yield "magic-sealed", sealed(b"PICKLED!" + data[8:])
    yield "newer-major-sealed", sealed(changed(data, 8, "<H", 2))
    yield "newer-minor-sealed", sealed(changed(data, 10, "<H", 1))
    # Written for another machine: the other byte order; weights in blocks of another size.
    fields = struct.unpack_from("<HH13I", data, 8)
    yield "byte-order-sealed", sealed(data[:8] + struct.pack(">HH13I", *fields) + data[64:])
    weights = start["ops"] + 36
    yield "weight-layout-sealed", sealed(changed(data, weights, "<I", u32(data, weights) // 2))
    yield "arena-sealed", sealed(changed(data, 16, "<I", 1 << 30))


def main(model, folder):
    for name, data in broken(Path(model).read_bytes()):
        Path(folder, f"{name}.cardinal").write_bytes(data)


if __name__ == "__main__":
    main(*sys.argv[1:])
