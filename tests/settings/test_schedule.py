import pytest
from hypothesis import given
from hypothesis import strategies as st

from ti_core.errors import SettingsError
from ti_core.settings.schedule import parse_schedule
from ti_core.training.presets import LEARNING_RATE


def test_the_guides_schedule_gives_each_rate_up_to_and_including_its_step() -> None:
    schedule = parse_schedule(LEARNING_RATE)
    expected = {
        1: 0.05,
        10: 0.05,
        11: 0.02,
        20: 0.02,
        21: 0.01,
        60: 0.01,
        61: 0.004,
        150: 0.004,
        500: 0.004,
        501: 0.002,
        3001: 0.0005,
        10**6: 0.0005,
    }
    assert {step: schedule.rate_at(step) for step in expected} == expected


def test_a_schedule_whose_pieces_have_all_passed_goes_on_at_its_last_rate() -> None:
    assert parse_schedule("0.05:10, 0.02:20").rate_at(150) == 0.02


def test_spaces_empty_pieces_and_exponents_are_fine() -> None:
    assert parse_schedule(" 5e-2 : 10 , , 1e-3:-1,").pieces == ((0.05, 10), (0.001, float("inf")))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("0.05:10, x:20", "piece 2, 'x:20'"),
        ("0.05;10", "piece 1, '0.05;10'"),
        ("0.05:1.5", "'1.5'"),
        ("0.05:0", "'0'"),
        ("0.005:" + "9" * 400 + ", 0.001:5", "at most 12 digits"),
        ("-0.1", "-0.1"),
        ("0", "above 0"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("101", "at most 100"),
        ("0.1:10:5", "piece 1"),
        ("0.05:20, 0.02:10", "Steps must rise"),
        ("0.05, 0.02:10", "never reached"),
        ("  ,", "empty"),
    ],
)
def test_a_broken_piece_is_named(text: str, named: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse_schedule(text)
    assert named in str(error.value)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0,005", "Write a point, not a comma: 0.005"),
        ("0,05:10, 0,02:20, 0,005", "Write a point, not a comma: 0.05:10, 0.02:20, 0.005"),
        ("0,05:10,0,02:20", "a comma: 0.05:10,0.02:20"),
        ("0.05:10; 0.02:20", "Write commas, not semicolons, between the pieces: 0.05:10, 0.02:20"),
        ("0,05:10; 0,02", "between the pieces and a point, not a comma: 0.05:10, 0.02"),
        ("'0.005'", "Write no quotes: 0.005"),
        ("\u201c0,005\u201d", "Write no quotes and a point, not a comma: 0.005"),
        (",005", "Write a point, not a comma: 0.005"),
    ],
)
def test_decimal_commas_semicolons_and_quotes_are_explained(text: str, meant: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse_schedule(text)
    assert str(error.value).endswith(meant) and len(error.value.problems) == 1


def test_every_broken_piece_is_reported_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        parse_schedule("a:1, 0.1:5, b:9")
    assert len(error.value.problems) == 2


@given(
    st.lists(
        st.tuples(st.floats(1e-6, 1), st.integers(1, 500)), min_size=1, max_size=8, unique_by=lambda piece: piece[1]
    )
)
def test_any_rising_schedule_reads_back(pieces: list[tuple[float, int]]) -> None:
    pieces.sort(key=lambda piece: piece[1])
    schedule = parse_schedule(", ".join(f"{rate!r}:{last}" for rate, last in pieces))
    assert list(schedule.pieces) == pieces
    for rate, last in pieces:
        assert schedule.rate_at(last) == rate


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    try:
        assert parse_schedule(text).rate_at(1) > 0
    except SettingsError as error:
        assert error.problems
