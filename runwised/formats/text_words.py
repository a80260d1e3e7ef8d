"""The vocabulary of training logs: words that count, words that measure, words that set, words that only talk.

Keys are looked at as they stand in a shape (see `runwised.formats.text_numbers`), where every number is ``0``.
"""

from __future__ import annotations

import re

STEP_WORDS = (
    b"global_step",
    b"global step",
    b"step",
    b"timestep",
    b"iteration",
    b"iter",
    b"it",
    b"update",
    b"batch",
    b"episode",
    b"epoch",
)
"""What counts a program's progress; of several in one line, the first of these is the step."""

ASIDE = frozenset(b"validate val valid validation validating eval evaluate evaluation evaluating test testing".split())
"""Words that, standing before a line's step or its colon, say that its numbers are not those of training."""

LEADS = frozenset((b"train", b"training", b"trainer"))
"""Words that may stand before a line's step and say nothing."""

PHASES = ASIDE | LEADS

RESULTS = frozenset(
    b"""loss losses acc accuracy ppl perplexity bpb bpc mfu reward rewards return returns rew score bleu rouge f0 auc
    auroc ap map iou miou dice psnr ssim lpips fid wer cer mse rmse mae nll elbo kl entropy precision recall err error
    r0 top tel trl logloss crossentropy ce bce advantage gradnorm""".split()
)
"""Words within a key that say that it measures how well the model does: with one of these no step is needed."""

SETTINGS = frozenset(
    b"""max min clip clipping scale scaling weight weights coef coeff coefficient every interval freq frequency eps
    epsilon smoothing threshold target init initial fn func function type alpha beta gamma patience decay steps iters
    size warmup limit""".split()
)
"""Words within a key that say that it is a setting, whatever else it says."""

PROSE = frozenset(
    b"""a an the at in on of off to from for by with within and or is was are were be will took takes take after before
    until than then that this these it its as per has have had got over under about approximately using use used line
    rank worker saved saving loaded loading""".split()
)
"""Words that no key without a colon or an equals sign holds."""

IGNORED = frozenset((b"v_num", b"eta", b"remaining"))
"""Keys that measure nothing, in lower case."""

_WORD = re.compile(rb"[A-Za-z]+0?")
_LIKELY = re.compile(
    rb"[^a-z](?:step|timestep|it(?:er|[: ]+\[?0)|ep(?:och|isode)|update|batch|loss|acc|s[:=]0|top|t[er]l"
    rb"|r(?:e(?:w|turn|call)|0|ouge)|p(?:pl|erp|snr|recis)|mfu|sc?ore|bleu|f(?:0|id)|au(?:c|roc)|m?iou|dice|ssim|lpips|[wc]er|r?mse|mae|m?ap[^a-z]|nll"
    rb"|elbo|kl|entropy|err|logloss|cross|b?ce[^a-z]|adv|gradnorm|bp[bc]|0\]\t|0:\tl)"
)


def words_of(key: bytes) -> set[bytes]:
    """The lower-case words of a key: ``train/grad_norm`` has three; each with and without a number at its end."""
    found = _WORD.findall(key.lower())
    return {*found, *(word.rstrip(b"0") for word in found)}


def likely(shape: bytes) -> bool:
    """Whether a shape holds any word at all that could make a row of a line; cheap."""
    return _LIKELY.search(b" " + shape.lower() + b" ") is not None or b"%|" in shape


def measures(key: bytes) -> bool:
    """Whether a key says by itself that it is a result."""
    words = words_of(key)
    return not words.isdisjoint(RESULTS) and words.isdisjoint(SETTINGS)
