"""Errors that are meant for the user. Every other exception is a bug of ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal


class Problem(str):
    """One sentence for the user, with the name of the setting that it is about (`field`; empty for none), so that a
    page can show it where that is typed.
    """

    field: str

    def __new__(cls, sentence: str, field: str = "") -> Problem:
        problem = super().__new__(cls, sentence)
        problem.field = field or getattr(sentence, "field", "")
        return problem


class UserError(Exception):
    """`problem` says what happened, with which value; `hint` says what to do next. Each is one clear sentence.

    `field` names the setting that it is about, or the box of the page that has no setting; empty for none.
    """

    def __init__(self, problem: str, hint: str = "", field: str = "") -> None:
        super().__init__(f"{problem} {hint}".strip())
        self.problem = problem
        self.hint = hint
        self.problems = [Problem(str(self), field)]
        """All sentences, each with its field."""


class SettingsError(UserError):
    """All problems of a form at once, one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = [Problem(sentence) for sentence in problems]


@contextmanager
def about(field: str) -> Iterator[None]:
    """What is raised inside as a UserError is about this field, where it does not say so itself."""
    try:
        yield
    except UserError as error:
        error.problems = [problem if problem.field else Problem(problem, field) for problem in error.problems]
        raise


class Interrupted(Exception):
    """Raised inside a job when somebody pressed Interrupt."""


def shown_number(value: float) -> str:
    """A number as people write it: 4294967295 and 0.00005, where Python's :g gives 4.29497e+09 and 5e-05."""
    return format(Decimal(f"{value + 0.0:.10g}"), "f")


OUT_OF_MEMORY = (
    "out of memory",  # CUDA, HIP, XPU and MPS, also where a driver says it: "CUDA error: out of memory"
    "out_of_memory",
    "OUT_OF_DEVICE_MEMORY",  # Level Zero, below XPU
    "OUT_OF_RESOURCES",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDNN_STATUS_NOT_SUPPORTED",  # cuDNN found no algorithm in the room that is left
    "unable to find an engine",
    "Unable to find a valid cuDNN algorithm",
    "HIPBLAS_STATUS_ALLOC_FAILED",
    "MIOPEN_STATUS_ALLOC_FAILED",
    "Invalid buffer size",  # MPS, for one tensor that is larger than the device
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",  # Windows
    "NVML_SUCCESS == r",  # torch's allocator, which asks the driver how full the card is, where that fails
)
"""What torch and the libraries below it say where a device has no room left."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether something smaller would help."""
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)


class TooLittleMemory(UserError):
    """The device has no room for the smallest way to do what was asked."""


def unexpected(error: Exception) -> str:
    """The sentence that users see for an exception that is a bug of ours, or for a device that has no room left where
    nothing smaller could be tried.
    """
    if is_out_of_memory(error):
        return "The device's memory ran out. Close other programs that use the graphics card, and try again."
    return f"An unexpected error: {type(error).__name__}: {error}. The terminal shows where it happened."
