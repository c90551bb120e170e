// Tensors of the card: made, seen through the processor's eyes, and copied to and from it.
#pragma once
#include <ATen/EmptyTensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/as_strided_native.h>
#include "counts.h"
#include "hollow.h"
#include "memory.h"

namespace pretend {
using at::Tensor;

// The same memory as a tensor of the processor, which keeps the card's tensor alive.
inline Tensor on_cpu(const Tensor& tensor) {
  if (!tensor.defined() || tensor.device().is_cpu()) return tensor;
  Tensor kept = tensor;
  return at::from_blob(
      const_cast<void*>(tensor.const_data_ptr()), tensor.sizes(), tensor.strides(),
      [kept](void*) mutable { kept.reset(); }, tensor.options().device(c10::kCPU), c10::Device(c10::kCPU));
}

inline Tensor to_card(const Tensor& cpu, const Tensor& like) {
  if (!cpu.defined()) return cpu;
  Tensor out = at::empty(cpu.sizes(), cpu.options().device(like.device()));
  on_cpu(out).copy_(cpu);
  return out;
}

inline c10::Device device_or_current(std::optional<c10::Device> device) {
  const int index = device && device->index() >= 0 ? device->index() : current;
  return {c10::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

inline Tensor empty(
    c10::IntArrayRef size, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>,
    std::optional<c10::Device> device, std::optional<bool>, std::optional<c10::MemoryFormat> format) {
  c10::DeviceGuard guard(device_or_current(device));
  const c10::DispatchKeySet keys(c10::DispatchKey::CUDA);
  return at::detail::empty_generic(size, &allocator, keys, c10::dtype_or_default(dtype), format);
}

inline Tensor empty_strided(
    c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>,
    std::optional<c10::Device> device, std::optional<bool>) {
  c10::DeviceGuard guard(device_or_current(device));
  const c10::DispatchKeySet keys(c10::DispatchKey::CUDA);
  return at::detail::empty_strided_generic(size, stride, &allocator, keys, c10::dtype_or_default(dtype));
}

// As torch copies: what is not marked non_blocking waits until the card has done all before it.
inline Tensor& copy_(Tensor& self, const Tensor& source, bool non_blocking) {
  if (self.is_cuda() && source.is_cuda()) count_kernel("aten::copy_");
  else if (self.is_cuda()) count_to_device(!non_blocking);
  else count_to_host(!non_blocking);
  if (leave_out_copy(self, source)) return self;
  Tensor to = on_cpu(self);
  to.copy_(on_cpu(source));
  return self;
}

inline Tensor copy_from(const Tensor& self, const Tensor& to, bool) {
  on_cpu(to).copy_(on_cpu(self));
  return to;
}

inline Tensor copy_from_and_resize(const Tensor& self, const Tensor& to) {
  if (to.sizes() != self.sizes()) at::native::resize_(to, self.sizes(), std::nullopt);
  if (to.strides() != self.strides() && self.numel()) to.as_strided_(self.sizes(), self.strides());
  return copy_from(self, to, false);
}

inline at::Scalar local_scalar(const Tensor& self) {
  count_to_host(true, "a number read by the host");
  return on_cpu(self).item();
}

inline Tensor as_strided(
    const Tensor& self, c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<int64_t> offset) {
  return at::native::as_strided_tensorimpl(self, size, stride, offset);
}

}  // namespace pretend
