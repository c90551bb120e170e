// Every kernel that the card has not: the processor's does the work, after the checks that a card makes.
#pragma once
#include <ATen/native/CPUFallback.h>
#include <torch/library.h>
#include <set>
#include "counts.h"
#include "hollow.h"
#include "tensors.h"

namespace pretend {

// Where a card takes indices or a storage from the processor.
inline const std::set<std::string> MIXED_IS_FINE = {
    "aten::index.Tensor",      "aten::index.Tensor_out", "aten::index_put_",     "aten::_index_put_impl_",
    "aten::index_put",         "aten::_unsafe_index.Tensor", "aten::set_.source_Tensor"};
// Whose result's shape or value the host must know.
inline const std::set<std::string> READ_BY_HOST = {
    "aten::nonzero", "aten::masked_select", "aten::unique_dim", "aten::_unique2", "aten::equal", "aten::is_nonzero"};

struct Devices {
  int card = -1;  // of the tensors, -1: none
  bool several = false, with_cpu = false;

  void look(const at::Tensor& tensor) {
    if (!tensor.defined()) return;
    const bool is_number = tensor.dim() == 0;  // which a kernel takes from anywhere
    if (tensor.is_cuda()) {
      if (card >= 0 && tensor.get_device() != card && !is_number) several = true;
      if (card < 0 || !is_number) card = tensor.get_device();
    } else if (tensor.device().is_cpu() && !is_number) {
      with_cpu = true;
    }
  }
  void look(const c10::IValue& value) {
    if (value.isTensor()) look(value.toTensor());
    else if (value.isTensorList()) for (const auto& tensor : value.toTensorVector()) look(tensor);
    else if (value.isOptionalTensorList())
      for (const auto& tensor : value.toOptionalTensorVector()) if (tensor) look(*tensor);
  }
};

inline void fallback(const c10::OperatorHandle& kernel, torch::jit::Stack* stack) {
  const auto& schema = kernel.schema();
  const auto name = schema.name() + (schema.overload_name().empty() ? "" : "." + schema.overload_name());
  Devices found;
  for (const auto& value : torch::jit::last(*stack, schema.arguments().size())) found.look(value);
  const bool is_mixed = found.several || (found.with_cpu && !MIXED_IS_FINE.count(name));
  TORCH_CHECK(
      found.card < 0 || !is_mixed, "Expected all tensors to be on the same device, but found at least two devices, cuda:",
      found.card, " and ", found.several ? "another card" : "cpu", "! (when checking arguments of ", name, ")");
  if (found.card >= 0 && found.with_cpu) count_to_device(true, "indices of the host");
  if (READ_BY_HOST.count(name)) count_to_host(true, name.c_str());
  count_kernel(name);
  std::optional<c10::DeviceGuard> guard;
  if (found.card >= 0) guard.emplace(c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(found.card)));
  if (found.card >= 0 && leave_out(kernel, name, stack, found.card)) return;
  Inside inside_a_kernel;
  at::native::cpu_fallback(kernel, stack);
}

// A kernel that the processor has not, because it does this with its ordinary convolution.
inline Tensor convolution_by_depth(
    const Tensor& self, const Tensor& weight, c10::IntArrayRef, const std::optional<Tensor>& bias,
    c10::IntArrayRef stride, c10::IntArrayRef padding, c10::IntArrayRef dilation) {
  TORCH_CHECK(weight.device() == self.device(), "Expected all tensors to be on the same device (weight of a convolution)");
  count_kernel("aten::_conv_depthwise2d");
  const auto added = bias && bias->defined() ? std::optional<Tensor>(on_cpu(*bias)) : std::nullopt;
  return to_card(at::conv2d(on_cpu(self), on_cpu(weight), added, stride, padding, dilation, self.size(1)), self);
}

}  // namespace pretend
