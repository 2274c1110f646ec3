"""Classifiers, curves, controls, curation, and conclusions from the errors.

A public name never equals that of a module here: importing the module would hide it.
"""

from opal._lazy import public

__getattr__, __all__ = public(
    __name__,
    {
        "Agreement": "curate",
        "Amounts": "curve",
        "Balanced": "controls",
        "Chain": "curate",
        "Classifier": "classifiers",
        "Confidence": "curate",
        "Dedup": "curate",
        "Filter": "curate",
        "Folds": "validate",
        "Instead": "controls",
        "Linear": "curate",
        "Neighbour": "curate",
        "PaperCatBoost": "paper",
        "PaperForest": "paper",
        "PaperLogistic": "paper",
        "Replicates": "replicate",
        "SchemaFilter": "curate",
        "UnderSampled": "controls",
        "base_rate_threshold": "controls",
        "class_weight": "controls",
        "fidelity_by_group": "fidelity",
        "fit_scaling": "scaling",
        "group_robust": "group_controls",
        "group_threshold": "group_controls",
        "just_train_twice": "group_controls",
        "tabicl": "foundation",
        "tuned_threshold": "controls",
        "variance_sources": "scaling",
    },
)
