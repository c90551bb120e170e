import pytest

from ti_core.errors import SettingsError, shown_number
from ti_core.runs.plan import plan_run
from ti_core.settings import CompareSettings, CreateSettings, PreprocessSettings, TrainSettings
from ti_core.settings.option import Settings
from ti_core.training.presets import PRESETS

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
        "learning_rate": "0.005",
        "batch_size": 1,
        "gradient_accumulation_steps": 1,
        "log_directory": "textual_inversion",
        "steps": 100_000,
        "template_file": "style_filewords.txt",
        "image_every": 500,
        "save_every": 500,
        "cards": True,
        "shuffle_tags": False,
        "tag_drop_out": 0.0,
        "latent_sampling_method": "once",
    }
    assert {name: getattr(defaults, name) for name in expected} == expected


def test_settings_survive_json() -> None:
    settings = TrainSettings.from_dict(
        {**GOOD, "steps": "150", "tag_drop_out": 0.1, "shuffle_tags": True, "batch_size": 2.0}
    )
    assert TrainSettings.from_dict(settings.to_dict()) == settings
    assert (settings.steps, settings.batch_size) == (150, 2)


def test_all_problems_are_reported_at_once_with_their_values() -> None:
    settings = TrainSettings.from_dict(
        {
            "learning_rate": "0.05:x",
            "batch_size": 0,
            "gradient_accumulation_steps": -3,
            "steps": 0,
            "tag_drop_out": 1.5,
            "width": 100,
        }
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
    [
        (20, 1, 20, (1, 20)),
        (20, 2, 20, (2, 10)),
        (20, 3, 20, (3, 6)),
        (3, 8, 5, (3, 1)),
        (24, 2, 12, (2, 12)),
        (1, 1, 1, (1, 1)),
    ],
)
def test_accumulation_never_spans_more_than_one_pass(
    images: int, batch: int, accumulation: int, effective: tuple[int, int]
) -> None:
    plan = plan_run(images, batch, accumulation, 150)
    assert (plan.batch, plan.accumulation) == effective
    assert plan.images_per_step <= images
    assert plan.passes == 150 * effective[0] * effective[1]
    assert str(plan.passes) in plan.sentence()


def test_numbers_are_written_as_people_write_them() -> None:
    numbers = (4294967295, 5000000.0, 0.00005, 1.5e-10, 0.1 + 0.2, -0.0, 7.5, 1e20)
    assert [shown_number(number) for number in numbers] == [
        "4294967295",
        "5000000",
        "0.00005",
        "0.00000000015",
        "0.3",
        "0",
        "7.5",
        "100000000000000000000",
    ]


@pytest.mark.parametrize(
    "value", ["false", "no", "0", "true", "", None, 2, -1, 0.5, float("nan"), [], ["x"], {}, {"a": 1}]
)
def test_a_switch_takes_true_and_false_alone(value: object) -> None:
    """ "false" once replaced a trained embedding."""
    with pytest.raises(SettingsError, match=r"Overwrite Old Embedding: .* is not true or false"):
        CreateSettings.from_dict({"name": "anna", "overwrite": value})


@pytest.mark.parametrize(("value", "is_on"), [(True, True), (False, False), (1, True), (0, False), (1.0, True)])
def test_a_switch_also_takes_the_numbers_that_programs_send(value: object, is_on: bool) -> None:
    assert CreateSettings.from_dict({"name": "anna", "overwrite": value}).overwrite is is_on


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("embedding", {"name": "anna"}),
        ("embedding", ["anna"]),
        ("embedding", 5),
        ("embedding", True),
        ("learning_rate", float("nan")),
        ("learning_rate", True),
        ("learning_rate", ["0.005"]),
        ("steps", True),
        ("steps", float("inf")),
        ("steps", [150]),
        ("steps", {}),
        ("steps", "1e400"),
        ("tag_drop_out", False),
        ("tag_drop_out", float("nan")),
        ("tag_drop_out", float("inf")),
        ("tag_drop_out", "nan"),
        ("tag_drop_out", 10**400),
    ],
)
def test_a_value_of_another_kind_becomes_no_setting(name: str, value: object) -> None:
    label = TrainSettings.options()[name].label
    with pytest.raises(SettingsError, match=f"^{label}: .* is not "):
        TrainSettings.from_dict({**GOOD, name: value})


def test_a_text_of_numbers_may_be_a_number_and_an_empty_text_is_empty() -> None:
    settings = TrainSettings.from_dict(
        {**GOOD, "learning_rate": 0.005, "clip_grad_value": 1, "filename_word_regex": None}
    )
    assert (settings.learning_rate, settings.clip_grad_value, settings.filename_word_regex) == ("0.005", "1", "")
    assert CompareSettings.from_dict({"run": "a", "seeds": 3}).seeds == "3"


def test_a_long_value_is_not_repeated_at_its_whole_length() -> None:
    deep: object = []
    for _ in range(100_000):
        deep = [deep]
    for value in ("x" * 10_000, deep, 10**5000, {"a": "b" * 10_000}):
        with pytest.raises(SettingsError) as error:
            TrainSettings.from_dict({"steps": value, "x" * 10_000: 1})
        assert len(str(error.value)) < 400


def test_what_another_version_wrote_is_used_and_told() -> None:
    written = {**TrainSettings(**GOOD, steps=7).to_dict(), "colour": "red"}
    del written["gpus"]
    kept = TrainSettings.from_kept(written)
    assert kept.settings == TrainSettings(**GOOD, steps=7) and not kept.wrong
    told = " ".join(kept.sentences())
    assert "colour" in told and "gpus (1)" in told
    assert TrainSettings.from_kept(TrainSettings(**GOOD).to_dict()).sentences() == []


def test_options_that_were_removed_are_told_and_the_rest_used() -> None:
    written = {**TrainSettings(**GOOD, steps=7).to_dict(), "noise_spread": "even", "coarse_share": 0.5}
    kept = TrainSettings.from_kept(written)
    assert kept.settings == TrainSettings(**GOOD, steps=7) and not kept.wrong
    assert kept.sentences() == ["Settings of another version of this program are left out: noise_spread, coarse_share."]


@pytest.mark.parametrize("written", [5, None, [], "x", {"steps": "many", "shuffle_tags": "no"}])
def test_damaged_settings_are_told_and_the_rest_used(written: object) -> None:
    kept = TrainSettings.from_kept(
        {**TrainSettings(**GOOD).to_dict(), **written} if isinstance(written, dict) else written
    )
    assert kept.wrong and kept.settings.steps == TrainSettings().steps
    assert kept.settings.embedding == ("anna" if isinstance(written, dict) else "")


def test_groups_hold_every_option_once_and_in_order() -> None:
    for settings in (CreateSettings, PreprocessSettings, TrainSettings):
        assert [name for names in settings.grouped().values() for name in names] == list(settings.options())
    titles = [group.title if group else "" for group in TrainSettings.grouped()]
    assert titles[0] == "" and titles[-1] == "Memory" and len(titles) == len(set(titles))


@pytest.mark.parametrize("settings", [CreateSettings, PreprocessSettings, TrainSettings])
def test_what_is_shown_with_a_switch_names_one(settings: type[Settings]) -> None:
    defaults = settings.defaults()
    assert all(type(defaults[settings.options()[name].shown_with]) is bool for name in settings.names("shown_with"))


def test_what_a_preset_sets_is_reset_by_the_others() -> None:
    """Else the form would depend on which preset was chosen before."""
    differing = {name for values in PRESETS.values() for name in values}
    assert differing <= TrainSettings.reset_values().keys()
    assert not {"width", "height", "preview_steps", "checkpoint"} & TrainSettings.reset_values().keys()


def test_helping_processes_neither_paint_nor_save() -> None:
    names = ["image_every", "save_every", "csv_every", "tensorboard", "evaluate_every"]
    assert TrainSettings.other_rank_values() == {**dict.fromkeys(names, 0), "tensorboard": False}


def test_the_sign_of_an_evaluation_stays_as_older_runs_have_it() -> None:
    settings = TrainSettings(**GOOD, seed=7, alpha_as_weight=True, precision="float32")
    assert settings.evaluation_values() == [7, True, "float32"]
    ranks = sorted(option.evaluation_field for option in TrainSettings.options().values() if option.evaluation_field)
    assert ranks == list(range(1, len(ranks) + 1))


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_an_empty_box_of_a_number_is_empty_and_not_0(empty: object) -> None:
    with pytest.raises(SettingsError) as error:
        TrainSettings.from_dict({**GOOD, "steps": empty, "seed": empty, "width": empty})
    assert [(problem.field, str(problem)) for problem in error.value.problems] == [
        ("width", "Width is empty. Write a whole number from 64 to 2048."),
        ("steps", "Max steps is empty. Write a whole number of 1 or more."),
        ("seed", "Seed is empty. Write a whole number from 0 to 4294967295."),
    ]


def test_a_decimal_comma_is_understood_where_it_can_mean_nothing_else() -> None:
    assert TrainSettings.from_dict({**GOOD, "tag_drop_out": "0,25"}).tag_drop_out == 0.25
    with pytest.raises(SettingsError, match="Write it without a comma: 100000"):
        TrainSettings.from_dict({**GOOD, "steps": "100,000"})
    with pytest.raises(SettingsError, match="'1,5' is not a whole number"):
        TrainSettings.from_dict({**GOOD, "batch_size": "1,5"})
    assert CompareSettings(run="a", seeds="1; 2 3,4").seed_numbers == [1, 2, 3, 4]
    assert not CompareSettings(run="a", seeds="1; 2 3,4").problems()


def test_every_problem_knows_its_field() -> None:
    settings = TrainSettings(
        steps=0, learning_rate="x", filename_word_regex="[", preview_width=8, gradient_checkpointing="maybe"
    )
    assert {problem.field for problem in settings.problems()} == {
        "embedding",
        "dataset_directory",
        "steps",
        "learning_rate",
        "filename_word_regex",
        "preview_width",
        "gradient_checkpointing",
    }
    assert {problem.field for problem in CompareSettings(seeds="a", prompts="x").problems()} == {
        "run",
        "seeds",
        "prompts",
    }


def test_the_bounds_of_a_size_are_not_above_what_goes_with_the_checkpoint() -> None:
    small = TrainSettings(**GOOD, width=16, height=16, preview_width=16)
    assert {problem.field for problem in small.problems()} == {"width", "height", "preview_width"}
    assert not small.problems(own_px=16)
    assert [problem.field for problem in small.problems(own_px=24)] == ["width", "height", "preview_width"]


def test_a_folder_is_what_was_meant_by_quotes_and_addresses() -> None:
    settings = TrainSettings.from_dict({**GOOD, "dataset_directory": " 'file:///home/me/my%20photos/' "})
    assert settings.dataset_directory == "/home/me/my photos"
