import pytest

from ti_core.errors import SettingsError, shown_number
from ti_core.plan import plan_run
from ti_core.settings import CreateSettings, PreprocessSettings, TrainSettings

GOOD = {"embedding": "anna", "dataset_directory": "datasets/anna"}


@pytest.mark.parametrize("settings", [CreateSettings, PreprocessSettings, TrainSettings])
def test_every_option_has_a_label_a_help_text_and_a_control(settings: type) -> None:
    for name, option in settings.options().items():
        assert option.label, name
        assert option.help.endswith((".", "?")), name
        assert option.control in ("textbox", "number", "slider", "checkbox", "dropdown", "radio"), name


def test_train_defaults_are_a1111s() -> None:
    defaults = TrainSettings()
    expected = {
        "learning_rate": "0.005", "batch_size": 1, "gradient_accumulation_steps": 1, "log_directory": "textual_inversion", "steps": 100_000,
        "template_file": "style_filewords.txt", "image_every": 500, "save_every": 500, "cards": True, "shuffle_tags": False, "tag_drop_out": 0.0,
        "latent_sampling_method": "once",
    }  # fmt: skip
    assert {name: getattr(defaults, name) for name in expected} == expected


def test_settings_survive_json() -> None:
    settings = TrainSettings.from_dict({**GOOD, "steps": "150", "tag_drop_out": 0.1, "shuffle_tags": True, "batch_size": 2.0})
    assert TrainSettings.from_dict(settings.to_dict()) == settings
    assert (settings.steps, settings.batch_size) == (150, 2)


def test_all_problems_are_reported_at_once_with_their_values() -> None:
    settings = TrainSettings.from_dict(
        {"learning_rate": "0.05:x", "batch_size": 0, "gradient_accumulation_steps": -3, "steps": 0, "tag_drop_out": 1.5, "width": 100}
    )
    with pytest.raises(SettingsError) as error:
        settings.check()
    text = "\n".join(error.value.problems)
    for part in (
        "Embedding is empty",
        "piece 1, '0.05:x'",
        "Batch size is 0",
        "steps is -3",
        "Max steps is 0",
        "is 1.5",
        "multiple of 8",
        "Dataset directory is empty",
    ):
        assert part in text, part


@pytest.mark.parametrize(("name", "value"), [("steps", "many"), ("steps", 1.5), ("tag_drop_out", "a"), ("colour", 1)])
def test_a_value_of_the_wrong_kind_is_named(name: str, value: object) -> None:
    with pytest.raises(SettingsError) as error:
        TrainSettings.from_dict({name: value})
    assert str(value) in str(error.value) or name in str(error.value)


def test_a_preview_prompt_without_the_name_is_refused() -> None:
    assert any("Preview prompt" in p for p in TrainSettings(**GOOD, preview_prompt="a photo of a cat").problems())
    assert not TrainSettings(**GOOD, preview_prompt="a photo of Anna, smiling").problems()


@pytest.mark.parametrize(
    ("images", "batch", "accumulation", "effective"),
    [(20, 1, 20, (1, 20)), (20, 2, 20, (2, 10)), (20, 3, 20, (3, 6)), (3, 8, 5, (3, 1)), (24, 2, 12, (2, 12)), (1, 1, 1, (1, 1))],
)
def test_accumulation_never_spans_more_than_one_pass(images: int, batch: int, accumulation: int, effective: tuple[int, int]) -> None:
    plan = plan_run(images, batch, accumulation, 150)
    assert (plan.batch, plan.accumulation) == effective
    assert plan.images_per_step <= images
    assert plan.passes == 150 * effective[0] * effective[1]
    assert str(plan.passes) in plan.sentence()


def test_numbers_are_written_as_people_write_them() -> None:
    numbers = (4294967295, 5000000.0, 0.00005, 1.5e-10, 0.1 + 0.2, -0.0, 7.5, 1e20)
    assert [shown_number(number) for number in numbers] == ["4294967295", "5000000", "0.00005", "0.00000000015", "0.3", "0", "7.5", "100000000000000000000"]
