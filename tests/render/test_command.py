from runwised.render.command import command, keys_option


def test_words_are_quoted_for_a_shell() -> None:
    assert command("history", "my run", "-k", "val/*", "--around", 120, None) == (
        "history 'my run' -k 'val/*' --around 120"
    )


def test_keys_are_one_option() -> None:
    assert keys_option(["train/loss", "lr"]) == ("-k", "train/loss,lr")
    assert keys_option([]) == ()


def test_a_comma_in_a_key_is_asked_for_by_a_glob() -> None:
    assert keys_option(["f1,macro"]) == ("-k", "f1?macro")
