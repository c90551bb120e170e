// A pretend CUDA device for a CPU build of torch: tensors whose device really is cuda:N, whose memory is the
// computer's, and whose kernels are the processor's. Loaded before torch's Python modules (site/sitecustomize.py).
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include "attention.h"
#include "guard.h"
#include "kernels.h"
#include "memory.h"
#include "tensors.h"

namespace pretend {
using torch::CppFunction;

Tensor& set_storage(Tensor& self, c10::Storage storage) {
  const auto count = static_cast<int64_t>(storage.nbytes() / self.itemsize());
  return at::native::set_storage_cpu_(self, storage, 0, {count}, {1});
}
Tensor& set_storage_part(
    Tensor& self, c10::Storage storage, int64_t offset, c10::IntArrayRef size, c10::IntArrayRef stride) {
  return at::native::set_storage_cpu_(self, storage, offset, size, stride);
}

TORCH_LIBRARY_IMPL(_, CUDA, library) { library.fallback(CppFunction::makeFromBoxedFunction<&fallback>()); }
TORCH_LIBRARY_IMPL(aten, CUDA, library) {
  library.impl("empty.memory_format", empty);
  library.impl("empty_strided", empty_strided);
  library.impl("as_strided", as_strided);
  library.impl("view", TORCH_FN(at::native::view));
  library.impl("_reshape_alias", TORCH_FN(at::native::_reshape_alias));
  library.impl("unfold", TORCH_FN(at::native::unfold));
  library.impl("resize_", TORCH_FN(at::native::resize_));
  library.impl("copy_", copy_);
  library.impl("_copy_from", copy_from);
  library.impl("_copy_from_and_resize", copy_from_and_resize);
  library.impl("_local_scalar_dense", local_scalar);
  library.impl("set_.source_Storage", set_storage);
  library.impl("set_.source_Storage_storage_offset", set_storage_part);
  library.impl("_conv_depthwise2d", convolution_by_depth);
  library.impl("_scaled_dot_product_flash_attention", flash);
  library.impl("_scaled_dot_product_flash_attention_backward", flash_backward);
  library.impl("_scaled_dot_product_efficient_attention", efficient);
  library.impl("_scaled_dot_product_efficient_attention_backward", efficient_backward);
  // a card has these as one kernel, where torch would otherwise compose them of several
  for (auto name : {"native_group_norm", "native_layer_norm"})
    library.impl(name, CppFunction::makeFromBoxedFunction<&fallback>());
}

}  // namespace pretend

namespace at::native {
REGISTER_CUDA_DISPATCH(_fused_sdp_choice_stub, &pretend::way_of_attention)
}

// What Python sets and reads (site/pretend_torch.py).
extern "C" {
void pretend_setup(int cards) {
  pretend::cards = cards;
  c10::SetAllocator(c10::kCUDA, &pretend::allocator, 10);
}
void pretend_limit(int card, int64_t bytes) { pretend::limit[card] = bytes; }
void pretend_flash(int on) { pretend::has_flash = on; }
void pretend_hollow(int64_t bytes) { pretend::hollow_from = bytes < 0 ? INT64_MAX : bytes; }
int64_t pretend_total(int card) { return pretend::limit[card]; }
int64_t pretend_used(int card) { return pretend::used[card]; }
int64_t pretend_peak(int card) { return pretend::peak[card]; }
void pretend_reset_peak(int card) { pretend::peak[card] = pretend::used[card].load(); }
int pretend_current() { return pretend::current; }
void pretend_set_current(int card) { pretend::current = card; }
void pretend_wait() { pretend::count_wait(); }
void pretend_fails_in(int64_t allocations) { pretend::fails_in = allocations; }
int pretend_is_failing() { return pretend::fails_in >= 0; }
void pretend_counts(int64_t* out) {
  out[0] = pretend::kernels;
  out[1] = pretend::to_device;
  out[2] = pretend::to_host;
  out[3] = pretend::waits;
  out[4] = pretend::allocations;
}
void pretend_keep_names(int on) {
  std::lock_guard<std::mutex> lock(pretend::names_lock);
  pretend::keeps_names = on;
  if (on) pretend::names.clear();
}
const char* pretend_names() {
  static std::string lines;
  std::lock_guard<std::mutex> lock(pretend::names_lock);
  lines.clear();
  for (const auto& [name, count] : pretend::names) lines += name + "\t" + std::to_string(count) + "\n";
  return lines.c_str();
}
}
