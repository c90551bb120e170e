"""Which build of torch a machine gets, by stand-ins for the programs that the systems bring; and which Python the
start scripts take.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ti_core.workspace import REPOSITORY
from tools.install import BUILDS, Machine, Refused, choose, look_at_machine

LINUX, MAC, INTEL_MAC = "Linux x86_64", "Darwin arm64", "Darwin x86_64"
ROCMINFO = "Agent 1\n  Name:                    AMD Ryzen\nAgent 2\n  Name:                    gfx1100\n"
ARC = "03:00.0 VGA compatible controller: Intel Corporation DG2 [Arc A770] (rev 08)"
IRIS = "00:02.0 VGA compatible controller: Intel Corporation Alder Lake-P GT2 [Iris Xe Graphics]"


def stand_in(folder: Path, name: str, prints: str, status: int = 0) -> None:
    """A program that prints this, whatever it is asked."""
    (folder / name).write_text(f"#!/bin/sh\ncat <<'END'\n{prints}\nEND\nexit {status}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are shell scripts")
@pytest.mark.parametrize(
    ("programs", "build", "note"),
    [
        ({"uname": LINUX}, "cpu", ""),
        ({"uname": LINUX, "nvidia-smi": "580.95.05, 8.9"}, "cu130", ""),
        ({"uname": LINUX, "nvidia-smi": "580.95.05, 8.9\n580.95.05, 6.1"}, "cu126", ""),
        ({"uname": LINUX, "nvidia-smi": "560.35.03, 8.6"}, "cu126", ""),
        ({"uname": LINUX, "nvidia-smi": "570.00, 12.0"}, "cu130", "update it to 580"),
        ({"uname": LINUX, "nvidia-smi": "470.223.02, 7.5"}, "cu126", "update it to 525"),
        ({"uname": LINUX, "nvidia-smi": "NVIDIA-SMI has failed because it couldn't communicate"}, "cpu", "no card"),
        ({"uname": LINUX, "rocminfo": ROCMINFO}, "rocm7.2", ""),
        ({"uname": LINUX, "rocminfo": "Agent 1\n  Name:   AMD Ryzen"}, "cpu", ""),
        ({"uname": LINUX, "lspci": ARC}, "xpu", ""),
        ({"uname": LINUX, "lspci": IRIS}, "cpu", ""),
        ({"uname": MAC}, "mac", ""),
    ],
)
def test_the_build_suits_what_the_programs_of_the_system_say(
    programs: dict[str, str], build: str, note: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, prints in programs.items():
        stand_in(tmp_path, name, prints)
    (tmp_path / "cat").symlink_to(shutil.which("cat") or "/bin/cat")
    monkeypatch.setenv("PATH", str(tmp_path))
    chosen, told = choose(look_at_machine())
    assert chosen.name == build
    assert (note in told) if note else told == ""


def test_a_driver_that_answers_an_old_question_only_is_taken_by_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = '#!/bin/sh\ncase "$1" in *compute_cap*) exit 2;; esac\necho 535.54\n'
    (tmp_path / "nvidia-smi").write_text(script, encoding="utf-8")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert choose(look_at_machine())[0].name == "cu126"


@pytest.mark.parametrize(
    ("machine", "build"),
    [
        (Machine("Windows", "AMD64", driver=580, capability=8.9), "cu130"),
        (Machine("Windows", "AMD64", amd="Radeon"), "cpu"),
        (Machine("Windows", "AMD64", intel="Arc"), "xpu"),
        (Machine("Windows", "AMD64"), "cpu"),
        (Machine("Linux", "aarch64"), "cpu"),
    ],
)
def test_the_same_table_serves_windows(machine: Machine, build: str) -> None:
    assert choose(machine)[0].name == build


def test_a_mac_with_an_intel_processor_is_told_that_there_is_no_torch_for_it() -> None:
    with pytest.raises(Refused, match="Intel"):
        choose(Machine("Darwin", "x86_64"))


def test_every_build_says_where_it_is_from_and_how_large_it_is() -> None:
    for build in BUILDS.values():
        assert build.download_gb > 0 and build.disk_gb > build.download_gb
        assert build.index.startswith("https://download.pytorch.org/whl/") or build.name == "mac"


# ---- the start scripts


def scripts(tmp_path: Path) -> tuple[Path, Path, dict[str, str]]:
    """A copy of the start script in a folder with spaces and umlauts, a folder of stand-ins, and the environment."""
    checkout, programs = tmp_path / "Größe und Gesicht", tmp_path / "bin"
    for folder in (checkout / "tools", programs):
        folder.mkdir(parents=True)
    for name in ("webui.sh", "tools/install.sh", "tools/install.py", "app.py"):
        shutil.copy(REPOSITORY / name, checkout / name)
    for name in REPOSITORY.glob("requirements*.txt"):
        shutil.copy(name, checkout)
    for name in ("bash", "sh", "cat", "dirname", "uname", "mkdir"):
        (programs / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    return checkout, programs, {"PATH": str(programs), "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}


def run(checkout: Path, environment: dict[str, str], *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "webui.sh", *flags], env=environment, capture_output=True, text=True, timeout=120, cwd="/"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_without_a_fitting_python_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    checkout, programs, environment = scripts(tmp_path)
    stand_in(programs, "python3", "Python 3.9.2", status=1)
    done = run(checkout, environment)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: No Python 3.11 to 3.14 was found") and len(done.stderr.splitlines()) == 1
    named = run(checkout, {**environment, "PYTHON": "python3"})
    assert named.returncode == 1 and named.stderr.startswith("error: 'python3' is no Python 3.11 to 3.14.")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_uv_makes_the_environment_where_no_python_fits(tmp_path: Path) -> None:
    checkout, programs, environment = scripts(tmp_path)
    brought = programs / "python-that-uv-brings"
    brought.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    asks = f'#!/bin/sh\necho "$@" > uv-was-asked\nmkdir -p .venv/bin\nln -s "{brought}" .venv/bin/python\n'
    (programs / "uv").write_text(asks, encoding="utf-8")
    for path in (brought, programs / "uv"):
        path.chmod(0o755)
    (programs / "ln").symlink_to(shutil.which("ln") or "/bin/ln")
    done = run(checkout, environment, "--plan")
    assert done.returncode == 0, done.stderr
    assert "--seed --python >=3.11,<3.15 .venv" in (checkout / "uv-was-asked").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_the_plan_says_what_would_be_fetched_and_how_much_and_fetches_nothing(tmp_path: Path) -> None:
    checkout, programs, environment = scripts(tmp_path)
    (checkout / ".venv" / "bin").mkdir(parents=True)
    base = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([base, "-m", "venv", "--without-pip", checkout / ".venv"], check=True, timeout=120)
    before = sorted((checkout / ".venv").rglob("*"))
    stand_in(programs, "nvidia-smi", "580.95.05, 8.9")
    done = run(checkout, environment, "--plan")
    assert done.returncode == 0 and "CUDA 13.0" in done.stdout and "2.5 GB to fetch" in done.stdout
    skipped = run(checkout, environment, "--plan", "--skip-torch")
    assert "torch is left as it is" in skipped.stdout
    other = run(checkout, environment, "--plan", "--torch", "cpu")
    assert "without a graphics card" in other.stdout
    assert sorted((checkout / ".venv").rglob("*")) == before


def test_both_scripts_know_the_same_flags_and_pythons() -> None:
    shell = (REPOSITORY / "webui.sh").read_text() + (REPOSITORY / "tools" / "install.sh").read_text()
    batch = (REPOSITORY / "webui.bat").read_text()
    for word in ("--skip-torch", "--torch", "--plan", "--install-only", "(3, 11) <=", "<= (3, 14)", "tools", "uv venv"):
        assert word in shell and word in batch
    for version in ("3.11", "3.12", "3.13", "3.14"):
        assert f"python{version}" in shell and f"py -{version}" in batch
    assert os.access(REPOSITORY / "webui.sh", os.X_OK)
