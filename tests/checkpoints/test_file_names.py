"""What a file's name says of a checkpoint where nothing in it does: rectified flow, and few steps."""

from __future__ import annotations

import pytest

from ti_core.checkpoints.file_names import few_steps_named, flow_word


@pytest.mark.parametrize(
    ("stem", "word"),
    [
        ("noobai-xl-rf", "rf"),
        ("NoobAI_RF_v1", "rf"),
        ("chenkinNoobXLRF_v03", "rf"),
        ("ChenkinNoob-XL-V0.3-Rectified-Flow", "rectified"),
        ("noobRectifiedFlow", "rectifiedflow"),
        ("noobrectifiedflow-test", "rectifiedflow"),
        ("bigASP_v25_flow", "flow"),
        ("illustriousFlowMatching", "flow"),
        ("sdxl-flowmatch", "flowmatch"),
        ("instaflow_0_9B_from_sd_1_5", "instaflow"),
        ("wildflower", ""),
        ("Overflow_v1", ""),
        ("workflow-test", ""),
        ("PeRFlow-sd15", ""),
        ("surfXL", ""),
        ("perfectWorld_v6", ""),
        ("dwarf", ""),
        ("NoobAI-XL-Vpred-v1.0", ""),
    ],
)
def test_a_name_tells_rectified_flow_by_whole_words(stem: str, word: str) -> None:
    assert flow_word(stem) == word


@pytest.mark.parametrize(
    ("stem", "kind"),
    [
        ("sd_xl_turbo_1.0_fp16", "Turbo"),
        ("dreamshaperXL_v21TurboDPMSDE", "Turbo"),
        ("sd_turbo", "Turbo"),
        ("sdxl_lightning_4step", "Lightning"),
        ("juggernautXL_v9Rdphoto2Lightning", "Lightning"),
        ("dreamshaper8LCM", "LCM"),
        ("animagine-lcm", "LCM"),
        ("sdxl_DMD2_4step_fp16", "DMD2"),
        ("bigLustDMD2", "DMD2"),
        ("Hyper-SDXL-8step", "Hyper-SD"),
        ("hyperrealism_v1", ""),
        ("turbocharger", ""),
        ("lightninggod", ""),
        ("ponyDiffusionV6XL", ""),
    ],
)
def test_a_name_tells_a_model_of_few_steps_by_whole_words(stem: str, kind: str) -> None:
    assert few_steps_named(stem) == kind
