"""Text that programs wrote: made harmless to show, and secrets in it hidden."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from runwise_protocol.harmless import clean as clean

HIDDEN = "‹hidden›"

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_SECRET_WORDS = {"password", "passwd", "passphrase", "pwd", "secret", "secrets", "credential", "credentials", "apikey"}
_KEY_OWNERS = {"api", "access", "private", "secret", "auth", "encryption", "signing", "account", "ssh", "license"}
_TOKEN_OWNERS = {
    *("api", "access", "auth", "refresh", "bearer", "session", "secret", "private", "personal", "id", "csrf", "bot"),
    *("hf", "hub", "huggingface", "wandb", "github", "gh", "gitlab", "slack", "openai", "anthropic", "aws", "azure"),
    *("comet", "neptune", "mlflow", "telegram", "discord", "use", "login", "oauth", "jwt", "user", "service", "read"),
}
_SHAPES = re.compile(
    r"""
      \bsk-[A-Za-z0-9_-]{16,}                      # OpenAI, Anthropic and others
    | \b(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{16,}
    | \bhf_[A-Za-z0-9]{20,}
    | \bgh[opsur]_[A-Za-z0-9]{20,} | \bgithub_pat_[A-Za-z0-9_]{20,}
    | \bglpat-[A-Za-z0-9_-]{16,}
    | \bxox[abeoprs]-[A-Za-z0-9-]{10,}
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
    | \bAIza[A-Za-z0-9_-]{30,}
    | \bya29\.[A-Za-z0-9_-]{20,}
    | \bnpm_[A-Za-z0-9]{30,} | \bpypi-[A-Za-z0-9_-]{30,}
    | \bwandb_v1_[A-Za-z0-9_-]{20,} | \blocal-[0-9a-f]{40}\b
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*
    | (?<=[Bb]earer[ ])[A-Za-z0-9._~+/-]{16,}=*
    | (?<=://)[^\s/:@]*:[^\s/@]+(?=@)              # user:password in an address
    """,
    re.VERBOSE | re.DOTALL,
)
_SIGNS = (
    *("sk-", "k_live_", "k_test_", "hf_", "gho_", "ghp_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-", "xox"),
    *("AKIA", "ASIA", "AIza", "ya29.", "npm_", "pypi-", "wandb_v1_", "local-", "eyJ", "PRIVATE KEY", "earer ", "://"),
)
"""One of them is in every text that `_SHAPES` fits: looking for them first is a hundred times faster."""
_ASSIGNED = re.compile(
    r"""(?P<before>(?<![\w.-])(?P<key>[A-Za-z_][\w.-]{1,60})["']?\s{0,2}[=:]\s{0,2}["']?"""
    r"""|(?<![\w.-])--?(?P<option>[\w.-]{2,60})\s{1,2})(?P<value>[^\s"',;]{6,})"""
)
_SPOKEN_OF = re.compile("key|token|secret|credential|pass|pwd", re.IGNORECASE)


def _secret_key(key: str) -> bool:
    words = [word.lower() for word in _WORD.findall(key[-200:])]
    if not words:
        return False
    last, owner = words[-1], words[-2] if len(words) > 1 else ""
    if _SECRET_WORDS & set(words[-3:]):
        return True
    if last == "key":
        return owner in _KEY_OWNERS
    return last == "token" and (owner in _TOKEN_OWNERS or len(words) == 1)


def _may_hold(text: str) -> bool:
    return any(sign in text for sign in _SIGNS)


def secret(key: str, value: Any) -> bool:
    """Whether a value looks like a token, key or password, by its key's last words or by its own shape.

    Numbers, flags and short marks such as ``eos_token: </s>`` are not secrets.
    """
    if not isinstance(value, str) or not value:
        return False
    if _may_hold(value) and _SHAPES.search(value):
        return True
    return len(value) >= 4 and " " not in value and _secret_key(key.rpartition(".")[2])


def hidden(nested: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A nested mapping with every secret in it replaced by `HIDDEN`, and the dotted keys of those."""
    found: list[str] = []
    return {key: _hidden(key, value, key, found) for key, value in nested.items()}, found


def _hidden(key: str, value: Any, path: str, found: list[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _hidden(name, inner, f"{path}.{name}", found) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(key, inner, path, found) for inner in value]
    if not secret(key, value):
        return value
    found.append(path)
    return HIDDEN


def redact(text: str) -> str:
    """The text with everything in it that looks like a secret replaced by `HIDDEN`."""
    text = _SHAPES.sub(HIDDEN, text) if _may_hold(text) else text
    return _ASSIGNED.sub(_hide, text) if _SPOKEN_OF.search(text) else text


def _hide(found: re.Match[str]) -> str:
    return f"{found['before']}{HIDDEN}" if secret(found["key"] or found["option"], found["value"]) else found[0]
