"""A tiny checkpoint of TabICL's own network, trained here for some seconds: not the published weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SIZES = {"embed_dim": 16, "col_num_blocks": 1, "col_nhead": 2, "col_num_inds": 8, "row_num_blocks": 1, "row_nhead": 2}
SIZES |= {"row_num_cls": 2, "icl_num_blocks": 2, "icl_nhead": 2}


def write(path: Path, steps: int = 250, **sizes: Any) -> Path:
    """Train on made-up tables of four numbers and a linear rule, and write the checkpoint.

    Parameters
    ----------
    steps : of training; 0: random weights
    sizes : of the network, beside the small ones here
    """
    import torch
    from tabicl._model.tabicl import TabICL  # no public face has it

    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = SIZES | sizes
    network = TabICL(**config).train()
    learner = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(steps):
        x = torch.randn(16, 60, 4)
        y = (x @ torch.randn(16, 4, 1)).squeeze(-1).gt(0).float()
        answers = network(x, y[:, :40])[..., :2]
        loss = torch.nn.functional.cross_entropy(answers.flatten(0, 1), y[:, 40:].flatten().long())
        learner.zero_grad()
        loss.backward()
        learner.step()
    torch.save({"config": config, "state_dict": network.state_dict()}, path)
    return path
