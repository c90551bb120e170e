"""The pretend device itself: what it refuses as a card does, and what it counts."""

from __future__ import annotations

import pytest
import torch

from tests.pretend_cuda.card import IS_REAL, PretendCard

pytestmark = [pytest.mark.pretend_card, pytest.mark.skipif(IS_REAL, reason="it is the pretend card that is tested")]
MIB = 2**20


def test_tensors_lie_on_the_card_and_devices_do_not_mix(card: PretendCard) -> None:
    rows = torch.randn(4, 8, device="cuda")
    weight = torch.randn(8, 3).to("cuda").requires_grad_()
    (rows @ weight).square().sum().backward()
    assert weight.grad is not None and weight.grad.device == torch.device("cuda:0") == rows.device
    with pytest.raises(RuntimeError, match=r"all tensors to be on the same device.*cuda:0 and cpu"):
        rows + torch.ones(8)
    assert (rows + torch.tensor(1.0)).is_cuda, "a number may come from anywhere"
    card.becomes(count=2)
    with pytest.raises(RuntimeError, match="cuda:0 and cuda:1"):
        rows + rows.to("cuda:1")


def test_memory_has_an_end_and_an_allocation_can_be_made_to_fail(card: PretendCard) -> None:
    before = card.used
    card.becomes(mib=before // MIB + 10)
    kept = torch.zeros(8 * MIB, dtype=torch.uint8, device="cuda")
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        torch.zeros(8 * MIB, dtype=torch.uint8, device="cuda")
    assert card.used - before == 8 * MIB and torch.cuda.mem_get_info()[0] < 3 * MIB
    del kept
    assert card.used == before and card.peak >= before + 8 * MIB
    card.fail_at(1)
    torch.zeros(4, device="cuda")
    with pytest.raises(torch.OutOfMemoryError):
        torch.zeros(4, device="cuda")
    assert card.has_failed and torch.zeros(4, device="cuda").is_cuda


def test_kernels_copies_and_waits_are_counted(card: PretendCard) -> None:
    with card.counted(names=True) as counts:
        rows = torch.ones(4).to("cuda", non_blocking=True)  # no wait
        rows = torch.ones(4).to("cuda")  # waits
        float((rows * 2).sum())  # two kernels, and a wait
        rows.cpu()  # waits
    assert {name: counts[name] for name in ("to_device", "to_host", "waits", "kernels")} == {
        "to_device": 2,
        "to_host": 2,
        "waits": 3,
        "kernels": 2,
    }
    assert counts.names == {
        "aten::mul.out": 1,
        "aten::sum.IntList_out": 1,
        "copy to the device": 2,
        "copy to the host": 1,
        "a number read by the host": 1,
    }


@pytest.mark.parametrize("flash", [True, False])
def test_attention_is_that_of_the_processor(card: PretendCard, flash: bool) -> None:
    card.becomes(flash=flash)
    query = torch.randn(1, 2, 5, 8, dtype=torch.bfloat16)
    on_card = query.to("cuda").requires_grad_()
    with card.counted(names=True) as counts:
        out = torch.nn.functional.scaled_dot_product_attention(on_card, on_card, on_card)
    out.float().sum().backward()
    expected = torch.nn.functional.scaled_dot_product_attention(query, query, query)
    assert torch.allclose(out.cpu().float(), expected.float(), atol=0.02) and on_card.grad is not None
    assert ("aten::_scaled_dot_product_flash_attention" in counts.names) == flash


def test_a_card_without_bf16_says_so_and_accelerate_takes_the_card(card: PretendCard) -> None:
    from accelerate import PartialState

    from ti_core.models.device import autocast_dtype, device_state

    device = PartialState().device
    assert device.type == "cuda" and autocast_dtype(device) is torch.bfloat16
    card.becomes(bf16=False, mib=3650, count=2)
    assert autocast_dtype(device) is torch.float16
    state = device_state(device)
    assert (state.kind, state.name, state.count, state.free_bytes // MIB) == ("cuda", "Pretend GPU 0", 2, 3650)
