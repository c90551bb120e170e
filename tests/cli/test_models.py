"""The commands about checkpoints."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.models.fake_hub import fake_hub
from tests.models.tiny_families import save_single_file, save_zero_snr_file
from ti_core.cli.main import EXIT_OK, EXIT_USER_ERROR, main
from ti_core.settings import PORTRAITS
from ti_core.workspace import REPOSITORY, Workspace


def test_models_tells_family_size_precision_hash_and_problem_of_every_file(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save_single_file("sdxl", workspace.checkpoints / "xl.safetensors")
    (workspace.checkpoints / "cut.safetensors").write_bytes(path.read_bytes()[:-9])
    (workspace.checkpoints / "page.ckpt").write_text("<html>Log in</html>")
    assert main(["models", "--workspace", str(workspace.root), "--json"]) == EXIT_OK
    output = capsys.readouterr()
    rows = {row["title"]: row for row in json.loads(output.out)}
    assert list(rows) == [PORTRAITS, "cut.safetensors", "page.ckpt", TINY, "xl.safetensors"]
    xl = rows["xl.safetensors"]
    assert (xl["family"], xl["size_px"], xl["precision"], xl["problem"], xl["bytes"]) == (
        "sdxl",
        1024,
        "fp32",
        "",
        path.stat().st_size,
    )
    assert xl["hash"] == hashlib.sha256(path.read_bytes()).hexdigest()[:10]
    assert "is cut off" in rows["cut.safetensors"]["problem"] and rows["cut.safetensors"]["hash"] == ""
    assert "web page" in rows["page.ckpt"]["problem"]
    assert "hash of xl.safetensors" in output.err

    assert main(["models", "--workspace", str(workspace.root)]) == EXIT_OK
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert lines[0].split() == ["title", "family", "prediction", "size_px", "precision", "bytes", "hash", "problem"]
    assert lines[-1].split() == [
        "xl.safetensors",
        "sdxl",
        "epsilon",
        "1024",
        "fp32",
        str(path.stat().st_size),
        xl["hash"],
        "-",
    ]
    assert output.err == "", "hashes are known"


def test_models_tells_what_each_predicts_and_whether_its_noise_ends_at_zero_snr(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    save_zero_snr_file(workspace.checkpoints / "v.safetensors")
    save_single_file("sdxl", workspace.checkpoints / "xl.safetensors")
    save_single_file("sd2_v", workspace.checkpoints / "two.ckpt")
    assert main(["models", "--workspace", str(workspace.root), "--json", "--no-hash"]) == EXIT_OK
    rows = {row["title"]: (row["prediction"], row["zero_terminal_snr"]) for row in json.loads(capsys.readouterr().out)}
    assert rows == {
        PORTRAITS: ("epsilon", False),
        TINY: ("epsilon", False),
        "two.ckpt": ("", False),
        "v.safetensors": ("v_prediction", True),
        "xl.safetensors": ("epsilon", False),
    }
    assert main(["models", "--workspace", str(workspace.root), "--no-hash"]) == EXIT_OK
    assert re.search(
        r"^v.safetensors +sdxl +v_prediction, zero terminal SNR +1024", capsys.readouterr().out, re.MULTILINE
    )


def test_models_can_leave_the_hashes_out_and_needs_no_torch(workspace: Workspace) -> None:
    code = (
        "import sys; from ti_core.cli.main import main; main(['models', '--no-hash', '--workspace',"
        f" {str(workspace.root)!r}]); print(sorted({{'torch', 'gradio', 'huggingface_hub'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert not workspace.hashes_file.exists()


def test_download_fetches_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_hub({"v1.safetensors": save_single_file("sd1", tmp_path / "v1.safetensors").read_bytes()}) as hub:
        monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", hub.endpoint)
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
            hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        )
        assert main(["download", "owner/model/v1.safetensors", "--workspace", str(tmp_path)]) == EXIT_OK
        assert "Downloaded: models/Stable-diffusion/v1.safetensors" in capsys.readouterr().out
        assert main(["download", "owner/model", "--revision", "v9", "--workspace", str(tmp_path)]) == EXIT_USER_ERROR
        assert "'owner/model' has no revision 'v9'" in capsys.readouterr().err
    assert main(["download", "owner/model", "--workspace", str(tmp_path)]) == EXIT_USER_ERROR
    assert capsys.readouterr().err.startswith(
        "error: The hub could not be reached, so 'owner/model' was not downloaded. Check the network"
    )
