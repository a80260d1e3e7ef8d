import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwised.render.untrusted import HIDDEN, clean, hidden, redact, secret


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("größe 損失 🙂", "größe 損失 🙂"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07shown", "shown"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("\x1bPq#0\x1b\\after", "after"),
        ("a\x00b\x08c\x7fd", "abcd"),
        ("one\r\ntwo\tthree\u2028four", "one two three four"),
        ("zero\u200bwidth\ufeff\u00ad", "zerowidth"),
        ("abc\u202egpj.exe\u2066", "abcgpj.exe"),
        ("tag\U000e0041\U000e0042s", "tags"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("\x1b", ""),
    ],
)
def test_a_cleaned_text_shows_what_it_holds_and_nothing_else(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(st.text())
def test_a_cleaned_text_is_one_line_that_can_be_sent(text: str) -> None:
    shown = clean(text)
    assert len(shown.splitlines()) <= 1
    assert not set(shown) & {"\x1b", "\r", "\n", "\x9b", "\u202e", "\u200b"}
    shown.encode()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("api_key", "abcd1234"),
        ("wandb.apiKey", "abcd1234"),
        ("db_password", "hunter2"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI"),
        ("hf_token", "abcdefgh"),
        ("auth.token", "abcdefgh"),
        ("credentials", "user:pass"),
        ("model", "sk-proj-abcdefghijklmnop1234"),
        ("args", "hf_abcdefghijklmnopqrstuvwxyz"),
        ("x", "ghp_abcdefghijklmnopqrstuvwxyz0123"),
        ("x", "AKIAABCDEFGHIJKLMNOP"),
        ("x", "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.sig"),
        ("url", "postgres://user:pw12345@host/db"),
        ("header", "Authorization: Bearer abcdefghijklmnop0123"),
        ("pem", "-----BEGIN RSA PRIVATE KEY-----\nMIIE"),
    ],
)
def test_a_value_that_looks_like_a_secret_is_one(key: str, value: str) -> None:
    assert secret(key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("eos_token", "</s>"),
        ("pad_token", "<|endoftext|>"),
        ("max_tokens", "2048"),
        ("tokenizer", "gpt2-large"),
        ("token_dim", "512"),
        ("loss_key", "train/loss"),
        ("monitor_key", "val/loss"),
        ("api_key", ""),
        ("api_key", None),
        ("password", 12),
        ("git_commit", "0123456789abcdef0123456789abcdef01234567"),
        ("data", "https://example.org/a:b/c"),
        ("keyboard", "qwerty-layout"),
    ],
)
def test_ordinary_values_are_no_secrets(key: str, value: object) -> None:
    assert not secret(key, value)


def test_secrets_are_hidden_wherever_they_are_nested() -> None:
    nested = {"lr": 0.1, "hub": {"token": "abcdefgh", "sizes": [1, 2]}, "args": ["--x", "hf_abcdefghijklmnopqrstuv"]}
    shown, keys = hidden(nested)
    assert shown == {"lr": 0.1, "hub": {"token": HIDDEN, "sizes": [1, 2]}, "args": ["--x", HIDDEN]}
    assert keys == ["hub.token", "args"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("export WANDB_API_KEY=0123456789abcdef", f"export WANDB_API_KEY={HIDDEN}"),
        ("{'password': 'hunter2hunter2', 'lr': 0.1}", f"{{'password': '{HIDDEN}', 'lr': 0.1}}"),
        ("train.py --api-key abcdef123456 --lr 0.1", f"train.py --api-key {HIDDEN} --lr 0.1"),
        ("using key sk-ant-" + "a1" * 12, f"using key {HIDDEN}"),
        ("git clone https://me:tok3n123@host/x", f"git clone https://{HIDDEN}@host/x"),
        ("the password is never printed", "the password is never printed"),
        ("loss=2.31 step=100 token=5", "loss=2.31 step=100 token=5"),
    ],
)
def test_secrets_in_a_line_are_hidden(line: str, shown: str) -> None:
    assert redact(line) == shown
