"""Every mistake gets one sentence that names key, value and mend, and gets it before rows are made or paid for."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_server import FakeLLM
from hydra import compose, initialize_config_dir
from tables import craft_rows

import opal.run
from opal.config.build import CONF, build
from opal.config.build import compose as resolved_config
from opal.record.tracking import Tracking
from opal.trial.score import resolve_score

SMALL = ["task.train_rows=40", "task.test_rows=60", "seeds=[1]", "amounts.steps=1", "controls=none", "figures=false"]
MISTAKES = {
    # of type
    "run data.drop=X1": "data.drop=X1 must be a list, as in [a,b], or null: write data.drop=[X1]",
    "run data.name=[a]": "data.name=['a'] must be text",
    "run amounts=3": "amounts=3 replaces the whole section amounts: set one of its keys",
    "run amounts=[1]": "amounts=[1] has the wrong form: amounts holds keys, as in amounts.KEY=VALUE",
    "run seeds={a:1}": "seeds={a:1} has the wrong form: seeds holds a list",
    "run data=3": "data=3 is not an option; options: breast_cancer",
    "run controls.smote=null": "controls.smote=null must be a section with a _target_",
    "run method=adasyn method.sampler=foo": "method.sampler=foo must be a section with a _target_",
    "run data_dir=[a]": "data_dir=['a'] must be text or null",
    "run task.minority_share=nan": "task.minority_share=nan must be a number or null",
    "run data.name=${nope}": "the configuration cannot be resolved: Interpolation key 'nope' not found",
    # of name
    "run +method.k_neighbours=3": "method.k_neighbours=3 is not a key of method; did you mean method.k_neighbors?",
    "run +classifier.estimator.max_iters=3": "classifier.estimator.max_iters=3 is not a key of classifier",
    "run amounts.foo=1": "amounts.foo is not a key of amounts; did you mean amounts.size?",
    "run +data.sizes.imbalanced.rows=1": "data.sizes.imbalanced.rows is not a size of task=imbalanced; its sizes",
    "run method=none,smote method.k_neighbors=3 -m": "method.k_neighbors is not a key of method=none: sweep",
    # left out
    "run ~seeds": "~seeds removes what opal run needs",
    "run ~controls": "~controls removes what opal run needs: controls=none",
    "run method=adasyn ~method.sampler": "method.sampler is missing: give it a value, or leave out ~method.sampler",
    "run llm=openai_compatible method=llm": "llm.model is not set: give it, as in llm.model=VALUE",
    # of range
    "run task.minority_share=2": "task.minority_share=2 is a share of the train rows",
    "run task.train_rows=3": "task=imbalanced leaves no train row for Target=0: ask for more",
    "run amounts.steps=1000000000": "amounts.steps=1000000000 must lie between 0 and",
    "run amounts.size=4000000000000": "not enough memory",
    "run task.train=a.csv": "task.train=a.csv is read with task.split=files alone",
    "run method=adasyn method.sampler.n_neighbors=-1": "ADASYN makes no rows from these train rows of Target=0: The",
    "run classifier.estimator.C=foo": "classifier.estimator does not work on these rows as it is set: The 'C'",
    "run method=llm llm=openai llm.budget.money=nan": "llm.budget.money=nan must be a number, 0 or more",
    "run method=llm llm=openai llm.prices.prompt=a": "llm.prices.prompt=a must be a number, 0 or more",
    # of score
    "run score=balanced_eror": "score=balanced_eror is not measured; did you mean balanced_error?",
    "run score=control/smot/error controls=free": "score=control/smot/error is not measured; did you mean control/",
    "run score=validation validation.folds=0": "score=validation is measured on validation folds: set validation.",
    "run score=validation method=none": "score=validation needs synthetic rows",
    "run score=group_balanced_error": "score=group_balanced_error is not measured where no attribute defines groups",
    "run replicates=x replicates.trainings=2": "replicates.trainings is a key of replicates, which another",
    # of the other verbs
    "split output=/dev/null": "output=/dev/null cannot be a folder: /dev/null is a file",
    "tune classifier=random_forest output=/dev/null/x": "output=/dev/null/x cannot be a folder: /dev/null is a file",
    "split data=craft task.train_rows=100000000000000000000 output=s": "task.train_rows=100000000000000000000 is more",
    "split output=~nobody-here/x": "output=~nobody-here/x cannot be a folder: Could not determine home directory",
    "augment data=craft rows=5 output=~nobody-here/x.csv": "output=~nobody-here/x.csv cannot be a file: Could not",
    "augment data=craft rows=5 output=/dev/null/x.csv": "output=/dev/null/x.csv cannot be a file: /dev/null is a file",
    "fit method=none controls=none output=m": "method=none and controls=none leave nothing to compare",
    "augment rows=true output=a.csv": "rows=true must be a whole number, 1 or more",
    "augment rows=5 output=[1]": "output=[1] must be text or null",
    "augment rows=5 output=a.csv method=none": "method=none makes no rows",
    "split output=null": "output=null must be text",
    "split score=nonsense": "opal split does not use score=nonsense: remove it",
    "split validation.folds=7": "opal split does not use validation.folds=7: remove it",
    "augment controls=none output=a.csv": "opal augment does not use controls=none: remove it",
    "tune method=smote": "opal tune does not use method=smote: remove it",
    "tune trials=foo": "trials=foo must be a whole number, 0 or more",
    "tune folds=1": "folds=1 must be a whole number, 2 or more",
    "tune space.C={low:-1,high:2,log:true}": "space.C.low=-1 must be above zero on a log scale",
    "store --responses nowhere": "--responses nowhere is not a folder",
}


@pytest.mark.slow
@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_told_in_one_sentence(command, verb):
    name, *typed = command.split()
    small = [word for word in SMALL if word.split("=")[0] not in command] if name == "run" else []
    method = ["method=smote"] if name in ("run", "augment") and "method=" not in command else []
    code, out, err = verb(name, *small, *method, *typed)
    assert code == (1 if "memory" in MISTAKES[command] else 2) and not out
    assert err.startswith(f"opal: {MISTAKES[command]}") and err.count("\n") == 1, err


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["score=foo", "classifier.estimator.C=foo", "+controls.smote.method.k=3"])
def test_no_model_is_asked_before_the_settings_are_right(wrong, verb, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    given = [word for word in SMALL if not word.startswith("controls")]
    with FakeLLM(answer=craft_rows()) as server:
        code, _, err = verb("run", "method=llm", "llm=openai", f"llm.base_url={server.url}", *given, wrong)
    assert code == 2 and not server.requests, err


@pytest.mark.slow
def test_a_trial_that_ended_is_recorded_though_it_has_no_score(verb):
    few = [word for word in SMALL if not word.startswith("controls")]
    code, out, err = verb("run", "method=none", "classifier=knn", "score=control/class_weight/error", *few)
    assert code == 0 and out
    assert "no score: seed 1 has no control/class_weight/error" in err
    assert [run.info.status for run in Tracking().runs()] == ["FINISHED"]


@pytest.mark.parametrize(
    ("task", "metric"),
    [("imbalanced", "validation_balanced_error"), ("spurious", "validation_group_balanced_error")],
)
def test_a_search_decides_by_what_the_amount_is_chosen_by(task, metric, tmp_path):
    table = Path(tmp_path, "t.csv")
    table.write_text("x,g,y\n" + "".join(f"{i},{'ab'[i % 3 > 0]},{i % 2}\n" for i in range(80)))
    typed = [f"data.path={table}", "data.target=y", "data.group=g", f"task={task}", "data=csv", "method=smote"]
    with initialize_config_dir(CONF, version_base="1.3"):
        config = compose("run", overrides=[*typed, "hydra/sweeper=optuna"], return_hydra_config=True)
    assert resolve_score(config.hydra.sweeper.score, build(resolved_config(*typed))) == metric


def test_ctrl_c_while_a_sweep_is_summed_up_is_one_sentence(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(opal.run, "launch", lambda *_: None)
    monkeypatch.setattr(opal.run.Callback, "sum_up", interrupted)
    with pytest.raises(SystemExit) as end:
        opal.run.main()
    assert end.value.code == 130
    assert capsys.readouterr().err.startswith("opal: stopped; what was finished is kept")
