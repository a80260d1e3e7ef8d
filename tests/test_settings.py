import pytest

from runwised.settings import AnomalyDetection, MetricFormat, MetricSchema, RunwiseConfig, SettingsError

WHOLE = b"""{
  "project_name": "Maze",
  "wandb_dir": "wandb",
  "logs_dir": "logs",
  "downsample_interval": 500,
  "some_future_field": [1, 2],
  "schema_inline": {
    "loss_key": "train/loss",
    "step_key": "_step",
    "primary_metric": "val/accuracy",
    "primary_metric_name": "Accuracy",
    "per_step_pattern": "train/loss_step_{i}",
    "num_steps": 3,
    "validation_sets": {"val": "Validation"},
    "groups": [
      {
        "name": "training",
        "display_name": "TRAINING",
        "metrics": {
          "train/loss": {"display": "Loss", "format": ".4f", "higher_is_better": false},
          "val/accuracy": {"display": "Accuracy", "format": ".1%", "higher_is_better": true, "color": "red"}
        }
      }
    ]
  },
  "anomaly_detection": {"spike_threshold": 4, "overfit_baseline_steps": [10, 50]}
}"""


def test_a_whole_file_of_the_ancestor_is_read() -> None:
    config = RunwiseConfig.parse(WHOLE)
    assert (config.project_name, config.wandb_dir, config.logs_dir) == ("Maze", "wandb", "logs")
    assert config.downsample_interval == 500
    assert config.schema.primary_metric == "val/accuracy"
    assert config.schema.per_step_keys == ["train/loss_step_0", "train/loss_step_1", "train/loss_step_2"]
    assert config.schema.validation_sets == {"val": "Validation"}
    assert config.schema.metrics == {
        "train/loss": MetricFormat(display="Loss", format=".4f", higher_is_better=False),
        "val/accuracy": MetricFormat(display="Accuracy", format=".1%", higher_is_better=True),
    }
    assert config.anomaly_detection == AnomalyDetection(spike_threshold=4.0, overfit_baseline_steps=(10, 50))


def test_further_log_folders_are_a_list_of_names() -> None:
    assert RunwiseConfig.parse(b'{"log_dirs": ["a", "b/c.db"]}').log_dirs == ("a", "b/c.db")
    with pytest.raises(SettingsError, match="log_dirs"):
        RunwiseConfig.parse(b'{"log_dirs": "a"}')


def test_an_empty_object_is_the_defaults() -> None:
    assert RunwiseConfig.parse(b"{}") == RunwiseConfig()


def test_null_is_as_good_as_nothing_and_a_byte_order_mark_is_passed_over() -> None:
    data = b'\xef\xbb\xbf{"project_name": null, "schema_inline": {"per_step_pattern": null, "num_steps": 0}}'
    assert RunwiseConfig.parse(data) == RunwiseConfig()


def test_a_schema_in_a_file_of_its_own_is_merged() -> None:
    config = RunwiseConfig.parse(b'{"schema": "schemas/maze.json", "schema_inline": {"loss_key": "a"}}')
    assert config.schema_path == "schemas/maze.json"
    merged = config.with_schema(b'{"loss_key": "train/ce", "groups": [{"name": "x", "metrics": {"m": {}}}]}')
    assert merged.schema.loss_key == "train/ce"
    assert list(merged.schema.metrics) == ["m"]


def test_a_schema_that_is_an_object_is_taken_as_inline() -> None:
    config = RunwiseConfig.parse(b'{"schema": {"loss_key": "nll"}}')
    assert config.schema == MetricSchema(loss_key="nll")
    assert config.schema_path is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "runwise.json: not JSON: Expecting property name"),
        (b"\xff\xfe", "runwise.json: not JSON"),
        (b"[]", "runwise.json: expected a JSON object, found list"),
        (b'{"downsample_interval": "often"}', "runwise.json: downsample_interval: Expected `int`, got `str`"),
        (b'{"schema_inline": {"num_steps": []}}', "runwise.json: schema.num_steps: Expected `int`, got `array`"),
        (b'{"schema_inline": {"groups": [{"metrics": 3}]}}', "runwise.json: schema.groups[0].metrics: Expected"),
        (b'{"anomaly_detection": {"spike_window": 1.5}}', "runwise.json: anomaly_detection.spike_window: Expected"),
    ],
)
def test_a_wrong_file_is_refused_by_the_name_of_the_field(data: bytes, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        RunwiseConfig.parse(data)
    assert str(caught.value).startswith(message)


def test_templates_stand_in_the_file_or_in_one_of_their_own() -> None:
    assert RunwiseConfig.parse(b'{"log_templates": ["it {step} L={loss}"]}').log_templates == ("it {step} L={loss}",)
    config = RunwiseConfig.parse(b'{"log_templates": "lines.txt"}')
    assert (config.log_templates, config.log_templates_path) == ((), "lines.txt")
    assert config.with_templates(b"# a comment\nit {step} L={loss}\n\n").log_templates == ("it {step} L={loss}",)
    with pytest.raises(SettingsError, match=r"^lines\.txt: not UTF-8"):
        config.with_templates(b"\xff")


def test_a_wrong_schema_file_is_named() -> None:
    config = RunwiseConfig.parse(b'{"schema": "maze.json"}')
    with pytest.raises(SettingsError, match=r"^maze\.json: loss_key: Expected `str"):
        config.with_schema(b'{"loss_key": 3}')
