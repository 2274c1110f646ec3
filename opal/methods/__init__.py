"""Oversamplers: each makes synthetic rows from train rows alone."""

from opal._lazy import public

__getattr__, __all__ = public(
    __name__,
    {
        "Bootstrap": "bootstrap",
        "Deep": "deep",
        "Duplicate": "duplicate",
        "GaussianCopula": "copula",
        "GaussianMixture": "mixture",
        "Imblearn": "imblearn",
        "LLM": "llm",
        "Mixup": "mixup",
        "NoRows": "none",
        "Oversampler": "base",
        "PaperDuplicate": "paper_duplicate",
        "Replay": "replay",
        "Smote": "smote",
    },
)
