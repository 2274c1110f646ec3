"""TabICL's classifier with the same sums in every process; imported where the package tabicl is installed."""

from __future__ import annotations

from typing import Any

from tabicl import TabICLClassifier


class OrderedTabICL(TabICLClassifier):
    """TabICL's classifier, its views averaged in one order.

    The package groups views by a set of names, whose order Python draws anew in every process (seen in 2.2.0). The
    order of the sum changes the last digits of the probabilities, so that a run could not be reproduced.
    """

    def fit(self, X: Any, y: Any) -> OrderedTabICL:
        """Take the rows as context; arguments as TabICL's."""
        super().fit(X, y)
        views = self.ensemble_generator_
        for name in ("ensemble_configs_", "class_shuffles_", "feature_shuffles_"):
            by_method = getattr(views, name)
            for method in sorted(by_method):
                by_method.move_to_end(method)
        return self
