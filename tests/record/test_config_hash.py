"""What the hashes depend on, and what they do not."""

from __future__ import annotations

import json
import os
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trials
from hydra.utils import get_object
from omegaconf import OmegaConf

from opal.config.addresses import RENAMED
from opal.config.build import compose
from opal.errors import ConfigError
from opal.record.config_hash import config_hash, generation_hash, science

GOLDEN = Path(__file__).with_name("golden_hashes.json")
TABLE = trials.table()
BASE: dict[str, Any] = {
    "data": {"_target_": "opal.data.load_csv", "path": "/here/toy.csv"},
    "data_dir": None,
    "task": {"_target_": "opal.tasks.Imbalanced", "test_rows": 4},
    "method": {
        "_target_": "opal.methods.LLM",
        "client": {
            "_target_": "opal.llm.Client",
            "model": "m",
            "base_url": "http://a/v1",
            "key_env": "A",
            "concurrency": 1,
            "sampling": {"temperature": 1.0},
            "store": "mlruns/responses",
            "server": {"_target_": "opal.llm.LocalServer", "weights": None, "threads": 1},
        },
        "prompt": {"_target_": "opal.llm.Prompt", "user": "{{ rows }} rows"},
    },
    "classifier": {"estimator": {"_target_": "sklearn.linear_model.LogisticRegression", "C": 1.0, "n_jobs": 1}},
    "controls": {},
    "seeds": [1, 2],
    "amounts": {"steps": 5, "size": None},
    "n_jobs": 1,
    "tracking": {"uri": None},
    "llm": {"model": "m"},
    "prompt": {"user": "{{ rows }} rows"},
}


def changed(path: str, value: object) -> dict:
    config = deepcopy(BASE)
    node: Any = config
    *parents, last = path.split(".")
    for key in parents:
        node = node[key]
    node[last] = value
    return config


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("n_jobs", 8),
        ("data_dir", "/elsewhere"),
        ("data.path", "/elsewhere/toy.csv"),
        ("tracking.uri", "http://server"),
        ("tracking.existing", "rerun"),
        ("dry_run", True),
        ("llm.model", "unused"),
        ("prompt.user", "unused"),
        ("method.client.base_url", "http://b/v1"),
        ("method.client.key_env", "B"),
        ("method.client.concurrency", 9),
        ("method.client.timeout", 5),
        ("method.client.retries", 5),
        ("method.client.prices", {"prompt": 1}),
        ("method.client.budget", {"money": 1}),
        ("method.client.store", "/elsewhere"),
        ("method.client.cache", "replay"),
        ("method.client.server.weights", "/elsewhere/model.gguf"),
        ("method.client.server.patience", 600),
        ("method.client.mode", "batch"),
        ("classifier.estimator.n_jobs", 4),
        ("classifier.estimator.verbose", True),
        ("hydra", {"launcher": "joblib"}),
    ],
)
def test_what_does_not_count(path, value):
    config = changed(path, value)
    assert config_hash(config, TABLE) == config_hash(BASE, TABLE)
    assert generation_hash(config, TABLE) == generation_hash(BASE, TABLE)


@pytest.mark.parametrize(
    ("path", "value", "generation"),
    [
        ("seeds", [1, 3], True),
        ("amounts.steps", 4, True),
        ("task.test_rows", 5, True),
        ("task.test_rows", 4.0, True),  # a number and a share may differ
        ("method.client.model", "n", True),
        ("method.client.sampling.temperature", 0.5, True),
        ("method.client.sampling.top_p", 0.5, True),
        ("method.client.server.threads", 2, True),
        ("method.client.extra_body", {"reasoning_effort": "low"}, True),
        ("method.prompt.user", "other", True),
        ("method._target_", "other.Method", True),
        ("method.new_option", None, True),
        ("new_section", 1, True),
        ("classifier.estimator.C", 2.0, False),
        ("classifier.drop_last_feature", True, False),
        ("controls.class_weight", {}, False),
    ],
)
def test_what_counts(path, value, generation):
    config = changed(path, value)
    assert config_hash(config, TABLE) != config_hash(BASE, TABLE)
    assert (generation_hash(config, TABLE) != generation_hash(BASE, TABLE)) == generation


def test_the_table_counts_by_what_it_holds():
    hashes = {config_hash(BASE, TABLE)}
    assert config_hash(BASE, replace(TABLE, name="other", source="elsewhere")) in hashes
    frame = TABLE.frame.copy()
    frame.loc[3, "x"] += 0.01
    columns = TABLE.schema.columns
    described = replace(TABLE.schema, columns=(replace(columns[0], description="?"), *columns[1:]))
    others = [
        replace(TABLE, frame=frame),
        replace(TABLE, minority=1),
        replace(TABLE, group="c"),
        replace(TABLE, sizes={"imbalanced": {"test_rows": 3}}),
        replace(TABLE, schema=described),
    ]
    hashes |= {config_hash(BASE, table) for table in others}
    assert len(hashes) == 1 + len(others)
    assert config_hash(BASE, TABLE, "model@sha256:1") not in hashes


def test_files_count_by_what_they_hold(tmp_path):
    def hash_of(folder: str, content: str) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        for seed in (1, 2):
            (tmp_path / folder / f"rows_{seed}.csv").write_text(content)
        path = str(tmp_path / folder / "rows_{seed}.csv")
        return generation_hash(changed("method", {"_target_": "opal.methods.Replay", "path": path}), TABLE)

    assert hash_of("a", "x\n1\n") == hash_of("b", "x\n1\n") != hash_of("c", "x\n2\n")


def test_order_of_keys_does_not_count_and_omegaconf_is_resolved():
    turned = OmegaConf.create({**dict(reversed(BASE.items())), "seeds": "${chosen}", "data_dir": "${chosen}"})
    turned.chosen = [1, 2]
    plain: Any = OmegaConf.to_container(turned, resolve=True)
    assert config_hash(turned, TABLE) == config_hash(plain, TABLE)
    del plain["chosen"]
    assert config_hash(plain, TABLE) == config_hash(BASE, TABLE)


def test_what_cannot_be_hashed_is_said():
    with pytest.raises(ConfigError, match="plain values"):
        config_hash(changed("method.thing", object()), TABLE)
    with pytest.raises(ConfigError, match="cannot be resolved"):
        config_hash(OmegaConf.create({"seeds": "${nowhere}"}), TABLE)


def composed(*overrides: str) -> Any:
    return compose(*overrides)


def test_override_order_and_unused_groups_do_not_count():
    first = composed("method=smote", "classifier=catboost", "llm=local", "n_jobs=2")
    second = composed("classifier=catboost", "llm=openai", "prompt=expert", "method=smote", "tracking.existing=rerun")
    assert config_hash(first, TABLE) == config_hash(second, TABLE)
    assert "mlruns" not in json.dumps(science(composed("method=llm"), TABLE))


@pytest.mark.slow
def test_the_most_seeds_count_with_seeds_auto_alone():
    def hashed(*overrides: str) -> str:
        return config_hash(composed("method=smote", *overrides), TABLE)

    assert hashed("answer.most_seeds=20") == hashed()
    assert hashed("seeds=auto", "answer.most_seeds=20") != hashed("seeds=auto") != hashed()


def test_golden_hashes():
    """These hashes name runs that people have: they change only with a changed meaning, and then on purpose."""
    configs = {
        "fixed": BASE,
        "smote": composed("method=smote"),
        "duplicate catboost spurious": composed("method=duplicate", "classifier=catboost", "task=spurious"),
        "llm openai": composed("method=llm", "llm=openai", "prompt=expert"),
        "none random_forest": composed("method=none", "classifier=random_forest"),
    }
    now = {name: [generation_hash(c, TABLE), config_hash(c, TABLE)] for name, c in configs.items()}
    if os.environ.get("OPAL_GOLDEN") == "write":
        GOLDEN.write_text(json.dumps(now, indent=1) + "\n")
    assert now == json.loads(GOLDEN.read_text()), (
        "a hash changed, so that every such run would be computed again: if a default or a meaning changed on purpose, "
        "write them again with OPAL_GOLDEN=write (and raise SCHEMA_VERSION for a changed meaning)"
    )


def test_an_address_of_0_1_has_the_hash_of_its_public_name():
    old = changed("method._target_", "opal.methods.llm.LLM")
    old["method"]["client"] = old["method"]["client"] | {"_target_": "opal.llm.client.Client"}
    assert config_hash(old, TABLE) == config_hash(BASE, TABLE)


def test_every_renamed_address_leads_to_its_public_name():
    for public in set(RENAMED.values()):
        assert get_object(public) is not None


def test_a_section_without_an_address_prints_no_error(caplog):
    from opal.config.effect import without_effect
    from opal.report.run_artifacts import scalars_of

    without_effect.cache_clear()
    assert scalars_of({"sampling": {"top_k": 40}}, "llm") == {"llm.sampling.top_k": 40}
    assert not caplog.records, "Hydra says 'Error getting object at' where there is none"
