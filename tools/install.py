"""Installs the packages into the environment that runs this file: the build of torch that suits the machine, then the
rest. webui.sh, webui.bat and test.sh call it, so that there is one table for all systems.

Usage: .venv/bin/python tools/install.py [--requirements FILE] [--torch BUILD] [--skip-torch] [--plan]

Nothing is installed twice: a stamp in the environment remembers what was. It needs the standard library alone.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LOCK, OVER = "requirements-lock.txt", "requirements-over.txt"
INDEX = "https://download.pytorch.org/whl/"
PATIENCE_S = 20
"""For a program that asks a driver; a driver in trouble may never answer."""
OTHERS_GB = 0.5
"""What the packages beside torch weigh, measured on Linux."""


@dataclass(frozen=True)
class Build:
    """A build of torch: what it is for, where it is fetched from (empty: PyPI), and about how much that is."""

    name: str
    what_for: str
    index: str
    download_gb: float
    disk_gb: float


BUILDS = {
    build.name: build
    for build in (
        Build("cpu", "computers without a graphics card that torch can use", f"{INDEX}cpu", 0.2, 0.8),
        Build("mac", "Apple's own processors", "", 0.1, 0.5),
        Build("cu130", "NVIDIA cards, CUDA 13.0", f"{INDEX}cu130", 2.5, 5.0),
        Build("cu126", "older NVIDIA cards and drivers, CUDA 12.6", f"{INDEX}cu126", 2.7, 5.5),
        Build("rocm7.2", "AMD cards, ROCm 7.2", f"{INDEX}rocm7.2", 4.5, 16.0),
        Build("xpu", "Intel Arc cards", f"{INDEX}xpu", 1.5, 5.0),
    )
}
CUDA_13_DRIVER, CUDA_12_DRIVER = 580, 525
"""Least major version of NVIDIA's driver for each CUDA (docs.nvidia.com, CUDA compatibility)."""
CUDA_13_CARD, BLACKWELL = 7.5, 10.0
"""Compute capability: CUDA 13 knows no card before Turing, CUDA 12.6 none from Blackwell on."""


@dataclass(frozen=True)
class Machine:
    """What was found. `driver` is the major version of NVIDIA's, 0 if there is none; `capability` the least of the
    cards', 0 if it is not known. `silent_nvidia` is set where nvidia-smi is there and cannot reach a card.
    """

    system: str = ""
    processor: str = ""
    driver: int = 0
    capability: float = 0.0
    silent_nvidia: bool = False
    amd: str = ""
    intel: str = ""


class Refused(Exception):
    """A sentence for the user."""


# ---- what is there


def output_of(*command: str) -> str | None:
    """What a program prints; None if it is not there, fails, or does not answer in time."""
    found = shutil.which(command[0])
    if found is None:
        return None
    try:
        done = subprocess.run(
            [found, *command[1:]], capture_output=True, text=True, errors="replace", timeout=PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def look_at_machine() -> Machine:
    """Ask the system's own programs."""
    system, processor = platform.system(), platform.machine()
    if system != "Windows":  # a Python for another processor, as under Rosetta, says its own
        system, _, processor = (output_of("uname", "-sm") or f"{system} {processor}").strip().partition(" ")
    names = _names_of_cards(system)
    driver, capability = _nvidia()
    amd = "".join(re.findall(r"Name:\s+(gfx\w+)", output_of("rocminfo") or "")[:1])
    if not amd and system == "Windows" and re.search(r"radeon", names, re.IGNORECASE):
        amd = "Radeon"
    intel = (
        re.search(r"Arc\(?T?M?\)? ?[A-Z]\w*|Data Center GPU \w+|Battlemage|DG2", names) if "Intel" in names else None
    )
    return Machine(
        system,
        processor,
        driver,
        capability,
        driver == 0 and shutil.which("nvidia-smi") is not None,
        amd,
        intel[0] if intel else "",
    )


def _nvidia() -> tuple[int, float]:
    """Major version of the driver, and the least compute capability of the cards, which old drivers do not tell."""
    asked = output_of("nvidia-smi", "--query-gpu=driver_version,compute_cap", "--format=csv,noheader")
    asked = asked or output_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") or ""
    rows = [row.split(",") for row in asked.splitlines() if re.match(r"\d+\.", row.strip())]
    if not rows:
        return 0, 0.0
    known = [float(row[1]) for row in rows if len(row) > 1 and re.fullmatch(r"\d+\.\d+", row[1].strip())]
    return int(rows[0][0].strip().split(".")[0]), min(known, default=0.0)


def _names_of_cards(system: str) -> str:
    if system == "Windows":
        asked = "(Get-CimInstance Win32_VideoController).Name"
        return output_of("powershell", "-NoProfile", "-Command", asked) or ""
    if system != "Linux":
        return ""
    return "\n".join(line for line in (output_of("lspci") or "").splitlines() if re.search("VGA|3D|Display", line))


# ---- the table


def choose(machine: Machine) -> tuple[Build, str]:
    """The build for a machine, and a sentence if something more is to be done for it. Raises Refused."""
    if machine.system == "Darwin":
        if machine.processor != "arm64":
            raise Refused("torch does not exist any more for Macs with Intel processors. Use another computer.")
        return BUILDS["mac"], ""
    if machine.driver:
        return _for_nvidia(machine.driver, machine.capability)
    if machine.silent_nvidia:
        return BUILDS["cpu"], (
            "nvidia-smi finds no card, so this is the build for the processor. With the driver mended, start once"
            " with: --torch cu130"
        )
    if machine.amd and machine.system == "Linux":
        return BUILDS["rocm7.2"], ""
    if machine.amd:
        return BUILDS["cpu"], "For AMD cards there is a build on Linux alone, so this is the one for the processor."
    if machine.intel:
        return BUILDS["xpu"], ""
    return BUILDS["cpu"], ""


def _for_nvidia(driver: int, capability: float) -> tuple[Build, str]:
    is_old_card, is_new_card = 0 < capability < CUDA_13_CARD, capability >= BLACKWELL
    build = BUILDS["cu126" if is_old_card or (driver < CUDA_13_DRIVER and not is_new_card) else "cu130"]
    needed = CUDA_13_DRIVER if build.name == "cu130" else CUDA_12_DRIVER
    if driver >= needed:
        return build, ""
    return build, f"The driver {driver} is too old for it: update it to {needed} or newer, or the card is not used."


# ---- installing


def main(arguments: list[str] | None = None) -> int:
    """Install what is missing; returns the exit status."""
    parser = argparse.ArgumentParser(description="Install the packages into this environment.")
    parser.add_argument("--requirements", default="requirements.txt", help="what to install (default: %(default)s)")
    parser.add_argument("--torch", choices=BUILDS, help="this build of torch, even if another is there")
    parser.add_argument("--skip-torch", action="store_true", help="leave torch alone, whether it is there or not")
    parser.add_argument("--plan", action="store_true", help="say what would be fetched, and do nothing")
    options = parser.parse_args(arguments)
    try:
        install(options)
    except Refused as refused:
        print(f"error: {refused}", file=sys.stderr)
        return 2
    return 0


def install(options: argparse.Namespace) -> None:
    """Say what is going to be fetched, and fetch it. Raises Refused."""
    stamp = Path(sys.prefix) / f"installed-{_sum_of(options.requirements)}"
    if stamp.exists() and not options.torch and not options.plan:
        return
    has_torch = importlib.util.find_spec("torch") is not None and not options.torch
    build, more = None, ""
    if options.torch:
        build = BUILDS[options.torch]
    elif not has_torch and not options.skip_torch:
        build, more = choose(look_at_machine())
    print(_plan(build, has_torch, options.skip_torch), flush=True)
    if more:
        print(f"note: {more}", flush=True)
    if options.plan:
        return
    _check(build)

    # torch by itself, because its builds lie on an index of their own
    wanted = _wanted(options.requirements)
    if build:
        if options.torch:
            _pip(["uninstall", "--yes", "torch"])
        torch = next(line for line in wanted if line.startswith("torch=="))
        hint = "Choose another build, such as: --torch cpu, or install torch yourself and start with: --skip-torch"
        _pip(["install", torch, *_source(build)], hint)
    rest = Path(sys.prefix) / "wanted.txt"
    rest.write_text("\n".join(line for line in wanted if not line.startswith("torch==")) + "\n", encoding="utf-8")
    _pip(["install", "-r", str(rest), "-c", LOCK])
    # in a command of its own, because pip refuses what another package's bound forbids (requirements-over.txt)
    _pip(["install", "--no-deps", "-r", OVER])
    stamp.touch()


def _plan(build: Build | None, has_torch: bool, is_skipped: bool) -> str:
    if build is None:
        why = "it is there already" if has_torch and not is_skipped else "--skip-torch"
        return f"Installing the packages, about {OTHERS_GB:g} GB. torch is left as it is ({why})."
    if _own_sources():
        return "Installing torch and the other packages from the sources that pip is set to."
    return (
        f"Installing torch for {build.what_for} (about {build.download_gb:g} GB to fetch, {build.disk_gb:g} GB on the"
        f" disk) and the other packages (about {OTHERS_GB:g} GB). This is done once."
    )


def _check(build: Build | None) -> None:
    """Raises Refused where it could only fail later, after a long download."""
    needed_gb = (build.disk_gb + build.download_gb if build else 0) + 2 * OTHERS_GB
    free_gb = shutil.disk_usage(sys.prefix).free / 1e9
    if free_gb < needed_gb:
        raise Refused(
            f"{free_gb:.1f} GB are free here, and {needed_gb:.1f} GB are needed. Make room, then start again."
        )
    proxies = {name.lower(): value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    through = proxies.get("https_proxy") or proxies.get("all_proxy", "")
    if through.startswith("socks") and importlib.util.find_spec("socks") is None:
        raise Refused(
            "pip cannot use a SOCKS proxy. Set https_proxy to an http:// proxy, or for a direct way start once with:"
            " env -u ALL_PROXY -u all_proxy ./webui.sh"
        )


def _own_sources() -> bool:
    """Whether somebody told pip where packages come from, as companies do: then torch comes from there too."""
    return any(os.environ.get(name) for name in ("PIP_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"))


def _source(build: Build) -> list[str]:
    return ["--index-url", build.index] if build.index and not _own_sources() else []


def _wanted(requirements: str) -> list[str]:
    """The requirements of the file and of requirements.txt, without comments."""
    files = dict.fromkeys(("requirements.txt", requirements))
    lines = [line.strip() for name in files for line in (REPOSITORY / name).read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith(("#", "-r "))]


def _sum_of(requirements: str) -> str:
    names = ("requirements.txt", OVER, LOCK, requirements)
    return hashlib.sha256(b"".join((REPOSITORY / name).read_bytes() for name in names)).hexdigest()[:12]


def _pip(arguments: list[str], hint: str = "") -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    if subprocess.run(command, cwd=REPOSITORY, check=False).returncode:
        told = f"The installation failed; the lines above say why. {hint}".strip()
        raise Refused(f"{told} Then start again.")


if __name__ == "__main__":
    sys.exit(main())
