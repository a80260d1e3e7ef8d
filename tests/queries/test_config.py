import json

import pytest
from runwise_protocol.errors import RunwiseError
from runwise_protocol.queries import ShowConfig

from runwised.queries.config import answer

KEY = "0123456789abcdef0123456789abcdef01234567"
CONFIG = {
    "lr": 3e-4,
    "model": {"d": 512, "name": "big one", "drop": None, "sizes": [64, 128], "extra": {}},
    "a.b": "true",
    "wandb_api_key": KEY,
    "tools": [{"name": "x", "auth_token": KEY}],
    "amp": True,
    "big": 1152921504606846977,
}


@pytest.fixture
def view(run_of, project_of):
    return project_of(run_of(config=CONFIG, name="gpt"))


def test_configuration_is_nested_and_secrets_are_hidden_at_any_depth(view):
    reply = answer(ShowConfig(), view)
    assert reply.hidden == ["wandb_api_key", "tools.auth_token"]
    assert reply.config == CONFIG | {
        "wandb_api_key": "‹hidden›",
        "tools": [{"name": "x", "auth_token": "‹hidden›"}],
    }


def test_secrets_are_shown_when_asked_for(view):
    reply = answer(ShowConfig(show_secrets=True), view)
    assert (reply.config, reply.hidden) == (CONFIG, [])


def test_keys_select_by_dotted_name_and_glob(view):
    assert answer(ShowConfig(keys=("model.*", "lr")), view).config == {"lr": 3e-4, "model": CONFIG["model"]}
    assert answer(ShowConfig(keys=("a.b",)), view).config == {"a.b": "true"}


def test_a_key_that_is_not_there_is_an_error(view):
    with pytest.raises(RunwiseError, match=r"no config key 'model\.dd'; nearest: model\.d"):
        answer(ShowConfig(keys=("model.dd",)), view)


def test_json_is_the_nested_configuration(view, ask):
    assert json.loads(ask(ShowConfig(keys=("model.*", "big")), view, form="json")) == {
        "run": "3be9c0de",
        "config": {"model": CONFIG["model"], "big": CONFIG["big"]},
        "hidden": [],
    }


def test_text_packs_keys_and_quotes_only_what_would_read_as_something_else(view, ask):
    assert ask(ShowConfig(), view) == (
        "gpt config, 11 keys\n"
        'lr=0.0003 model.d=512 model.name="big one" model.drop=null model.sizes=[64,128] model.extra={}\n'
        'a.b="true" wandb_api_key=‹hidden› tools=[{"name":"x","auth_token":"‹hidden›"}] amp=true\n'
        "big=1152921504606846977\n"
        "hidden, 2: --show-secrets shows them\n"
    )


def test_text_for_a_person_has_a_key_a_line(view, ask):
    assert ask(ShowConfig(keys=("model.d", "lr")), view, dress="human") == (
        "gpt config, 2 keys\nkey       value\nlr       0.0003\nmodel.d     512\n"
    )


def test_a_long_value_is_cut_and_says_how_long_it_is(run_of, project_of, ask):
    text = ask(ShowConfig(), project_of(run_of(config={"prompt": "x" * 5000})))
    assert f"prompt={'x' * 120}…(5000 characters)\n" in text


def test_what_does_not_fit_is_counted_with_the_command_that_shows_it(run_of, project_of, ask):
    view = project_of(run_of(config={f"key{n}": n for n in range(3000)}, name="gpt"))
    last = ask(ShowConfig(), view).splitlines()[-1]
    assert last.startswith("cut: ")
    assert last.endswith("lines; runwise config gpt -k GLOB")


def test_a_run_without_configuration_says_so(run_of, project_of, ask):
    assert ask(ShowConfig(), project_of(run_of(name="gpt"))) == "gpt has no configuration\n"
