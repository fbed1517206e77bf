"""The TOML beside a checkpoint: what the converter must know and weights cannot tell."""

from collections.abc import Sequence

from resnext import Shape


def sidecar(
    shape: Shape,
    size: Sequence[int],
    mean: Sequence[float],
    std: Sequence[float],
    labels: Sequence[str],
    resize_short: int,
) -> str:
    """The sidecar of a network fed the centre `size` (height, width) of images of that short edge."""

    def names(values: Sequence[str]) -> str:
        return "[" + ", ".join(f'"{v}"' for v in values) + "]"

    # A list of ints or floats reads the same in Python and in TOML.
    return f"""\
# What the weights cannot tell.
input = {list(size)}            # height, width
colour = "{"grey" if shape.colours == 1 else "rgb"}"
stem-stride = {shape.stem_stride}
stem-pool = {str(shape.stem_pool).lower()}
strides = {list(shape.strides)}
mean = {list(mean)}             # of the bytes 0..255
std = {list(std)}
resize = "short-edge"       # short edge to `resize-short`, then centre crop
resize-short = {resize_short}
labels = {names(labels)}
"""
