"""All kinds of jobs that can be asked for as data. Such a job is kept on disk, cloned, and found again after a restart.

A new kind is a file here and a line below.
"""

from ti_core.jobs.kind import JobKind
from ti_core.jobs.kinds.compare import COMPARE
from ti_core.jobs.kinds.create import CREATE
from ti_core.jobs.kinds.paint_dataset import PAINT_DATASET
from ti_core.jobs.kinds.preprocess import PREPROCESS
from ti_core.jobs.kinds.resume import RESUME
from ti_core.jobs.kinds.train import TRAIN
from ti_core.jobs.kinds.txt2img import TXT2IMG

KINDS: dict[str, JobKind] = {
    "create": CREATE,
    "paint_dataset": PAINT_DATASET,
    "preprocess": PREPROCESS,
    "train": TRAIN,
    "resume": RESUME,
    "compare": COMPARE,
    "txt2img": TXT2IMG,
}
"""Name of each kind, as the jobs' files have it, in the order of the command line and of the API."""
