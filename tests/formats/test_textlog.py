"""Console output: the metrics of every program that prints some, and nothing of what is no metric."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwised.formats import choose
from runwised.formats.record import NO_HINTS, NO_STEP, Hints, Rows
from runwised.formats.text_shapes import LONGEST_RECORD
from runwised.formats.textlog import TEXTLOG

FIXTURES = Path(__file__).parent.parent / "fixtures" / "logs"
SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
Printed = list[tuple[int, dict[str, float]]]


def rows_of(text: str | bytes, hints: Hints = NO_HINTS) -> Printed:
    """Step and values of every row, in file order."""
    data = text.encode() if isinstance(text, str) else text
    found: Printed = []
    for batch in TEXTLOG.reader(hints=hints).feed(data):
        if isinstance(batch, Rows):
            assert batch.by_key
            rows: list[dict[str, float]] = [{} for _ in batch.offsets]
            for key, held, values in batch.columns:
                numbers = range(len(rows)) if held is None else held.tolist()
                for row, value in zip(numbers, values.tolist(), strict=True):
                    rows[row][re.sub(r"\\(.)", r"\1", key)] = value
            found += zip(batch.steps.tolist(), rows, strict=True)
    return found


def same(found: Printed, expected: Printed) -> bool:
    """NaN is itself here."""
    return [(step, sorted(map(repr, row.items()))) for step, row in found] == [
        (step, sorted(map(repr, row.items()))) for step, row in expected
    ]


def times_of(text: str) -> list[float]:
    batches = TEXTLOG.reader().feed(text.encode())
    return [time for batch in batches if isinstance(batch, Rows) for time in batch.times.tolist()]


class Sample(NamedTuple):
    """What one program prints, and what is in it."""

    name: str
    text: str
    rows: Printed


SAMPLES = (
    Sample(
        "nanoGPT",
        "step 250: train loss 2.0815, val loss 2.1064\niter 250: loss 2.0927, time 1203.53ms, mfu -100.00%\n",
        [
            (250, {"train loss": 2.0815, "val loss": 2.1064}),
            (250, {"loss": 2.0927, "time": 1203.53, "mfu": -100.0}),
        ],
    ),
    Sample(
        "modded-nanogpt",
        "step:125/1390 val_loss:4.3652 train_time:18233ms step_avg:145.87ms\n"
        "step:126/1390 train_time:18379ms step_avg:145.87ms\n",
        [
            (125, {"val_loss": 4.3652, "train_time": 18233.0, "step_avg": 145.87}),
            (126, {"train_time": 18379.0, "step_avg": 145.87}),
        ],
    ),
    Sample(
        "llm.c",
        "val loss 11.009\nstep    1/18865 | loss 11.009 (+nanz)| norm 15.3461 (+nanz)| lr 8.57e-07 | 3056.36 ms |"
        " 42.6% bf16 MFU | 171543 tok/s\nval loss 3.5\n",
        [
            (0, {"val loss": 11.009}),
            (
                1,
                {
                    "loss": 11.009,
                    "norm": 15.3461,
                    "lr": 8.57e-07,
                    "ms": 3056.36,
                    "bf16 MFU": 42.6,
                    "tok/s": 171543.0,
                },
            ),
            (1, {"val loss": 3.5}),
        ],
    ),
    Sample(
        "llm.c main.log",
        "s:0 tel:11.0090\ns:0 trl:11.0090 lr:0.000001 norm:15.35\ns:250 eval:0.2461\n",
        [(0, {"tel": 11.009}), (0, {"trl": 11.009, "lr": 1e-06, "norm": 15.35}), (250, {"eval": 0.2461})],
    ),
    Sample(
        "Megatron-LM",
        " [2026-01-15 10:00:00] iteration       10/     500 | consumed samples:         2560 |"
        " elapsed time per iteration (ms): 512.3 | learning rate: 1.000000E-05 | lm loss: 1.0539E+01 |"
        " number of nan iterations:   0 |\n"
        " validation loss at iteration 10 | lm loss value: 9.81E+00 | lm loss PPL: 1.82E+04 | \n",
        [
            (
                10,
                {
                    "consumed samples": 2560.0,
                    "elapsed time per iteration (ms)": 512.3,
                    "learning rate": 1e-05,
                    "lm loss": 10.539,
                    "number of nan iterations": 0.0,
                },
            ),
            (10, {"validation/lm loss value": 9.81, "validation/lm loss PPL": 18200.0}),
        ],
    ),
    Sample(
        "torchtitan",
        "[rank0]:[titan] 2026-01-15 10:00:00,123 - root - INFO - \x1b[31mstep: 10  \x1b[32mloss:  8.1383  "
        "\x1b[38;2;180;60;0mgrad_norm:  1.2500  \x1b[36mmemory: 38.05GiB(48.09%)  \x1b[34mtps: 7,012  "
        "mfu: 40.1%\x1b[39m\n"
        "[titan] 2026-01-15 10:00:01,123 - root - INFO - validate step: 10  loss: 8.25  tps: 7,012\n",
        [
            (10, {"loss": 8.1383, "grad_norm": 1.25, "memory": 38.05, "tps": 7012.0, "mfu": 40.1}),
            (10, {"validate/loss": 8.25, "validate/tps": 7012.0}),
        ],
    ),
    Sample(
        "torchtune",
        "Step 7 | loss:1.8125 lr:2e-05 tokens_per_second_per_gpu:512.5 \n",
        [(7, {"loss": 1.8125, "lr": 2e-05, "tokens_per_second_per_gpu": 512.5})],
    ),
    Sample(
        "DeepSpeed",
        "[2026-01-15 10:00:00,123] [INFO] [logging.py:96:log_dist] [Rank 0] step=10, skipped=2, lr=[1e-05],"
        " mom=[(0.9, 0.95)]\n[2026-01-15 10:00:00,123] [INFO] [timer.py:215:stop] epoch=0/micro_step=40/global_step=10,"
        " RunningAvgSamplesPerSec=12.5, MemAllocated=1.25GB\n",
        [(10, {"skipped": 2.0, "lr": 1e-05}), (10, {"RunningAvgSamplesPerSec": 12.5, "MemAllocated": 1.25})],
    ),
    Sample(
        "Hugging Face 4",
        "{'loss': 3.887, 'grad_norm': 0.8830404877662659, 'learning_rate': 1e-05, 'epoch': 0.05}\n"
        "{'eval_loss': nan, 'eval_runtime': 0.0144, 'epoch': 0.05}\n",
        [
            (NO_STEP, {"loss": 3.887, "grad_norm": 0.8830404877662659, "learning_rate": 1e-05, "epoch": 0.05}),
            (NO_STEP, {"eval_loss": math.nan, "eval_runtime": 0.0144, "epoch": 0.05}),
        ],
    ),
    Sample(
        "Hugging Face with its progress bar",
        "Map: 100%|██████| 5000/5000 [00:01<00:00, 4096.00 examples/s]\n\r  0%|          | 0/40 [00:00<?, ?it/s]"
        "\r 30%|███       | 12/40 [00:01<00:03, 9.5it/s]{'loss': '3.887', 'epoch': '0.3'}\n"
        "\r 50%|█████     | 20/40 [00:02<00:02, 9.5it/s]\n"
        "\r 12%|█▎        | 1/8 [00:00<00:00, 9.5it/s]\r100%|██████████| 8/8 [00:00<00:00, 9.5it/s]\n"
        "\r                     \r{'eval_loss': '3.5', 'epoch': '0.5'}\n\r 50%|█████     | 20/40 [00:02<00:02, 9.5it/s]"
        "\r100%|██████████| 40/40 [00:02<00:02, 9.5it/s]\n\r100%|██████████| 8/8 [00:00<00:00, 9.5it/s]\n"
        "{'eval_loss': '3.25', 'epoch': '1'}\n",
        [
            (12, {"loss": 3.887, "epoch": 0.3}),
            (20, {"eval_loss": 3.5, "epoch": 0.5}),
            (40, {"eval_loss": 3.25, "epoch": 1.0}),
        ],
    ),
    Sample(
        "Keras, a line an epoch",
        "Epoch 1/20\n100/100 - 1s - loss: 0.75 - val_loss: 0.5 - 12ms/step\n"
        "Epoch 2/20\n100/100 - 1s - loss: 0.5 - val_loss: 0.25 - 12ms/step\n",
        [(1, {"loss": 0.75, "val_loss": 0.5}), (2, {"loss": 0.5, "val_loss": 0.25})],
    ),
    Sample(
        "Keras, a bar drawn anew",
        "Epoch 1/2\n\r 10/100 [==>...........] - ETA: 1s - loss: 0.75\r\n"
        "Epoch 2/2\n\x1b[1m 10/100\x1b[0m \x1b[32m━━\x1b[0m\x1b[37m━━━\x1b[0m \x1b[1m1s\x1b[0m 12ms/step - loss: 0.5"
        "\b\b\b\x1b[1m100/100\x1b[0m \x1b[32m━━━━━\x1b[0m \x1b[1m1s\x1b[0m 12ms/step - loss: 0.25\n",
        [(1, {"loss": 0.75}), (2, {"loss": 0.5}), (2, {"loss": 0.25})],
    ),
    Sample(
        "Keras, with its callback",
        "Epoch 1/20 - loss: 4.8195 - val_acc: 0.2006 - 12s/epoch - 24ms/step\r\n",
        [(1, {"loss": 4.8195, "val_acc": 0.2006})],
    ),
    Sample(
        "mmengine",
        "2023/01/01 10:00:00 - mmengine - INFO - Epoch(train)  [1][100/100]  lr: 2.0000e-02  eta: 0:12:01  loss: 1.2\n"
        "2023/01/01 10:00:09 - mmengine - INFO - Epoch(val) [1][20/20]  accuracy/top1: 75.1  time: 0.5\n"
        "2023/01/01 10:00:19 - mmengine - INFO - Epoch(train)  [2][ 50/100]  lr: 2.0000e-02  eta: 0:12:01  loss: 1.1\n",
        [
            (100, {"lr": 0.02, "loss": 1.2}),
            (100, {"val/accuracy/top1": 75.1, "val/time": 0.5}),
            (150, {"lr": 0.02, "loss": 1.1}),
        ],
    ),
    Sample(
        "PyTorch's MNIST example",
        "Train Epoch: 1 [0/60000 (0%)]\tLoss: 2.300039\nTrain Epoch: 1 [59520/60000 (99%)]\tLoss: 0.25\n\n"
        "Test set: Average loss: 0.0600, Accuracy: 9805/10000 (98%)\n\nTrain Epoch: 2 [640/60000 (1%)]\tLoss: 0.125\n",
        [
            (0, {"Loss": 2.300039}),
            (59520, {"Loss": 0.25}),
            (59520, {"Test/Average loss": 0.06}),
            (60640, {"Loss": 0.125}),
        ],
    ),
    Sample(
        "PyTorch's ImageNet example",
        "Epoch: [0][ 10/500]\tTime  0.123 ( 0.200)\tLoss 2.3e+00 (2.4e+00)\tAcc@1  10.0 ( 12.0)\tAcc@5  20.5 (21.0)\n",
        [(10, {"Time": 0.123, "Loss": 2.3, "Acc@1": 10.0, "Acc@5": 20.5})],
    ),
    Sample(
        "PyTorch's first steps",
        "Epoch 1\n-------------\nloss: 2.303494  [   64/60000]\nloss: 2.25  [59584/60000]\nEpoch 2\n-------------\n"
        "loss: 1.5  [   64/60000]\n",
        [(64, {"loss": 2.303494}), (59584, {"loss": 2.25}), (60064, {"loss": 1.5})],
    ),
    Sample(
        "steps that start again in every epoch",
        "Epoch [1/2], Step [50/100], Loss: 0.5\nEpoch [1/2], Step [100/100], Loss: 0.4\n"
        "Epoch [2/2], Step [50/100], Loss: 0.3\nEpoch [1/2], Step [50/100], Loss: 0.45\n",
        [(50, {"Loss": 0.5}), (100, {"Loss": 0.4}), (150, {"Loss": 0.3}), (50, {"Loss": 0.45})],
    ),
    Sample(
        "steps that do not start again",
        "epoch 1 | step 90 | loss 0.5\nepoch 2 | step 100 | loss 0.4\nepoch 2 | step 110 | loss 0.3\n",
        [(90, {"loss": 0.5}), (100, {"loss": 0.4}), (110, {"loss": 0.3})],
    ),
    Sample(
        "batches without a total",
        "[Epoch 0] [Batch 0] [D loss: 0.5] [G loss: 1.5]\n[Epoch 0] [Batch 10] [D loss: 0.25] [G loss: 1.25]\n"
        "[Epoch 1] [Batch 0] [D loss: 0.125] [G loss: 1]\n",
        [
            (0, {"D loss": 0.5, "G loss": 1.5}),
            (10, {"D loss": 0.25, "G loss": 1.25}),
            (20, {"D loss": 0.125, "G loss": 1.0}),
        ],
    ),
    Sample(
        "a progress bar's epochs",
        "\rEpoch 1:  50%|█████     | 5/10 [00:01<00:01, 9.5it/s, v_num=0, loss=2.31]"
        "\rEpoch 1: 100%|██████████| 10/10 [00:01<00:00, 9.5it/s, v_num=0, loss=2.25]\n"
        "\rValidating: 100%|██████████| 3/3 [00:01<00:00, 9.5it/s, loss=2.5]"
        "\rEpoch 2:  50%|█████     | 5/10 [00:01<00:01, 9.5it/s, v_num=0, loss=2]\n",
        [(5, {"loss": 2.31}), (10, {"loss": 2.25}), (10, {"Validating/loss": 2.5}), (15, {"loss": 2.0})],
    ),
    Sample(
        "plain pairs",
        "step 100 | loss 2.31 | lr 1e-3\nglobal_step: 1,200, reward: 12\nloss: 0.5, acc: 0.75\n"
        "step=1300 loss=nan x=-inf\n",
        [
            (100, {"loss": 2.31, "lr": 1e-3}),
            (1200, {"reward": 12.0}),
            (1200, {"loss": 0.5, "acc": 0.75}),
            (1300, {"loss": math.nan, "x": -math.inf}),
        ],
    ),
    Sample(
        "Hugging Face, faster than its bar is drawn",
        "\r  0%|          | 0/40 [00:00<?, ?it/s]\r                  \r{'loss': '3.5', 'epoch': '0.1'}\n"
        "\n\r 12%|█▎        | 5/40 [00:00<00:00, 152.49it/s]\r                 \r{'loss': '3.25', 'epoch': '0.2'}\n"
        "\n\r 25%|██▌       | 10/40 [00:00<00:00, 82.5it/s]\n\n\r  0%|          | 0/3 [00:00<?, ?it/s]\x1b[A\r     \r\n"
        "\n\r         \r\x1b[A{'eval_loss': '3.125', 'epoch': '0.2'}\n\n\r 25%|██▌     | 10/40 [00:00<00:00, 9.5it/s]\n"
        "\n\r100%|██████████| 3/3 [00:00<00:00, 706.23it/s]\x1b[A\n",
        [
            (5, {"loss": 3.5, "epoch": 0.1}),
            (10, {"loss": 3.25, "epoch": 0.2}),
            (10, {"eval_loss": 3.125, "epoch": 0.2}),
        ],
    ),
    Sample(
        "Hugging Face without its bar, after another",
        "\rMap:  50%|█████     | 100/200 [00:01<00:01, 99.5 examples/s]"
        "\rMap: 100%|█████| 200/200 [00:02<00:00, 99.5 examples/s]\n"
        "{'loss': 3.5, 'epoch': 0.1}\n{'loss': 3.25, 'epoch': 0.2}\n",
        [(NO_STEP, {"loss": 3.5, "epoch": 0.1}), (NO_STEP, {"loss": 3.25, "epoch": 0.2})],
    ),
    Sample(
        "XGBoost, every tenth round",
        "[0]\ttrain-rmse:1.25\teval-rmse:1.5\n[10]\ttrain-rmse:0.25\teval-rmse:0.5\n",
        [(0, {"train-rmse": 1.25, "eval-rmse": 1.5}), (10, {"train-rmse": 0.25, "eval-rmse": 0.5})],
    ),
    Sample(
        "LightGBM",
        "[LightGBM] [Info] Total Bins 3060\n[10]\ttraining's l2: 0.25\tvalid_1's binary_logloss: 0.5\n",
        [(10, {"training's l2": 0.25, "valid_1's binary_logloss": 0.5})],
    ),
    Sample(
        "CatBoost",
        "0:\tlearn: 0.75\ttest: 0.5\tbest: 0.5 (0)\ttotal: 46.5ms\tremaining: 4.6s\n"
        "10:\tlearn: 0.25\ttest: 0.375\tbest: 0.375 (10)\ttotal: 90.5ms\tremaining: 600ms\n",
        [
            (0, {"learn": 0.75, "test": 0.5, "best": 0.5, "total": 46.5}),
            (10, {"learn": 0.25, "test": 0.375, "best": 0.375, "total": 90.5}),
        ],
    ),
    Sample(
        "an epoch between two rules",
        "==================== Epoch 3 ====================\nTrain Loss: 0.5 | Train Acc: 50.25%\n"
        "----- Epoch 4/9 -----\n Val. Loss: 0.25 |  Val. Acc: 75.5%\n",
        [(3, {"Train Loss": 0.5, "Train Acc": 50.25}), (4, {"Val. Loss": 0.25, "Val. Acc": 75.5})],
    ),
    Sample(
        "PyTorch's transfer learning tutorial",
        "Epoch 0/24\n----------\ntrain Loss: 0.5 Acc: 0.75\nval Loss: 0.25 Acc: 0.875\n",
        [(0, {"train Loss": 0.5, "train Acc": 0.75}), (0, {"val Loss": 0.25, "val Acc": 0.875})],
    ),
    Sample(
        "rich, with the place in the code behind",
        "[01/15/26 10:00:00] INFO     step=1 loss=0.5                                       train.py:210\n"
        "                    INFO     step=2 loss=0.25                                      train.py:210\n",
        [(1, {"loss": 0.5}), (2, {"loss": 0.25})],
    ),
    Sample(
        "Stable-Baselines' tables",
        "Using cpu device\n"
        "---------------------------------\n| rollout/           |          |\n|    ep_rew_mean     | 19.5     |\n"
        "| time/              |          |\n|    total_timesteps | 128      |\n---------------------------------\n"
        "------------------------------\n| rollout/           |       |\n|    ep_rew_mean     | 22.5  |\n"
        "| time/              |       |\n|    total_timesteps | 256   |\n| train/             |       |\n"
        "|    approx_kl       | -1.25e-05 |\n|    kind            | text  |\n------------------------------\n",
        [
            (128, {"rollout/ep_rew_mean": 19.5, "time/total_timesteps": 128.0}),
            (256, {"rollout/ep_rew_mean": 22.5, "time/total_timesteps": 256.0, "train/approx_kl": -1.25e-05}),
        ],
    ),
    Sample(
        "Spinning Up's tables, and a line behind one",
        "---------------------------------------\n|             Epoch |               3 |\n"
        "|      AverageEpRet |            20.5 |\n| TotalEnvInteracts |        1.6e+04  |\n"
        "---------------------------------------\nval loss 0.5\n",
        [(3, {"Epoch": 3.0, "AverageEpRet": 20.5, "TotalEnvInteracts": 16000.0}), (3, {"val loss": 0.5})],
    ),
    Sample(
        "JSON",
        '{"step": 10, "loss": 2.5, "lr": 1e-3, "name": "x"}\n',
        [(10, {"loss": 2.5, "lr": 1e-3})],
    ),
    Sample(
        "what loggers put first",
        "INFO:root:step 1 loss: 0.5\nINFO:__main__:epoch=2 val_loss=0.5\n"
        "[1,0]<stdout>:step 3 loss 0.5\n0: step 4 loss 0.5\n"
        "2024-01-01 10:00:00.000 | INFO     | __main__:train:123 - step 5 loss 0.5\n"
        "[2024-01-01 10:00:00,123][__main__][INFO] - step 6 | loss 0.5\n"
        "I0615 12:00:00.123456 1234 a.py:55] step 7 loss 0.5\n"
        "[INFO|trainer.py:123] 2024-01-01 10:00:00,000 >> step 8 loss 0.5\n"
        "01/15/2024 10:00:00 - INFO - __main__ -   Step 9: loss = 0.5\n",
        [(step, {"val_loss" if step == 2 else "loss": 0.5}) for step in range(1, 10)],
    ),
)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_program_s_lines_are_rows(sample: Sample) -> None:
    assert same(rows_of(sample.text), sample.rows)


NOTHING = (
    "KING: step forward and loss 3 is nothing, lr said",
    "INFO worker 7: loaded shard 7 of 512 in 0.07s from bucket 7",
    "num_parameters: 124475904 => bytes: 248951808",
    "| learning rate (LR)    | 3.000000e-04     |",
    "allocated 237 MiB for model parameters",
    "total average iteration time: 104.912345 ms",
    "HellaSwag: 2873/10042 = 0.286098",
    "evaluating HellaSwag: 250/1001",
    "learning_rate = 0.001",
    "max_grad_norm: 1.0",
    "label_smoothing: 0.1, loss_scale: 65536.0, kl_coef = 0.05",
    "tokens per iteration will be: 16,384",
    "num decayed parameter tensors: 26, with 10,740,096 parameters",
    "step 21 note: eval skipped",
    "Saved checkpoint at step 500 in 2.3s",
    "Saving checkpoint at step 500 | size: 1.2GB",
    '  File "/data/exp/train.py", line 88, in <module>',
    "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB",
    "connect to 192.168.0.1:8080, version 1.2.3",
    'INFO:     127.0.0.1:5000 - "GET /metrics HTTP/1.1" 200',
    "2024-01-01 10:00:00,000 - INFO - started, eta 0:12:01",
    "{'n_layer': 12, 'dropout': 0.1, 'learning_rate': 0.1}",
    "engine/trainer: amp=False, batch=4, box=7.5, cls=0.5, degrees=0.0, half=False, lr0=0.01, time=None, epochs=4",
    "Namespace(epoch=3, lr=0.001, loss_weight=0.5, amp=True, resume=None, seed=0, debug=False)",
    "Epoch 00003: val_loss improved from 0.5 to 0.4, saving model to x.h5",
    "Loss at step 100: 2.345",
    "In the year 1066 the loss was 12.5 times as high",
    " 30%|███       | 12/40 [00:00<00:01, 20.0it/s]",
)


@pytest.mark.parametrize("line", NOTHING)
def test_what_is_no_metric_gives_nothing(line: str) -> None:
    assert rows_of(line + "\n") == []
    assert rows_of((line + "\n") * 3) == []


def truth_cases() -> list[Any]:
    cases = []
    for case in ("txt_nanogpt", "txt_llmc", "txt_console"):
        truth = json.loads((FIXTURES / case / "truth.json").read_bytes())
        cases += [pytest.param(FIXTURES / case / run["files"][0], run, id=name) for name, run in truth["runs"].items()]
    return cases


def points(series: dict[str, Any], bits: Any) -> dict[str, Any]:
    return {
        key: [
            (step, bits(SPECIAL.get(value, value))) for step, value in zip(told["steps"], told["values"], strict=True)
        ]
        for key, told in series.items()
    }


@pytest.mark.parametrize(("path", "run"), truth_cases())
def test_real_logs_come_out_exactly(path: Path, run: dict[str, Any], told: Any) -> None:
    found = told(TEXTLOG.reader().feed(path.read_bytes()))
    bits = lambda value: "nan" if math.isnan(value) else float(value).hex()  # noqa: E731
    served, logged = (
        {key: [(step, bits(value)) for step, value in series] for key, series in told_series.items()}
        for told_series in (found.served, found.logged)
    )
    if "final" in run:
        last = run["final"]["Epoch 1"]
        assert (served["loss"][-1], served["lr"][-1]) == ((100, bits(last["loss"])), (100, bits(last["lr"])))
        return
    optional = points(run.get("optional", {}), bits)
    assert {key: series for key, series in served.items() if key not in optional} == points(run["series"], bits)
    assert all(series == served.get(key, series) for key, series in optional.items())
    raw = points(run.get("raw", {}), bits)
    assert {key: logged[key] for key in raw} == raw
    units = run.get("units", {})
    assert found.facts.get("units", {}) == units


def test_a_trainer_s_console_has_its_training_and_evaluation_rows() -> None:
    found = rows_of((FIXTURES / "hf_trainer" / "console.log").read_bytes())
    assert len([row for _, row in found if "loss" in row]) == 21
    assert len([row for _, row in found if "eval_loss" in row]) == 4
    assert found[0] == (NO_STEP, {"loss": 3.887, "grad_norm": 0.883, "learning_rate": 0.01, "epoch": 0.05})
    assert found[-1][1]["train_loss"] == 3.893


@pytest.mark.parametrize(
    ("stamp", "time"),
    [
        ("2026-01-15 10:00:00,250 - x - INFO -", 1768471200.25),
        ("[2026-01-15T10:00:00.250Z]", 1768471200.25),
        ("2026-01-15T12:30:00+02:30", 1768471200.0),
        ("2026-01-15 08:00:00-0200 INFO", 1768471200.0),
        ("01/15/2026 10:00:00 - INFO - x -", 1768471200.0),
        ("15.01.2026 10:00:00", 1768471200.0),
        ("2024/02/29 00:00:01 INFO:", 1709164801.0),
        ("2026-13-15 10:00:00", math.nan),
        ("10:00:00", math.nan),
    ],
)
def test_the_stamp_before_a_line_is_its_time(stamp: str, time: float) -> None:
    assert repr(times_of(f"{stamp} step 3 loss 0.5\n")) == repr([time])


def test_units_and_the_total_are_told_once_they_are_known(told: Any) -> None:
    text = b"step 1/50 loss 0.5, time 3.5ms\nstep 2/50 loss 0.5, time 3.5s, mem 2.5GiB\nstep 3/60 loss 0.5\n"
    assert told(TEXTLOG.reader().feed(text)).facts == {"units": {"time": "ms", "mem": "GiB"}, "total_steps": 60}


def test_a_step_printed_twice_at_the_start_is_no_step() -> None:
    found = rows_of("step 0 loss 0.5\nstep 0 loss 0.4\nstep 0 loss 0.3\nstep 1 loss 0.2\nstep 0 loss 0.1\n")
    assert [step for step, _ in found] == [0, NO_STEP, NO_STEP, 1, 0]


def test_an_epoch_printed_twice_at_the_start_is_never_a_step() -> None:
    found = rows_of("epoch 0 loss 0.5\nepoch 0 loss 0.4\nepoch 1 loss 0.3\n")
    assert [step for step, _ in found] == [0, NO_STEP, NO_STEP]


def test_lines_without_any_step_are_numbered() -> None:
    found = rows_of("loss: 0.5\nacc: 0.5\nloss: 0.4\nacc: 0.6\n")
    assert [step for step, _ in found] == [0, 0, NO_STEP, NO_STEP]


def test_a_line_that_fits_a_template_is_a_row_by_it() -> None:
    hints = Hints(templates=("it {step} L={loss} ppl={ppl}", "<< {acc} of top5 >>"))
    text = "it 5   L=2.5 ppl=12\n[2026-01-15 10:00:00] it 6 L=nan ppl=1e3s\n<< 0.5 of top5 >>\nit 7 L=2.5 ppl=12 more\n"
    found = rows_of(text, hints)
    assert same(found, [(5, {"loss": 2.5, "ppl": 12.0}), (6, {"loss": math.nan, "ppl": 1000.0}), (6, {"acc": 0.5})])
    assert [sorted(row) for _, row in rows_of(text)] == [["L", "ppl"], ["L", "ppl"]]
    reader = TEXTLOG.reader(hints=hints)
    reader.feed(text.encode())
    row = TEXTLOG.row(text.encode(), 0, reader.resume)
    assert row is not None
    assert (row.step, row.values) == (5, {"loss": 2.5, "ppl": 12})


def test_a_step_key_that_was_named_is_the_step() -> None:
    text = "tick: 7, step: 3, loss: 0.5\n"
    assert rows_of(text, Hints(step_key="tick"))[0][0] == 7
    assert rows_of(text)[0][0] == 3
    assert rows_of("epoch 2, step 30, loss 0.5\n", Hints(step_key="epoch")) == [(2, {"loss": 0.5, "step": 30.0})]


def test_a_row_read_back_is_as_printed() -> None:
    line = b"[2026-01-15T10:00:00Z] step 3 loss 0.30000000000000004 tokens 12,345\n"
    row = TEXTLOG.row(line, 0, TEXTLOG.reader().resume)
    assert row == (3, 1768471200.0, {"loss": 0.30000000000000004, "tokens": 12345})
    assert row is not None
    assert isinstance(row.values["tokens"], int)
    with pytest.raises(ValueError, match="no row"):
        TEXTLOG.row(b"saving\n", 0, TEXTLOG.reader().resume)
    with pytest.raises(ValueError, match="no console chunk"):
        TEXTLOG.text(line, 0, TEXTLOG.reader().resume)


def test_a_line_of_a_gigabyte_would_not_be_held() -> None:
    reader = TEXTLOG.reader()
    piece = b"x" * (1 << 20)
    for _ in range(64):
        assert reader.feed(piece) == []
    assert reader.resume.offset == 0
    assert len(reader._buffer) <= LONGEST_RECORD
    batches = reader.feed(b"step 1 loss 0.5\nstep 2 loss 0.25\n")
    assert [batch.offsets.tolist() for batch in batches if isinstance(batch, Rows)] == [[(64 << 20) + 16]]


@pytest.mark.parametrize("size", [LONGEST_RECORD - 1, LONGEST_RECORD, LONGEST_RECORD + 1])
@pytest.mark.parametrize("cut", [1, 1000, LONGEST_RECORD])
def test_how_long_a_row_may_be_does_not_depend_on_the_pieces(size: int, cut: int) -> None:
    line = b"step 1 loss 0.5 " + b"7" * (size - 17) + b"\n"
    reader = TEXTLOG.reader()
    pieces = [*reader.feed(line[:cut]), *reader.feed(line[cut:])]
    assert bool(pieces) == bool(TEXTLOG.reader().feed(line))


def test_names_with_changing_numbers_do_not_grow_without_end() -> None:
    text = "".join(f"step {n} layer{n}/loss=0.5 loss=0.25\n" for n in range(2000))
    found = rows_of(text)
    assert len(found) == 2000
    assert len({key for _, row in found for key in row}) == 257


def test_a_log_is_known_by_its_name_and_a_row() -> None:
    row = b"step 1 | loss 0.5\n"
    assert all(TEXTLOG.matches(name, row) for name in ("train.log", "slurm-12.out", "nohup.out", "stdout", "a.txt"))
    assert not TEXTLOG.matches("train.py", row)
    assert not TEXTLOG.matches("train.log", b"")
    assert not TEXTLOG.matches("train.log", b"starting\n")
    assert not TEXTLOG.matches("train.log", row + b"\0")
    assert TEXTLOG.matches("train.log", b"starting\n" * 1000)
    assert not TEXTLOG.matches("words.txt", b"starting\n" * 1000)
    assert choose("train.log", b"step,loss\n1,0.5\n2,0.25\n") is not TEXTLOG


def test_a_probe_reads_the_tail_with_what_the_head_told() -> None:
    middle = "".join(f"step {n}/900 | loss {n / 8}\n" for n in range(900))
    text = f"[2026-01-15T10:00:00Z] step 0/900 | loss 9.5 | lr 1e-3\n{middle}val loss 2.5\n".encode()
    probe = TEXTLOG.probe(text[:200], text[-200:], len(text) - 200)
    assert (probe.step, probe.time, probe.facts) == (899, None, {"total_steps": 900})
    assert probe.summary == {"loss": 112.375, "val loss": 2.5}
    whole = TEXTLOG.probe(text, text[-200:], len(text) - 200)
    assert whole.summary == {"loss": 112.375, "lr": 1e-3, "val loss": 2.5}
    assert whole.time == 1768471200.0


LINES = st.sampled_from(
    [
        line + end
        for sample in SAMPLES
        for line in re.split(r"[\n\r\b]", sample.text)
        for end in ("\n", "\r\n", "\r")
        if line
    ]
    + [line + "\n" for line in NOTHING]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINES, max_size=12), cut=st.integers(0, 12))
def test_a_block_gives_what_its_lines_give_one_by_one(told: Any, lines: list[str], cut: int) -> None:
    data = "".join(lines).encode()
    reader = TEXTLOG.reader()
    batches = [batch for line in lines[:cut] for batch in reader.feed(line.encode())]
    resume = reader.resume
    reader = TEXTLOG.reader(resume)
    batches += reader.feed("".join(lines[:cut]).encode()[resume.offset :])
    batches += [batch for line in lines[cut:] for batch in reader.feed(line.encode())]
    assert told(batches).picture() == told(TEXTLOG.reader().feed(data)).picture()


def test_a_row_over_a_bar_is_there_as_soon_as_the_bar_behind_it_says_where_it_stands() -> None:
    reader = TEXTLOG.reader()
    assert reader.feed(b"\r  0%|  | 0/40 [00:00<?, ?it/s]\r          \r{'loss': '3.5'}\n") == []
    assert reader.feed(b"\n\r 12%|#  | 5/40") == []
    resumed = TEXTLOG.reader(reader.resume)
    (rows,) = reader.feed(b" [")
    assert isinstance(rows, Rows)
    assert rows.steps.tolist() == [5]
    assert resumed.feed(b"{'loss': '3.5'}\nthat was all\n")[0].steps.tolist() == [0]


@pytest.mark.parametrize("end", ["\n", "\r", "\b", "x" * 1100, "  \x1b[A" * 300])
def test_a_row_over_a_bar_waits_neither_for_ever_nor_for_what_is_no_bar(end: str) -> None:
    drawn = b"\r 50%|##  | 20/40 [00:00<00:01, 9.5it/s]\r          \r"
    row = b"{'loss': '3.5', 'epoch': '0.5'}\n"
    assert rows_of(drawn + row) == []
    assert rows_of(drawn + row + (f"stopped{end}" if len(end) == 1 else end).encode())[0][0] == 20
    assert rows_of(drawn.replace(b"\r", b"\n") + row)[0][0] == 20


TABLE = "----------\n| iterations | 3 |\n| loss | 0.5 |\n----------\n"


def test_a_table_is_read_back_as_a_whole_and_waits_for_its_end() -> None:
    data = f"step 1 loss 1.5\n{TABLE}".encode()
    assert rows_of(data) == [(1, {"loss": 1.5}), (3, {"iterations": 3.0, "loss": 0.5})]
    assert rows_of(data[:-1]) == rows_of(data[:-1] + b"x\n") == [(1, {"loss": 1.5})]
    resume = TEXTLOG.reader().resume
    row = TEXTLOG.row(data[16:], 16, resume)
    assert row is not None
    assert (row.step, row.values) == (3, {"iterations": 3, "loss": 0.5})
    assert all(TEXTLOG.row(data[16:end], 16, resume) is None for end in range(16, len(data)))


@pytest.mark.parametrize(
    "text",
    [
        TABLE.replace("iterations", "parameters"),
        TABLE.replace("| loss", "| " + "loss" * 60),
        TABLE.replace("| loss | 0.5 |\n", "| loss | 0.5 |\n" * 2000),
        TABLE.replace("----------\n|", "---- ------\n|"),
    ],
)
def test_other_tables_give_nothing_whatever_their_size(text: str) -> None:
    assert rows_of(text) == []
    data = f"{text}\n{TABLE}".encode()
    assert rows_of(data) == [(3, {"iterations": 3.0, "loss": 0.5})]
    reader = TEXTLOG.reader()
    pieces = [batch for at in range(0, len(data), 7) for batch in reader.feed(data[at : at + 7])]
    assert [batch.steps.tolist() for batch in pieces if isinstance(batch, Rows)] == [[3]]


@pytest.mark.parametrize("name", ["faster than its bar", "tables"])
def test_what_rows_that_wait_say_does_not_depend_on_the_pieces(name: str, told: Any) -> None:
    data = "".join(sample.text for sample in SAMPLES if name in sample.name).encode()
    whole = told(TEXTLOG.reader().feed(data)).picture()
    for cut in range(len(data)):
        reader = TEXTLOG.reader()
        batches = reader.feed(data[:cut])
        resume = reader.resume
        assert told([*batches, *reader.feed(data[cut:])]).picture() == whole
        assert told([*batches, *TEXTLOG.reader(resume).feed(data[resume.offset :])]).picture() == whole


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(LINES, min_size=1, max_size=6),
    noise=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6)), max_size=6),
    size=st.integers(1, 80),
)
def test_no_bytes_at_all_break_it(told: Any, lines: list[str], noise: list[tuple[float, bytes]], size: int) -> None:
    data = bytearray("".join(lines).encode())
    for place, added in noise:
        at = int(place * len(data))
        data[at : at + len(added) // 2] = added
    reader = TEXTLOG.reader()
    pieces = told(batch for at in range(0, len(data), size) for batch in reader.feed(data[at : at + size]))
    whole = told(TEXTLOG.reader().feed(data))
    assert pieces.picture() == whole.picture()
    for offset, step, _, values in whole.history:
        row = TEXTLOG.row(bytes(data[offset:]), offset, reader.resume)
        assert row is not None
        assert set(row.values) == set(values)
        assert row.step in (step, NO_STEP)
