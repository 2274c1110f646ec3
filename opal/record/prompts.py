"""A run's prompt in MLflow's Prompt Registry (`tracking.prompts=true`): a copy to look at. The YAML is the source."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opal.record import pending, traces
from opal.record.provenance import readable

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

IDENTITY = "opal.prompt_hash"
OF_EXPERIMENTS = "_mlflow_experiment_ids"  # MLflow's own tag: which experiments' pages list the prompt, as in ",1,3,"
LINK = "mlflow.linkedPrompts"  # MLflow's own tag of a run


def link(
    client: MlflowClient, experiment_id: str, run_id: str, prompt: Mapping[str, Any], artifacts: Path, locks: Path
) -> None:
    """Link the run to the version that holds its template, made where there is none; nothing where none was asked.

    Parameters
    ----------
    prompt : the settings of `opal.llm.Prompt`, and the option's ``name``
    artifacts : the run's; their exchanges tell whether the chat templates were used, or the one to complete
    locks : folder of the store's locks: two runs must not both make a version
    """
    from filelock import FileLock

    with readable(artifacts / traces.PROMPTS):
        first = next(traces.exchanges(artifacts), None)
        if first is None:
            return
        template = template_of(prompt, chat=first[1]["messages"] is not None)
    identity = hashlib.sha256(json.dumps(template).encode()).hexdigest()
    name = pending.clean_name(f"opal-{prompt['name']}")
    with FileLock(locks / "prompts.lock"):
        version = version_of(client, name, identity) or register(client, experiment_id, name, template, identity)
    # MLflow's function for this writes to the process's store, whatever store the client has
    client.set_tag(run_id, LINK, json.dumps([{"name": name, "version": version}]))


def template_of(prompt: Mapping[str, Any], chat: bool) -> str | list[dict[str, str]]:
    """The Jinja templates in MLflow's form: one text, or messages."""
    system, user, completion = (str(prompt.get(key) or "") for key in ("system", "user", "completion"))
    if chat:
        return [{"role": r, "content": t} for r, t in (("system", system), ("user", user)) if t]
    return completion or f"{system}\n\n{user}"


def version_of(client: MlflowClient, name: str, identity: str) -> str:
    """The newest version with this template, or ""."""
    wanted = f"name = '{name}' and tag.`mlflow.prompt.is_prompt` = 'true' and tag.`{IDENTITY}` = '{identity}'"
    found = client.search_model_versions(wanted, max_results=1)
    return str(found[0].version) if found else ""


def register(client: MlflowClient, experiment_id: str, name: str, template: Any, identity: str) -> str:
    """Make a version; the experiment's page lists it."""
    known = client.get_prompt(name)
    others = known.tags.get(OF_EXPERIMENTS, "").strip(",").split(",") if known else []
    listed = ",".join(dict.fromkeys(filter(None, [*others, experiment_id])))
    made = client.register_prompt(name, template, tags={IDENTITY: identity, OF_EXPERIMENTS: f",{listed},"})
    return str(made.version)
