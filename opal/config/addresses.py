"""The addresses that configurations name, and what they were called in earlier versions.

A ``_target_`` in a YAML, a record or a hash is a public name such as ``opal.methods.Smote``. Version 0.1 named the
module as well; its records, and YAMLs written for it, still work through the table below. Never delete a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {  # 0.1 -> the public name
    "opal.data.craft.load": "opal.data.load_craft",
    "opal.data.file.load": "opal.data.load_csv",
    "opal.data.openml.load": "opal.data.load_openml",
    "opal.data.pinned.load": "opal.data.load_pinned",
    "opal.data.sklearn.load": "opal.data.load_sklearn",
    "opal.evaluate.classifiers.Classifier": "opal.evaluate.Classifier",
    "opal.evaluate.controls.Balanced": "opal.evaluate.Balanced",
    "opal.evaluate.controls.Instead": "opal.evaluate.Instead",
    "opal.evaluate.controls.UnderSampled": "opal.evaluate.UnderSampled",
    "opal.evaluate.controls.base_rate_threshold": "opal.evaluate.base_rate_threshold",
    "opal.evaluate.controls.class_weight": "opal.evaluate.class_weight",
    "opal.evaluate.controls.tuned_threshold": "opal.evaluate.tuned_threshold",
    "opal.evaluate.curate.Agreement": "opal.evaluate.Agreement",
    "opal.evaluate.curate.Chain": "opal.evaluate.Chain",
    "opal.evaluate.curate.Confidence": "opal.evaluate.Confidence",
    "opal.evaluate.curate.Dedup": "opal.evaluate.Dedup",
    "opal.evaluate.curate.Filter": "opal.evaluate.Filter",
    "opal.evaluate.curate.Neighbour": "opal.evaluate.Neighbour",
    "opal.evaluate.curate.SchemaFilter": "opal.evaluate.SchemaFilter",
    "opal.evaluate.curve.Amounts": "opal.evaluate.Amounts",
    "opal.evaluate.paper.PaperCatBoost": "opal.evaluate.PaperCatBoost",
    "opal.evaluate.paper.PaperForest": "opal.evaluate.PaperForest",
    "opal.evaluate.paper.PaperLogistic": "opal.evaluate.PaperLogistic",
    "opal.evaluate.replicate.Replicates": "opal.evaluate.Replicates",
    "opal.evaluate.validate.Folds": "opal.evaluate.Folds",
    "opal.llm.client.Client": "opal.llm.Client",
    "opal.llm.local.LocalServer": "opal.llm.LocalServer",
    "opal.llm.prompt.Prompt": "opal.llm.Prompt",
    "opal.methods.bootstrap.Bootstrap": "opal.methods.Bootstrap",
    "opal.methods.copula.GaussianCopula": "opal.methods.GaussianCopula",
    "opal.methods.deep.Deep": "opal.methods.Deep",
    "opal.methods.duplicate.Duplicate": "opal.methods.Duplicate",
    "opal.methods.imblearn.Imblearn": "opal.methods.Imblearn",
    "opal.methods.llm.LLM": "opal.methods.LLM",
    "opal.methods.mixture.GaussianMixture": "opal.methods.GaussianMixture",
    "opal.methods.mixup.Mixup": "opal.methods.Mixup",
    "opal.methods.none.NoRows": "opal.methods.NoRows",
    "opal.methods.paper_duplicate.PaperDuplicate": "opal.methods.PaperDuplicate",
    "opal.methods.replay.Replay": "opal.methods.Replay",
    "opal.methods.smote.Smote": "opal.methods.Smote",
    "opal.record.store.Tracking": "opal.record.Tracking",
    "opal.run.Sweep": "opal.sweep.Callback",
    "opal.tasks.imbalanced.Imbalanced": "opal.tasks.Imbalanced",
    "opal.tasks.spurious.Spurious": "opal.tasks.Spurious",
}


def with_public_names(node: Any) -> Any:
    """A copy of a plain configuration, each old ``_target_`` replaced by its public name."""
    if isinstance(node, Mapping):
        return {
            key: RENAMED.get(value, value) if key == "_target_" and isinstance(value, str) else with_public_names(value)
            for key, value in node.items()
        }
    return [with_public_names(value) for value in node] if isinstance(node, list) else node
