"""The kinds of lines a program printed."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runwise_protocol.queries import Log

from runwised.formats.record import Text
from runwised.index.view import Line
from runwised.queries.log import answer
from runwised.queries.novel import LONGEST, MOST, MOST_ERRORS, Kinds, opening, shape

START = 1_700_000_000.0


@pytest.fixture
def counted():
    """``counted("chunk", …)``: first line and count of each kind."""

    def count(*chunks):
        kinds = Kinds()
        kinds.take(chunk if isinstance(chunk, Text) else Text(START, False, chunk) for chunk in chunks)
        return [(kind.first.text, kind.count) for kind in kinds.found]

    return count


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("step 1: loss 2.31, lr 3e-4", "step 1200: loss -.5, lr 0.00012"),
        ("2026-01-15 00:00:01,250 INFO ready", "2025-12-31T23:59:59.999 INFO ready"),
        ("Thu Nov 26 11:07:26 2026 ok", "Sun May  3 09:01:00 2026 ok"),
        ("run w8k2m4dq saved", "run e7c3u5ho saved"),
        ("commit 3f9a2bc01d", "commit 01ffe29ac3"),
        ("job 123e4567-e89b-12d3-a456-426614174000", "job 9f8e7d6c-5b4a-3c2d-1e0f-aabbccddeeff"),
        ("wrote /data/a/b.pt", "wrote ~/x.pt"),
        ("GET https://a.b/c?d=1", "GET https://host:80/"),
        ("loading 'a b.txt'", 'loading "c"'),
        ("  5%|▌         | 5/100 [00:01<?, ?it/s]", "100%|██████████| 100/100 [01:40<00:00, 9.9it/s]"),
        ("1/9 [>........] - loss: 3.1", "9/9 [=========] - loss: 2.0"),
        ("step    1 ok", "step 1000 ok"),
        ("sizes [1, 2]", "sizes [4, 5, 6]"),
        ("at 0xdeadbeef", "at 0x7f"),
        ("\x1b[31mred 1\x1b[0m", "red 2"),
    ],
)
def test_lines_that_differ_in_what_varies_are_of_one_kind(counted, one, other):
    assert counted(f"{one}\n{other}\n")[0][1] == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("step 1: loss 2.31", "step 2: loss nan"),
        ("train/loss 2.1", "val/loss 2.2"),
        ("{'loss': 2.1, 'lr': 1}", "{'eval_loss': 2.0, 'lr': 1}"),
        ("rank 0 ready", "rank 0 failed"),
        ("saved bf16", "saved fp16"),
    ],
)
def test_lines_that_say_something_else_are_of_two_kinds(counted, one, other):
    assert counted(f"{one}\n{other}\n") == [(one, 1), (other, 1)]


def test_a_progress_bar_counts_once_and_is_its_last_state(counted):
    bar = "".join(f"\r{n}%|{'█' * (n // 10):<10}| {n}/100" for n in range(101))
    assert counted("before\n", *bar, "\n", "after\r\n") == [
        ("before", 1),
        ("100%|██████████| 100/100", 1),
        ("after", 1),
    ]


def test_lines_are_put_together_from_chunks_of_each_stream(counted):
    chunks = [
        Text(START, False, "out "),
        Text(START, True, "err 1\ner"),
        Text(START, False, "1\n"),
        Text(START, True, "r"),
    ]
    assert counted(*chunks) == [("err 1", 1), ("out 1", 1), ("err", 1)]


def test_however_the_text_is_cut_the_kinds_are_the_same(counted):
    rng = random.Random(2)
    text = "".join(f"step {n} loss {rng.random():.{n % 9}f}\n" + "saved 'x'\r\n" * (n % 7 == 0) for n in range(500))
    whole = counted(text)
    assert [count for _, count in whole] == [500, 72]
    for size in (1, 7, 1000):
        assert counted(*(text[at : at + size] for at in range(0, len(text), size))) == whole


def test_more_kinds_than_can_be_told_apart_are_counted_and_errors_have_room_of_their_own():
    names = ["".join(random.Random(n).choices("abcdefgh", k=12)) for n in range(3 * MOST)]
    kinds = Kinds()
    kinds.take([Text(START, False, "".join(f"{name}\n" for name in names) + f"{names[0]}\nValueError: x\n")])
    assert (len(kinds.found), kinds.further) == (MOST + 1, 2 * MOST)
    assert kinds.found[0].count == 2
    assert kinds.found[-1].first.text == "ValueError: x"
    kinds.take(Text(START, True, f"{name}Error: y\n") for name in names)
    assert len(kinds.found) == MOST + MOST_ERRORS


PIECES = [
    *"000abcZ/.-=[]|'\" ,?_ex#T;) ",
    "://",
    "C:\\",
    "\x1b[31m",
    "\x1b",
    "Mon",
    "Jan,",
    "█",
    " 0,",
    "\u2003",
    "loss ",
]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_a_shape_begins_with_the_opening_of_its_line(line):
    begin = opening(line)
    assert not begin or f"{shape(line)} ".startswith(f"{begin} ")
    assert len(begin.split()) <= 3


def test_the_opening_of_prose_is_its_first_words():
    assert opening("the loss went down") == "the loss went"
    assert opening("epoch 0: 'a b' done") == "epoch 0:"
    assert opening("wrote /data/x 0") == "wrote"
    assert [opening(line) for line in ("", "0 a", "'a' b", "[00:00] a")] == ["", "", "", ""]


def test_lines_of_known_kinds_are_counted_among_any_number_of_others():
    known = [
        "saved '{}' to /data/{}",
        "step {} loss 0.{}",
        "{}/{} done",
        "\x1b[3{}mrank {}\x1b[0m ready",
        "Mon Jan {} {}",
    ]
    rng = random.Random(4)
    names = ["".join(rng.choices("abcdefgh", k=12)) for _ in range(4 * MOST)]
    others = [rng.choice((f"{name} and", f"saved {name}", f"'{name}' {name}", f"step 1 {name}")) for name in names]
    kinds = Kinds()
    kinds.take([Text(START, False, "".join(line.format(1, 2) + "\n" for line in known))])
    for at in range(0, len(others), 100):
        late = "".join(line.format(at, rng.randrange(10**6)) + "\n" for line in known)
        kinds.take([Text(START, False, "\n".join(others[at : at + 100]) + "\n" + late)])
    assert [kind.count for kind in kinds.found[: len(known)]] == [1 + len(others) // 100] * len(known)
    assert len(kinds.found) == MOST
    assert sum(kind.count for kind in kinds.found) + kinds.further == len(others) + len(known) * (
        1 + len(others) // 100
    )


def test_endless_lines_are_cut_and_say_so(counted):
    ((first, count),) = counted(*["x" * 100_000] * 30, "\n", "x" * 1_000_000 + "\n")
    assert count == 2
    assert first.startswith("x" * LONGEST + "… (")


@pytest.mark.parametrize("pattern", ["'", '"', "/", "[=", "|#", "0a", "a-", "=", "0-", "a0 ", "0x", "| ", "././"])
def test_a_line_made_to_be_slow_is_not(pattern):
    lines = [pattern * (size // len(pattern)) + "!" for size in (20_000, 40_000)]
    assert all(len(shape(line)) <= len(line) for line in lines)


def test_the_answer_tells_first_last_and_count(run_of, project_of):
    lines = [Line(START + n, n == 5, "boom" if n == 5 else f"step {n}") for n in range(10)]
    reply = answer(Log(novel=True), project_of(run_of(lines=lines)))
    assert (reply.matched, reply.kinds, reply.further) == (10, 2, 0)
    assert [(line.time, line.last_time, line.stream, line.text, line.count) for line in reply.lines] == [
        (START, START + 9, "stdout", "step 0", 9),
        (START + 5, START + 5, "stderr", "boom", 1),
    ]


def test_grep_errors_and_tail_choose_among_lines_and_kinds(run_of, project_of, ask):
    lines = ["step 1", "KeyError: 'a'", "step 2", "KeyError: 'b'", "TypeError: 3", "end"]
    view = project_of(run_of(lines=[Line(START, True, text) for text in lines]))
    assert ask(Log(novel=True), view) == (
        "3be9: 4 kinds of lines, 6 in all; how many and the first of each, 1h ago (quoted output)\n"
        "| x2 step 1\n| x2 KeyError: 'a'\n| x1 TypeError: 3\n| x1 end\n"
    )
    assert ask(Log(novel=True, errors=True), view) == (
        "3be9: 2 kinds of lines that speak of an error, 3 in all; how many and the first of each, 1h ago"
        " (quoted output)\n| x2 KeyError: 'a'\n| x1 TypeError: 3\n"
    )
    assert ask(Log(novel=True, grep="STEP 2"), view) == (
        "3be9: 1 kind of lines with 'STEP 2', 1 in all; how many and the first of each, 1h ago (quoted output)\n"
        "| x1 step 2\n"
    )
    assert ask(Log(novel=True, tail=1), view) == (
        "3be9: last 1 of 4 kinds of lines, 6 in all; how many and the first of each, 1h ago (quoted output)\n| x1 end\n"
    )
    assert ask(Log(novel=True, grep="none"), view) == "3be9 printed no line with 'none'\nnext: log 3be9\n"


def test_the_text_says_what_was_not_told_apart(run_of, project_of, ask):
    names = ["".join(random.Random(n).choices("abcdefgh", k=12)) for n in range(MOST + 7)]
    text = ask(Log(novel=True), project_of(run_of(lines=[Line(START, True, name) for name in names])), budget=200)
    assert text.startswith(
        "! 7 lines of still other kinds are not told apart; runwise log 3be9 --novel --grep TEXT\n"
        "3be9: 1000 kinds of lines, 1007 in all; "
    )
    assert "cut: " in text.splitlines()[-1]


def test_without_novel_no_line_has_a_count(run_of, project_of, ask):
    view = project_of(run_of(lines=[Line(START, False, "a")]))
    assert ask(Log(), view, form="jsonl") == f'{{"time":{START},"stream":"stdout","text":"a"}}\n'
