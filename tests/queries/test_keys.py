import pytest
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries import ListKeys

from runwised.queries.keys import answer

HIST = {"_type": "histogram", "values": [1], "bins": [0, 1]}


@pytest.fixture
def view(run_of, project_of):
    rows = [{"train/loss": 1.0, "lr": 0.1, "_runtime": 3} for _ in range(6)]
    rows[2] |= {"val/loss": 2.0, "grads": HIST}
    rows[4] |= {"val/loss": "diverged", "note": "x"}
    return project_of(run_of(rows, name="gpt"))


def test_every_key_is_listed_with_kind_count_and_last_step(view):
    found = [(entry.key, entry.kind, entry.count, entry.last_step) for entry in answer(ListKeys(), view).keys]
    assert found == [
        ("train/loss", "number", 6, 5),
        ("lr", "number", 6, 5),
        ("val/loss", "number+string", 2, 4),
        ("grads", "histogram", 1, 2),
        ("note", "string", 1, 4),
    ]


def test_keys_are_selected_by_name_and_glob(view):
    assert [entry.key for entry in answer(ListKeys(keys=("note", "*/loss")), view).keys] == [
        "note",
        "train/loss",
        "val/loss",
    ]
    with pytest.raises(RunwiseError, match="no metric 'x'"):
        answer(ListKeys(keys=("x",)), view)


def test_text_puts_keys_logged_alike_on_one_line(view, ask):
    assert ask(ListKeys(), view) == (
        "gpt 5 keys in 6 rows (kind count@last step: keys)\n"
        "number 6@5: train/loss lr\n"
        "number+string 2@4: val/loss\n"
        "histogram 1@2: grads\n"
        "string 1@4: note\n"
    )


def test_text_for_a_person_has_a_line_for_each_key(view, ask):
    assert ask(ListKeys(keys=("*loss",)), view, dress="human") == (
        "gpt 2 keys in 6 rows\n"
        "key         kind           count@last step\n"
        "train/loss  number                     6@5\n"
        "val/loss    number+string              2@4\n"
    )


def test_many_keys_with_one_beginning_are_one(run_of, project_of, ask):
    row = {f"wide/{n}": 1.0 for n in range(3000)} | {"loss": 1.0, "opt.lr": 1.0}
    sparse = {f"norm_{n}": 1.0 for n in range(50)}
    view = project_of(run_of([row, row | sparse], name="gpt"))
    assert ask(ListKeys(), view) == (
        "gpt 3052 keys in 2 rows (kind count@last step: keys)\n"
        "number 2@1: wide/*(3000) loss opt.lr\n"
        "number 1@1: norm_*(50)\n"
        "next: keys gpt -k 'wide/*'\n"
    )


def test_keys_put_together_that_were_logged_differently_show_the_range(run_of, project_of, ask):
    rows = [{f"layer/{n}": 1.0 for n in range(60) if n <= step * 30} | {"loss": 1.0} for step in range(3)]
    assert "number 1..3@2: layer/*(60)\n" in ask(ListKeys(), project_of(run_of(rows)))


def test_the_keys_behind_a_glob_are_listed_and_what_is_cut_is_said(run_of, project_of, ask):
    view = project_of(run_of([{f"wide/{n}": 1.0 for n in range(3000)}], name="gpt"))
    text = ask(ListKeys(keys=("wide/*",)), view)
    assert "wide/0 wide/1 wide/2" in text
    assert text.splitlines()[-1].startswith("cut: ")
    assert text.splitlines()[-1].endswith(" lines; runwise keys gpt -k GLOB")


def test_a_run_without_metrics_says_so(run_of, project_of, ask):
    assert ask(ListKeys(), project_of(run_of(name="gpt"))) == "gpt has logged no metrics\n"
