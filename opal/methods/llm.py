"""Rows from a language model (``method=llm``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from opal.llm.api.budget import Estimate
from opal.llm.rows.copies import Reject
from opal.llm.rows.generate import Generator, Plan
from opal.llm.rows.prompt import Prompt
from opal.llm.rows.quota import Client, Missing
from opal.methods.base import Oversampler, share_out
from opal.result import Rows
from opal.table import Group, Train


class LLM(Oversampler):
    """Shows train rows to a language model and keeps the valid rows of its answers.

    Parameters
    ----------
    client : opal.llm.Client
    prompt, obfuscate, widen, reject_copies, reject_repeats, max_rows_factor, patience, max_shown, missing :
        see opal.llm.rows.quota.Settings
    """

    remake = "paid"

    def __init__(
        self,
        client: Client,
        prompt: Prompt,
        obfuscate: bool = False,
        widen: float = 0.25,
        reject_copies: Reject = "auto",
        reject_repeats: Reject = "auto",
        max_rows_factor: float = 10.0,
        patience: int = 3,
        max_shown: int = 1000,
        missing: Missing = "pattern",
    ) -> None:
        self.client = client
        self._generator = Generator(
            client,
            prompt,
            obfuscate,
            widen,
            reject_copies,
            reject_repeats,
            max_rows_factor,
            patience,
            max_shown,
            missing,
        )

    def forecast(self, train: Train, n: int) -> Estimate:
        """The cost of the first round of requests for ``n`` rows, estimated on the high side; calls nothing."""
        plan = self.plan(train, n)
        each = -(-plan.completion_tokens // max(len(plan.requests), 1))
        return self.client.estimate(plan.requests, each)

    def plan(self, train: Train, n: int) -> Plan:
        """The first requests for ``n`` rows, and their approximate size; calls nothing."""
        return self._generator.plan(train, share_out(n, train))

    def _sample(self, train: Train, wanted: dict[Group, int], rng: np.random.Generator, progress: Any) -> Rows:
        # rng stays unused: each request's seed follows from the train seed, its group and its number, so that
        # asking for more rows later begins with the same requests
        return self._generator.sample(train, wanted, progress)
