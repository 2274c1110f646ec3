"""Curated synthetic rows: how trials and ``opal augment`` ask a method for them."""

from __future__ import annotations

from math import ceil

import numpy as np

from opal.evaluate.curate import Filter, curate
from opal.methods.base import Oversampler
from opal.progress import Progress
from opal.result import Rows
from opal.table import Train

CURATION_ROUNDS = 3  # each asks for as many rows as the last round lost
MOST_ASKED = 4  # times the rows wanted, where curation left none


def sample(method: Oversampler, train: Train, n: int, curation: Filter, progress: Progress | None = None) -> Rows:
    """``n`` curated synthetic rows; method and curation see the train rows alone.

    Where curation removes rows, the method is asked for more, in up to three rounds. Usage and prompts cover every
    round.

    Returns
    -------
    Rows with a frame of at most ``n`` rows, index 0..n-1; ``stopped`` says why there are fewer. Where one group is
    wanted, ``sources`` holds the key of the request that each row came from.
    """
    ask, earlier = n, None
    for _ in range(CURATION_ROUNDS):
        made = method.sample(train, ask, progress)
        keys = request_keys(made)
        made = made.after(earlier) if earlier else made
        rng = np.random.default_rng([train.seed, 2])
        kept, made.funnel = curate(made.frame, train, curation, rng, made.funnel)
        chosen = method.arrange(kept, train, n)
        if len(chosen) == n or len(kept) == len(made.frame) or made.stopped:
            break
        ask, earlier = ceil(1.1 * ask * n / len(chosen)) if len(chosen) else max(ask, MOST_ASKED * n), made
    if len(chosen) == n:
        made.stopped = ""
    elif len(kept) < len(made.frame) and n:
        short = f"curation kept {len(chosen)} of {len(made.frame)} rows where {n} were wanted"
        made.stopped = "; ".join(filter(None, (made.stopped, short)))
    if keys and len(train.wanted_groups) == 1:
        made.sources = [keys[place] for place in kept.index[: len(chosen)]]
    made.frame, made.funnel.kept = chosen, len(chosen)
    return made


def request_keys(made: Rows) -> list[str]:
    """Key of the request that each row of one round came from; empty where the method does not say."""
    keys = [prompt["key"] for prompt in made.prompts for _ in range(prompt["rows"].get("kept", 0))]
    return keys if len(keys) == len(made.frame) else []
