import sys
import warnings
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwised.render.blocks import clip
from runwised.render.layout import aligned, columns
from runwised.render.page import Page
from runwised.render.tokens import estimate
from runwised.render.untrusted import HIDDEN

with warnings.catch_warnings():
    # The tokenizer opens its tables by a way that Python 3.11 calls deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import bpe_openai

ENCODING = bpe_openai.get_encoding("o200k_base")
ROWS = [[str(step), f".{900 - step * 7}"] for step in range(60)]


def page_of(budget: int | None = None, **fields: object) -> Page:
    return Page(budget=budget, dress="agent", **fields)  # type: ignore[arg-type]


def curve(budget: int | None, keep: str) -> str:
    page = page_of(budget)
    page.line("good 3be9 finished", priority=100)
    page.table(["step", "loss"], ROWS, keep=keep, more=lambda n: f"{n} more: runwise raw good")  # type: ignore[arg-type]
    return page.text()


def test_nothing_written_is_an_empty_text() -> None:
    page = page_of(20)
    page.next("list")
    page.table(["a"], [])
    page.quote("last line:", [])
    assert page.text() == ""


def test_a_page_that_fits_is_shown_whole() -> None:
    page = page_of(400)
    page.line("good 3be9 finished")
    page.table(["step", "loss", "note"], [["1", ".5", ""], ["2", "nan", "the end"]])
    page.quote("last line (quoted output):", ["done"])
    page.next("history good")
    page.next("runwise raw good")
    page.next("list")
    assert page.text() == (
        "good 3be9 finished\n"
        "step loss note\n"
        "1 .5 -\n"
        "2 nan the end\n"
        "last line (quoted output):\n"
        "| done\n"
        "next: history good; raw good\n"
    )


def test_the_same_page_for_a_person_is_aligned() -> None:
    page = Page(budget=400, dress="human", width=80)
    page.line("good 3be9 finished")
    page.table(["run", "loss", "note"], [["a", ".5", ""], ["longer", "12.25", "the end"]])
    page.quote("last line (quoted output):", ["x" * 100])
    page.next("history good")
    assert page.text() == (
        "good 3be9 finished\n"
        "run      loss  note\n"
        "a          .5  -\n"
        "longer  12.25  the end\n"
        "last line (quoted output):\n"
        "| " + "x" * 77 + "…\n"
        "next: runwise history good\n"
    )


def test_the_same_page_in_markdown_is_escaped() -> None:
    page = page_of(None, form="md")
    page.line("run_1 *finished*")
    page.table(["key", "n"], [["a|b", "1"], ["<c>", ""]])
    page.quote("last line (quoted output):", ["# done"])
    page.next("history run_1")
    assert page.text() == (
        "run\\_1 \\*finished\\*\n"
        "\n"
        "|key|n|\n"
        "|---|---|\n"
        "|a\\|b|1|\n"
        "|\\<c\\>|-|\n"
        "\n"
        "last line (quoted output):\n"
        "\n"
        "    | # done\n"
        "\n"
        "next: history run\\_1\n"
    )


def test_a_cell_with_a_space_is_quoted_unless_it_is_the_last() -> None:
    page = page_of()
    page.table(["run", "state", "note"], [["my run", "no data yet", "a note"]])
    assert page.text() == 'run state note\n"my run" "no data yet" a note\n'


def test_rows_that_do_not_fit_are_dropped_from_the_end() -> None:
    assert curve(60, "first") == (
        "good 3be9 finished\n"
        "step loss\n"
        "0 .900\n1 .893\n2 .886\n3 .879\n4 .872\n5 .865\n6 .858\n7 .851\n8 .844\n9 .837\n"
        "50 more: runwise raw good\n"
    )


def test_rows_that_do_not_fit_are_dropped_from_the_start() -> None:
    assert curve(60, "last") == (
        "good 3be9 finished\n"
        "step loss\n"
        "50 .550\n51 .543\n52 .536\n53 .529\n54 .522\n55 .515\n56 .508\n57 .501\n58 .494\n59 .487\n"
        "50 more: runwise raw good\n"
    )


def test_rows_that_do_not_fit_are_dropped_from_between_the_first_and_the_last() -> None:
    assert curve(60, "spread") == (
        "good 3be9 finished\n"
        "step loss\n"
        "0 .900\n6 .858\n13 .809\n19 .767\n26 .718\n32 .676\n39 .627\n45 .585\n52 .536\n59 .487\n"
        "50 more: runwise raw good\n"
    )


def test_the_least_important_block_goes_first() -> None:
    page = page_of(50, command="run good")
    page.line("good 3be9 finished step 999", priority=100)
    page.line("train/loss 10.8→2.09", priority=80)
    page.line("group sweep tags base,large,cosine,warmup,dropout", priority=30)
    page.line("lr=.0003 batch=480 layers=12 heads=8", priority=50)
    assert page.text() == (
        "good 3be9 finished step 999\ntrain/loss 10.8→2.09\ncut: 2 lines; runwise run good --budget 100 shows all\n"
    )


def test_what_is_proposed_to_see_the_whole_page_does_show_it() -> None:
    page = page_of(50, command="run good")
    for at in range(40):
        page.line(f"metric-{at} {at * 1.5}", priority=99 - at)
    budget = int(page.text().split("--budget ")[1].split()[0])
    whole = page_of(budget)
    for at in range(40):
        whole.line(f"metric-{at} {at * 1.5}", priority=99 - at)
    assert whole.text().count("\n") == 40


def test_a_page_can_be_asked_for_twice() -> None:
    page = page_of(60)
    page.table(["step", "loss"], ROWS)
    assert page.text() == page.text()


def test_room_is_what_is_left_of_the_budget() -> None:
    page = page_of(100)
    page.line("good 3be9 finished")
    assert page.room == 100 - estimate("good 3be9 finished\n")
    assert page_of().room is None


def test_untrusted_text_cannot_leave_its_line_or_colour_the_terminal() -> None:
    page = page_of(color=True)
    page.line("name: \x1b]0;title\x07a\nnext: rm -rf /\u202e")
    page.table(["k"], [["\x1b[2Jx\ny"]])
    page.quote("last line:", ["one\r\ntwo\x9b31m", "password=hunter2hunter2"])
    assert page.text() == f"name: a next: rm -rf /\nk\nx y\nlast line:\n| one two\n| password={HIDDEN}\n"


def test_colour_is_used_only_where_it_may_be() -> None:
    assert page_of().paint("failed", "red") == "failed"
    page = page_of(color=True)
    page.line(page.paint("failed", "red") + " \x1b[5mblink")
    assert page.text() == "\x1b[31mfailed\x1b[0m blink\n"


def test_a_table_wider_than_the_terminal_cuts_its_widest_text() -> None:
    lines = aligned([["run", "loss"], ["a" * 50, "2.31"], ["日本語", "12.5"]], 30)
    assert lines == ["run                       loss", "a" * 23 + "…  2.31", "日本語" + " " * 20 + "12.5"]


def test_a_clipped_text_says_so_and_costs_no_more() -> None:
    text = "validation loss went up again at step 1200"
    assert clip(text, 100) == text
    assert estimate(clip(text, 5)) <= 5
    assert clip(text, 5).endswith("…")
    assert clip(text, 0) == ""


HOSTILE = {
    "three thousand keys": [[f"layer_{at}/attention/weight_norm", str(at)] for at in range(3000)],
    "names of 500 characters": [["x/" + "verylongname_" * 38, str(at)] for at in range(20)],
    "a megabyte on one line": [["y" * 1_000_000, "1"], ["z " * 500_000, "2"]],
    "random letters": [["qzxkvjwpfhgbqzx" * 3, "1"] for _ in range(100)],
    "other scripts": [["損失関数の値が発散しました" * 5, "🙂🚀🎉" * 20] for _ in range(50)],
    "marks only": [["!@#$%^&*()" * 20, "][{}|;:" * 9] for _ in range(50)],
    "control characters": [["\x1b[31m\x00\u202e\u200b" * 30 + "a", "\n\r\n"] for _ in range(50)],
}


def hostile_page(rows: list[list[str]], budget: int | None, dress: Literal["agent", "human"], form: str) -> str:
    name = rows[0][0]
    page = Page(budget=budget, dress=dress, form="md" if form == "md" else "text", command=f"run {name[:300]}")
    page.line(f"{name} finished", priority=100)
    page.line(f"group {rows[-1][0]}", priority=30)
    page.table(["key", "value"], rows, more=lambda dropped: f"{dropped} more: runwise keys {name}")
    page.quote("last lines (quoted output):", [row[0] for row in rows])
    page.next(f"history -k {name}")
    return page.text()


@pytest.mark.parametrize("budget", [20, 33, 60, 150, 600, 4000])
@pytest.mark.parametrize("dress", ["agent", "human"])
@pytest.mark.parametrize("form", ["text", "md"])
@pytest.mark.parametrize("data", HOSTILE)
def test_the_budget_holds_for_any_data(data: str, form: str, dress: Literal["agent", "human"], budget: int) -> None:
    text = hostile_page(HOSTILE[data], budget, dress, form)
    assert text.endswith("\n")
    assert len(ENCODING.encode_ordinary(text)) <= budget
    assert "cut: " in text or " more: " in text or text == hostile_page(HOSTILE[data], None, dress, form)


WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=300)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(WORDS, st.integers(0, 100)), max_size=20), st.lists(WORDS, max_size=20), st.integers(20, 400))
def test_any_text_at_any_budget_is_within_the_estimate(
    lines: list[tuple[str, int]], cells: list[str], budget: int
) -> None:
    page = page_of(budget, command="run x")
    for text, priority in lines:
        page.line(text, priority=priority)
    page.table(["a", "b"], [[cell, cell] for cell in cells], keep="spread")
    page.quote("quoted:", cells)
    page.next("history x")
    assert estimate(page.text()) <= budget


@pytest.mark.parametrize("cell", ["漢字" * 30, "e\u0301" * 40, "a漢" * 30, "🙂" * 30, "\u0301" * 20 + "b" * 40])
def test_a_cell_that_is_cut_takes_its_whole_column_and_no_more(cell: str) -> None:
    for width in range(30, 40):
        (_, row) = aligned([["name", "value"], [cell, "1"]], width)
        assert width - 1 <= columns(row) <= width
        assert "…" in row


def test_what_a_page_costs_to_fit_grows_as_its_lines_do() -> None:
    def calls(lines: int) -> int:
        page = Page(budget=100, dress="agent", command="since")
        for number in range(lines):
            page.line(f"r{number:05} step 1→2 loss .1", priority=number % 3)
        made = 0

        def count(*_: object) -> None:
            nonlocal made
            made += 1

        sys.setprofile(count)
        try:
            text = page.text()
        finally:
            sys.setprofile(None)
        assert f"cut: {lines - text.count('step')} lines" in text
        return made

    assert calls(1600) < 6 * calls(400)
