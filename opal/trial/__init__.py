"""One experiment: split, synthetic rows, curve, controls, and what is measured beside them."""

from opal._lazy import public

__getattr__, __all__ = public(__name__, {"Trial": "trial", "sample_curated": "sampling:sample"})
