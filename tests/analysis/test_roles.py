from __future__ import annotations

import pytest

from runwised.analysis.roles import recognise, role_of

NAMES = {
    "loss": (
        *(
            "loss",
            "train/loss",
            "train_loss",
            "trainLoss",
            "Loss/train",
            "train/cross_entropy",
            "nll",
            "mlm_loss",
            "rmse",
        ),
        *("train/ppl", "train loss", "loss_epoch", "losses/total_loss", "bpb"),
    ),
    "validation": ("val/loss", "eval_loss", "validation.loss", "test_loss", "valLoss", "val/c4/ppl", "dev-nll"),
    "gradient": ("grad_norm", "train/grad_norm", "gradient_norm", "gnorm", "grad_2.0_norm_total", "gradNorm", "norm"),
    "throughput": (
        *(
            "tokens_per_s",
            "tok/s",
            "perf/tokens per sec",
            "samples_per_second",
            "it/s",
            "train_steps_per_second",
            "mfu",
        ),
        *("throughput", "perf.tps", "charts/SPS", "fps", "bf16 MFU"),
    ),
    "duration": ("step_time", "iter_time", "time_per_step", "dt", "batch_time_ms", "perf/seconds_per_iteration", "ms"),
    "learning_rate": (
        "lr",
        "learning_rate",
        "train/lr",
        "lr-AdamW/pg1",
        "learningRate",
        "charts/learning_rate",
        "lr_0",
    ),
    "score": ("accuracy", "train/acc", "train_acc_step", "f1"),
    "validation_score": ("val/accuracy", "eval/top1_acc", "test_f1", "valAcc", "val/miou"),
    "opponent": ("losses/policy_loss", "value_loss", "g_loss", "loss_D", "critic/loss", "qf1_loss", "generator_loss"),
}
NOTHING = (
    *("epoch", "loss_scale", "grad_scale", "grad_norm_clipped", "weight_norm", "lr_loss_ratio", "step"),
    *("eval_samples_per_second", "total_time", "time", "data_time", "aux/z_loss", "kl_loss", "entropy_loss", "memory"),
    *("loss_std", "normalized", "color", "closs_x", "", "🔥", "eval_runtime", "tokens", "num_steps", "layer_norm_eps"),
)


@pytest.mark.parametrize(("name", "role"), [(name, role) for role, names in NAMES.items() for name in names])
def test_a_name_tells_its_role(name: str, role: str) -> None:
    assert role_of(name) == role


@pytest.mark.parametrize("name", NOTHING)
def test_a_name_that_tells_no_role_has_none(name: str) -> None:
    assert role_of(name) is None


def test_a_validation_loss_goes_with_the_training_loss_of_the_same_words() -> None:
    names = ["train/aux/mse", "train/loss", "train/mse", "val/loss", "val/mse", "val/c4/loss", "val/ppl"]
    assert recognise(names).validation == {
        "val/loss": "train/loss",
        "val/mse": "train/mse",
        "val/c4/loss": "train/loss",
        "val/ppl": None,
    }


def test_lightning_s_suffixes_do_not_part_a_pair() -> None:
    assert recognise(["train_loss_step", "val_loss"]).validation == {"val_loss": "train_loss_step"}


def test_the_loss_the_settings_name_is_one_whatever_it_is_called() -> None:
    assert recognise(["objective", "lr"], loss_key="objective").losses == ("objective",)


def test_the_sum_of_opposed_losses_need_not_fall() -> None:
    names = ["losses/policy_loss", "losses/value_loss", "loss", "total_loss", "world_model/mse"]
    assert recognise(names).losses == ("world_model/mse",)
    assert recognise(names, loss_key="loss").losses == ("loss", "world_model/mse")
