"""How long the page and the first step of a training take, for bench/speed.py: the built-in model, each in a
process of its own.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.ui.journey import running_app
from ti_core.data.preprocess import preprocess
from ti_core.settings import CreateSettings, PreprocessSettings
from ti_core.training.create import create_embedding
from ti_core.training.presets import preprocess_values
from ti_core.workspace import REPOSITORY, SAMPLE_PHOTOS, Workspace

FIRST_STEP = """
import sys, time
from pathlib import Path
from ti_core.jobs.process import JobProcess
from ti_core.jobs.queue import JobQueue
from ti_core.settings import TrainSettings
from ti_core.workspace import Workspace
began = time.perf_counter()
jobs = JobQueue(Workspace(Path(sys.argv[1])), JobProcess().kinds())
for name in ("cold", "warm"):
    settings = TrainSettings(embedding=name, dataset_directory=sys.argv[2], steps=2, template_file=sys.argv[3],
                             image_every=0, batch_size=4)
    job = jobs.order("train", settings)
    while not job.curve and not job.has_ended:
        time.sleep(0.005)
    print(time.perf_counter() - began)
    jobs.wait_for(job)
    began = time.perf_counter()
"""


def time_page() -> dict[str, Any]:
    """The page, and a training of the built-in model from the click to its first step, right after the start of the
    process that trains and once more.
    """
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with running_app(Path(folder)) as (address, _):
            found = {"page_open_s": time.perf_counter() - began}
            times = []
            for _ in range(3):
                began = time.perf_counter()
                urllib.request.urlopen(address).read()
                times.append(time.perf_counter() - began)
            found |= {"page_first_request_s": times[0], "page_request_s": statistics.median(times)}
        workspace = Workspace(Path(folder))
        person = sorted(p.name for p in SAMPLE_PHOTOS.iterdir() if p.is_dir())[0]
        values = preprocess_values(str(SAMPLE_PHOTOS / person), person)
        preprocess(PreprocessSettings.from_dict(values), workspace, lambda event: None, threading.Event())
        for name in ("cold", "warm"):
            create_embedding(CreateSettings(name=name), workspace)
        command = [
            sys.executable,
            "-c",
            FIRST_STEP,
            folder,
            str(Path(folder) / values["destination_directory"]),
            "style_filewords.txt",
        ]
        printed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split()
        return found | {"first_step_cold_s": float(printed[-2]), "first_step_warm_s": float(printed[-1])}
