"""A float and an int8 network on the same images: which of them is right, and how far apart their logits are."""

from dataclasses import dataclass

import numpy as np

from family import agreement, sqnr_db

Z = 1.959963984540054  # the 0.975 quantile of the normal distribution


@dataclass(frozen=True)
class Paired:
    """How many images were recognised by both, by one only, by neither."""

    both: int
    only_float: int
    only_int8: int
    neither: int

    def drop_points(self) -> float:
        """Float's top-1 less int8's, percentage points."""
        return 100 * (self.only_float - self.only_int8) / (self.both + self.only_float + self.only_int8 + self.neither)

    def interval_points(self) -> list[float]:
        """95 % interval of the drop: Wald's, after 0.5 was added to each cell (Agresti & Min 2005).

        Statistics in Medicine 24, pages 729-740. The same as `cardinal parity` computes.
        """
        n = self.both + self.only_float + self.only_int8 + self.neither + 2
        b, c = self.only_float + 0.5, self.only_int8 + 0.5
        drop, error = (b - c) / n, Z * max(b + c - (b - c) ** 2 / n, 0) ** 0.5 / n
        return [100 * min(max(drop + side * error, -1), 1) for side in (-1, 1)]


def count(float_logits: np.ndarray, int8_logits: np.ndarray, labels: np.ndarray) -> Paired:
    right, kept = float_logits.argmax(1) == labels, int8_logits.argmax(1) == labels
    cells = (right & kept, right & ~kept, ~right & kept, ~right & ~kept)
    return Paired(*(int(cell.sum()) for cell in cells))


def compare(float_logits: np.ndarray, int8_logits: np.ndarray, labels: np.ndarray) -> dict:
    """The accuracy part of a row, of logits (images, classes)."""
    if not np.isfinite(int8_logits).all():
        raise SystemExit("there are logits that are not finite")
    paired = count(float_logits, int8_logits, labels)
    return {
        "images": len(labels),
        "top1_float": (paired.both + paired.only_float) / len(labels),
        "top1_int8": (paired.both + paired.only_int8) / len(labels),
        "drop_points": paired.drop_points(),
        "interval_points": paired.interval_points(),
        "agreement": agreement(int8_logits, float_logits),
        "logit_sqnr_db": sqnr_db(int8_logits, float_logits),
    }
