"""The loop: enough valid rows or a clear reason, the same rows however the answers came, nothing lost."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from fake_server import FakeLLM, Status
from scripted import Scripted, load, new_rows, train_of
from tables import mixed_table, number_table

from opal.errors import BudgetError, ConfigError, LLMError
from opal.llm.api.client import Client
from opal.llm.api.messages import Request
from opal.llm.rows.constrain import limits
from opal.llm.rows.generate import Generator
from opal.llm.rows.prompt import Prompt
from opal.llm.rows.write import lines
from opal.methods.llm import LLM
from opal.table import Group, Train


@pytest.fixture
def train():
    return train_of(number_table(), 1)


CSV = {"completion": "{{ header }}\n{{ examples }}\n", "user": "{{ examples }}", "label": False}
PROMPT = Prompt(**CSV)


def sample(client, train, n=40, prompt=PROMPT, **settings):
    return Generator(client, prompt, **settings).sample(train, {train.minority_groups[0]: n})


def test_gives_the_wanted_number_of_valid_rows(train):
    client = Scripted(new_rows(train))
    rows = sample(client, train)
    assert len(rows.frame) == 40 and not rows.stopped
    assert (rows.frame["label"] == 1).all()
    assert rows.frame.dtypes.equals(train.frame.dtypes)
    assert rows.funnel.requested == 40 and rows.funnel.kept == 40 <= rows.funnel.valid
    assert [r.n for r in client.requests] == [4, 4]
    assert rows.usage.requests == 2 and rows.usage.completion_tokens == 14
    assert len(rows.prompts) == 2 and rows.prompts[0]["texts"] and rows.prompts[0]["rows"]["valid"] == 20


def test_rows_do_not_depend_on_the_order_of_answers(train):
    def shuffled(responses):
        return random.Random(0).sample(responses, len(responses))

    plain = sample(Scripted(new_rows(train), n_per_request=1), train)
    mixed = sample(Scripted(new_rows(train), n_per_request=1, order=shuffled), train)
    assert plain.frame.equals(mixed.frame) and plain.prompts == mixed.prompts


def test_asking_for_more_begins_with_the_same_requests(train):
    few, many = Scripted(new_rows(train)), Scripted(new_rows(train))
    first, second = sample(few, train, 20), sample(many, train, 60)
    assert [r.key for r in few.requests] == [r.key for r in many.requests[:1]]
    assert first.frame.equals(second.frame.head(20))


def test_asks_again_for_what_was_rejected(train):
    good = new_rows(train)

    def half(request, i):
        return good(request, i) if i % 2 else "Sorry, no rows.\n99,99,99,99\n1,2\n"

    rows = sample(Scripted(half), train)
    assert len(rows.frame) == 40 and not rows.stopped
    assert {"stray", "wrong_columns"} <= set(rows.funnel.rejects)
    assert rows.funnel.requested > 40


def test_gives_up_with_a_sentence_and_keeps_what_is_there(train):
    good, answered = new_rows(train), []

    def once(request, i):
        answered.append(1)
        return good(request, i) if len(answered) == 1 else "no"

    rows = sample(Scripted(once), train, n=30)
    assert len(rows.frame) == 5
    assert "5 of the 30 rows wanted for label=1" in rows.stopped and "stray" in rows.stopped


@pytest.mark.parametrize("answer", ["", "I cannot do that.", "1,2,3,4,5,6", "x" * 1_000_000, '{"rows": []}'])
def test_no_valid_row_at_all_is_an_error_that_says_what_came(train, answer):
    client = Scripted(lambda *_: answer, n_per_request=1)
    with pytest.raises(LLMError, match=r"no valid row: 0 of the 10 rows wanted for label=1"):
        sample(client, train, n=10, prompt=replace(PROMPT, rows_per_request=10), patience=2)
    assert len(client.requests) < 10


def test_limit_holds_where_few_answers_are_good(train):
    good = new_rows(train, count=1)
    client = Scripted(lambda r, i: good(r, i) if r.draw % 4 == 0 and i == 0 else "no")
    rows = sample(client, train, n=40, max_rows_factor=5.0)
    assert rows.funnel.requested <= 5 * 40 + 20 and "the limit is met" in rows.stopped


def test_budget_ends_it_with_a_valid_partial_result(train):
    rows = sample(Scripted(new_rows(train), n_per_request=1, fail_at=3), train)
    assert len(rows.frame) == 15 and rows.stopped.startswith("llm.budget.requests=1 stops the run")
    assert "15 of the 40" in rows.stopped and len(rows.prompts) == 3
    with pytest.raises(BudgetError):
        sample(Scripted(new_rows(train), fail_at=0), train)


def test_copies_and_repeats_are_refused_where_rows_are_rich_and_natural_where_coarse(train):
    group = train.minority_groups[0]
    shown = [c for c in train.schema.columns if c.name != "label"]
    copies = "\n".join(lines(train.rows(group).head(5), shown, "csv")) + "\n"
    good = new_rows(train)
    client = Scripted(lambda r, i: copies if i == 0 else good(r, i - i % 2))
    rows = sample(client, train, reject_copies=True, reject_repeats=True)
    assert rows.funnel.rejects["copy_of_train_row"] and rows.funnel.rejects["repeat"]
    known = set(lines(train.frame, train.schema.columns, "csv"))
    made = lines(rows.frame, train.schema.columns, "csv")
    assert not set(made) & known and len(set(made)) == len(made) == 40
    coarse = replace(train, frame=train.frame.assign(x1=0.0, x2=0.0))
    coarse = replace(coarse, schema=coarse.schema.learn(coarse.frame))
    rows = sample(Scripted(lambda *_: "0.0,0.0,4,1\n" * 5), coarse)
    assert len(rows.frame) == 40 and not rows.funnel.rejects


@pytest.mark.parametrize("style", ["csv", "text", "json"])
def test_disguise_hides_the_table_and_gives_original_rows_back(style):
    table = mixed_table()
    train = train_of(table, "yes")
    group = train.minority_groups[0]
    seen = []

    def echo(request, i):  # the rows shown, as answer
        seen.append(request.prompt)
        return request.prompt.split("|")[1]

    prompt = Prompt(serialization=style, completion="{{ header }}{{ group }}|{{ examples }}|", label=style != "csv")
    rows = sample(Scripted(echo), train, n=5, prompt=prompt, obfuscate=True, reject_copies=False, missing="model")
    assert not any(word in seen[0] for word in ("smoker", "clerk", "nurse", "outcome", "yes", "income"))
    known = set(lines(train.rows(group), train.schema.columns, "csv"))
    assert set(lines(rows.frame, train.schema.columns, "csv")) <= known and len(rows.frame) == 5


def test_every_group_of_a_spurious_task_is_filled():
    table = number_table()
    train = train_of(table, 1, column="flag")
    method = LLM(Scripted(lambda r, i: f"1.{r.draw},0.{i},3\n2.1,0.{i},{r.draw}\n", n_per_request=1), PROMPT, widen=1.0)
    rows = method.sample(train, 21)
    assert rows.frame.groupby(["label", "flag"]).size().to_dict() == {(1, 0): 11, (1, 1): 10}


def test_a_rule_for_the_attribute_holds_and_is_told():
    table = number_table()
    groups = tuple(Group("label", v, v == 1, "count", above) for v in (0, 1) for above in (False, True))
    train = Train(table.frame, table.schema.learn(table.frame), groups, 1)
    client = Scripted(lambda r, i: f"0.{i},1.{r.draw % 9},{i},1\n", api="chat")
    prompt = Prompt(user="{{ group }}|{{ examples }}", label=False, rows_per_request=1)
    rows = Generator(client, prompt, widen=1.0).sample(train, {groups[3]: 6})
    assert client.requests[0].messages[0]["content"].startswith("label = 1, count > 0|")
    assert (rows.frame["count"] > 0).all() and rows.funnel.rejects["out_of_range"]


def test_wrong_attribute_is_a_wrong_label():
    table = number_table()
    train = train_of(table, 1, column="flag")
    prompt = Prompt(completion="{{ examples }}", label=True, rows_per_request=1)
    group = train.minority_groups[1]
    client = Scripted(lambda r, i: f"1,{i % 2},1.{r.draw},0.{i},3\n")
    rows = Generator(client, prompt, widen=1.0).sample(train, {group: 6})
    assert rows.funnel.rejects["wrong_label"] and (rows.frame["flag"] == group.level).all()


def test_plan_calls_nothing_and_is_the_first_round(train):
    client = Scripted(new_rows(train))
    method = LLM(client, PROMPT)
    plan = method.plan(train, 40)
    assert not client.requests and plan.rows == 40 and plan.prompt_tokens > 0 and plan.completion_tokens > 40
    method.sample(train, 40)
    assert [r.key for r in client.requests][: len(plan.requests)] == [r.key for r in plan.requests]


def test_progress_hears_of_rows_and_tokens(train):
    class Progress:
        rows = tokens = 0

        def advance(self, rows=0, tokens=0):
            self.rows, self.tokens = self.rows + rows, self.tokens + tokens

    progress = Progress()
    Generator(Scripted(new_rows(train)), PROMPT).sample(train, {train.minority_groups[0]: 40}, progress)
    assert (progress.rows, progress.tokens) == (40, 34)


def test_a_group_without_rows_says_what_to_do(train):
    empty = replace(train, frame=train.frame[train.frame["label"] == 0])
    with pytest.raises(ConfigError, match=r"prompt\.examples=random"):
        sample(Scripted(lambda *_: ""), empty)


def test_through_a_real_client_with_faults_nothing_received_is_lost(train, root, tmp_path):
    """Chat over HTTP: errors, prose, a length stop and wrong labels between good answers; then a replay."""
    good = new_rows(train, skip_label=False)
    columns = load(root, "expert").layout(limits(train.schema, train.minority_groups[0], 0), train.minority_groups[0])[
        0
    ]

    def answer(body):
        row = good(Request("", sampling={"seed": body["seed"]}), 0).split("\n")
        names = train.schema.names
        rows = [dict(zip(names, r.split(","), strict=True)) for r in row if r]
        return "\n".join(str({c.name: r[c.name] for c in columns}).replace("'", '"') for r in rows)

    script = [
        Status(429, retry_after=0.01),
        Status(500),
        "Here is nothing.",
        answer({"seed": 5}).replace('"label": "1"', '"label": "0"'),
    ]
    with FakeLLM(answer=answer, script=script) as fake:
        client = Client(
            model="fake", base_url=fake.url, key_env=None, backoff=0.01, store=tmp_path, n_per_request=1,
            sampling={"temperature": 1.0}, supports={"json_schema": True, "seed": True, "n": True},
        )  # fmt: skip
        prompt = load(root, "expert", rows_per_request=5)
        rows = sample(client, train, prompt=prompt)
        assert len(rows.frame) == 40 and rows.funnel.rejects["wrong_label"] == 5
        assert "response_format" in fake.requests[-1] and {p["mode"] for p in rows.prompts} == {"schema"}
        asked = len(fake.requests)
    again = Client(
        model="fake", base_url=fake.url, key_env=None, store=tmp_path, cache="replay", sampling={"temperature": 1.0}
    )
    assert sample(again, train, prompt=prompt).frame.equals(rows.frame) and len(fake.requests) == asked


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("xllamacpp")
    from opal.llm.local.server import LocalServer

    server = LocalServer(slots=2)
    yield server
    server.close()


@pytest.mark.local_model
@pytest.mark.parametrize("style", ["csv", "text", "json"])
def test_embedded_model_gives_only_valid_rows_of_a_mixed_table(style, server, tmp_path):
    train = train_of(mixed_table(), "yes", rows=60)
    client = Client(
        model=None,
        server=server,
        api="completion",
        key_env=None,
        n_per_request=2,
        concurrency=1,
        timeout=600,
        extra_body={"cache_prompt": False},
        sampling={"temperature": 1.0},
        store=tmp_path,
        supports={"grammar": "llguidance", "seed": True, "n": True},
    )
    prompt = Prompt(
        style, "{{ header }}\n{{ examples }}\n", rows_per_request=1, examples_per_request=3, label=style != "csv"
    )
    rows = sample(client, train, n=2, prompt=prompt)
    assert len(rows.frame) == 2 and {p["mode"] for p in rows.prompts} == {"grammar"}
    assert rows.funnel.parsed == rows.funnel.received == rows.funnel.requested


def test_augment_asks_for_rows_of_every_group(train):
    augmented = replace(train, augment=True)
    few = train.minority_groups[0]
    most = max(len(train.rows(g)) for g in train.groups)
    n = most - len(train.rows(few)) + 10
    client = Scripted(lambda request, i: new_rows(train)(request, i))
    rows = LLM(client, PROMPT).sample(augmented, n).frame
    assert few.mask(rows).sum() == n - 5 and few.mask(rows[: n - 10]).all()
    groups = {p["group"] for p in LLM(client, PROMPT).sample(augmented, n).prompts}
    assert groups == {g.name for g in train.groups}
    majority = next(g for g in train.groups if not g.minority)
    shown = lines(train.rows(majority), [c for c in train.schema.columns if c.name != "label"], "csv")
    assert any(set(shown) & set(r.prompt.splitlines()) for r in client.requests)
    asked = LLM(client, PROMPT).plan(augmented, n)
    assert asked.rows >= n
