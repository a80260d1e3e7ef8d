import ast
import random
import warnings
from itertools import islice, product
from pathlib import Path

import pytest

from runwised.render import tokens
from runwised.render.tokens import estimate

with warnings.catch_warnings():
    # The tokenizer opens its tables by a way that Python 3.11 calls deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import bpe_openai

ENCODING = bpe_openai.get_encoding("o200k_base")
TESTS = Path(__file__).parents[1]


def real(text: str) -> int:
    return len(ENCODING.encode_ordinary(text))


def goldens() -> list[str]:
    """Every text of more than one line that a test of the queries compares with."""
    files = sorted((TESTS / "queries").glob("test_*.py"))
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return list(dict.fromkeys(text for text in texts if text.count("\n") > 1 and len(text) > 60))


def tables() -> list[str]:
    """Numbers in the layouts that answers use."""
    draw = random.Random(7)
    losses = [3 * draw.random() for _ in range(60)]
    plain = "".join(f"{10 * at} {loss:.4g} {loss * 1.07:.3f} {3e-4 * loss:.6f}\n" for at, loss in enumerate(losses))
    exact = "".join(f"{10 * at},{loss!r},{loss * 1.07!r}\n" for at, loss in enumerate(losses))
    markdown = "".join(f"|run-{at}|finished|{at * 311}|{loss:.4f}|\n" for at, loss in enumerate(losses))
    aligned = "".join(f"run-{at:<8}finished{at * 311:>8}{loss:>10.4f}\n" for at, loss in enumerate(losses))
    trends = "".join(f"seed{at} {draw.randrange(10**15):015d}\n" for at in range(40))
    ids = "".join(f"{''.join(draw.choices('abcdefghijklmnopqrstuvwxyz0123456789', k=8))} finished\n" for _ in range(60))
    return [plain.replace(" 0.", " ."), plain, exact, markdown, aligned, trends, ids]


PATHS = """\
wandb/offline-run-20250314_015912-a3k9x2lq/run-a3k9x2lq.wandb wandb 98 MB
/home/user/projects/nano/wandb/run-20250314_125912-0pq8z7vn/files/output.log text 12 kB
logs/seed_3/events.out.tfevents.1710000000.trainbox.4711.0 tfevents 7 MB
/data/fineweb/train_000001.bin checkpoints/step_86000/optimizer.pt ../shared/config/base.yaml
"""
TRACEBACK = """\
last error (quoted output):
| Traceback (most recent call last):
|   File "/home/user/project/train.py", line 212, in <module>
|     main(parse_args())
|   File "/home/user/project/train.py", line 143, in main
|     loss = model(batch["input_ids"].to(device), labels=batch["labels"])
|   File "/opt/conda/lib/python3.11/site-packages/torch/nn/modules/module.py", line 1532, in _wrapped_call_impl
|     return self._call_impl(*args, **kwargs)
| torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 79.15 GiB total capacity)
"""
LOG = """\
Epoch 3:  45%|████▌     | 451/1000 [00:12<00:15, 36.21it/s, loss=2.31, v_num=4]
[2025-03-14 12:00:01,123][INFO] step 1200 | loss 2.3121 | lr 3.00e-04 | 41.2k tok/s
wandb: WARNING Step must only increase in log calls. Step 4 < 10; dropping {'loss': 1.0}.
"""
KEYS = """\
train/loss train/grad_norm val/loss val/accuracy_top5 optim/lr perf/tokens_per_sec
system.gpu.0.memoryAllocated layers/12/attn/q_proj/weight_norm eval/hellaswag_acc_norm
charts/episodic_return losses/value_loss global_step epoch trainer/global_step
"""
UNICODE = """\
run ▁▂▃▄▅▆▇█▇▆▅▄▃▂▁ 10.82→2.093 ‹hidden› … × ≥ ±
日本語のラン名 損失関数の値 学習率を下げてください
обучение модели завершено успешно
학습률이 너무 높습니다
Überläufer größer naïve café
🙂🚀🎉 run done
"""
CORPUS = [*goldens(), *tables(), PATHS, TRACEBACK, LOG, KEYS, UNICODE]


@pytest.mark.parametrize("text", CORPUS, ids=range(len(CORPUS)))
def test_an_estimate_is_never_below_the_real_count(text: str) -> None:
    assert estimate(text) >= real(text)


def test_estimates_are_at_most_15_percent_above_on_average() -> None:
    shares = [estimate(text) / real(text) for text in CORPUS]
    assert sum(shares) / len(shares) <= 1.15


def test_the_corpus_holds_the_goldens_of_the_queries() -> None:
    assert len(goldens()) > 20


def test_lines_cost_together_what_they_cost_apart() -> None:
    for text in CORPUS:
        apart = sum(estimate(line) for line in text.splitlines(keepends=True))
        assert estimate(text) <= apart <= estimate(text) + text.count("\n")


def test_nothing_costs_nothing() -> None:
    assert estimate("") == 0


def test_long_runs_of_one_mark_cost_little() -> None:
    assert real("=" * 4000) <= estimate("=" * 4000) <= 400
    assert real(" " * 4000 + "x") <= estimate(" " * 4000 + "x") <= 400


def test_what_is_remembered_of_pieces_stays_within_a_bound() -> None:
    known = set(tokens._costs)
    estimate(" ".join(f"{number}.{number:09}" for number in range(20_000)))
    assert not [piece for piece in set(tokens._costs) - known if piece[0].isdigit() and len(piece) > 3]
    words = ("".join(word) for word in product("abcdefghijklmnop", repeat=4))
    estimate(" ".join(islice(words, 15_000)))
    assert len(tokens._costs) <= tokens._REMEMBERED
