// Large tensors without content: they take the card's memory as ever, but no memory of the computer, and kernels with
// one of them make tensors of the right sizes and compute nothing. So networks of full size run in seconds, and what
// they have on the card at one time is what they would have. Whatever is read of them is 0.
#pragma once
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/native/Resize.h>
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>
#include "counts.h"
#include "memory.h"

namespace pretend {
using at::Tensor;
using c10::IValue;

inline bool is_hollow(const Tensor& tensor) {
  return tensor.defined() && static_cast<int64_t>(tensor.nbytes()) >= hollow_from;
}

// A tensor without memory of the same shape, for torch to find out what a kernel would make.
inline Tensor shape_of(const Tensor& tensor) {
  if (!tensor.defined() || !tensor.is_cuda()) return tensor;
  return at::empty_strided(tensor.sizes(), tensor.strides(), tensor.options().device(c10::kMeta));
}

// A small result, which has memory of its own, reads as 0 too.
inline Tensor with_zeros(const Tensor& tensor) {
  if (tensor.defined() && tensor.is_cuda() && !is_hollow(tensor) && tensor.is_non_overlapping_and_dense())
    std::memset(tensor.mutable_data_ptr(), 0, tensor.nbytes());
  return tensor;
}

inline Tensor made_on(int card, const Tensor& shape) {
  if (!shape.defined() || !shape.is_meta()) return shape;
  const c10::Device device(c10::kCUDA, static_cast<c10::DeviceIndex>(card));
  return with_zeros(at::empty_strided(shape.sizes(), shape.strides(), shape.options().device(device)));
}

// `change` of each tensor in a value.
template <class Change>
IValue with_tensors(const IValue& value, Change change) {
  if (value.isTensor()) return change(value.toTensor());
  if (value.isTensorList()) {
    c10::List<Tensor> changed;
    for (const auto& tensor : value.toTensorVector()) changed.push_back(change(tensor));
    return changed;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<Tensor>> changed;
    for (const auto& tensor : value.toOptionalTensorVector())
      changed.push_back(tensor ? std::optional<Tensor>(change(*tensor)) : std::nullopt);
    return changed;
  }
  return value;
}

// What torch's meta kernels do not know: the shapes that a convolution makes.
inline bool shapes_of_convolution(const std::string& name, torch::jit::Stack& found) {
  const auto argument = [&](size_t i) { return found[i].toTensor(); };
  if (name == "aten::_slow_conv2d_forward") {
    auto sizes = argument(0).sizes().vec();
    const auto kernel = found[2].toIntVector(), stride = found[4].toIntVector(), padding = found[5].toIntVector();
    sizes[1] = argument(1).size(0);
    for (size_t i = 0; i < 2; i++) sizes[i + 2] = (sizes[i + 2] + 2 * padding[i] - kernel[i]) / stride[i] + 1;
    found = {at::empty(sizes, argument(0).options())};
    return true;
  }
  if (name == "aten::_slow_conv2d_backward.output_mask") {
    const auto mask = found[6].toBoolList();
    const auto one = [&](size_t i, bool is_wanted) { return is_wanted ? at::empty(argument(i).sizes(), argument(0).options()) : Tensor(); };
    const Tensor bias = mask[2] ? at::empty({argument(2).size(0)}, argument(0).options()) : Tensor();
    found = {one(1, mask[0]), one(2, mask[1]), bias};
    return true;
  }
  return false;
}

// Whether the kernel was left out and its results are on the stack; false: it is to be computed.
inline bool leave_out(const c10::OperatorHandle& kernel, const std::string& name, torch::jit::Stack* stack, int card) {
  const auto& schema = kernel.schema();
  const size_t given = schema.arguments().size();
  const auto first = stack->end() - given;
  bool has_hollow = false;
  std::vector<IValue> written;
  for (size_t i = 0; i < given; i++) {
    with_tensors(first[i], [&](const Tensor& tensor) {
      has_hollow |= tensor.defined() && tensor.is_cuda() && is_hollow(tensor);
      return tensor;
    });
    const auto* alias = schema.arguments()[i].alias_info();
    if (alias && alias->isWrite()) written.push_back(first[i]);
  }
  if (!has_hollow) return false;
  for (const auto& result : schema.returns())
    if (result.type()->kind() != c10::TypeKind::TensorType && result.type()->kind() != c10::TypeKind::ListType)
      return false;  // the host asks for a value

  const bool is_in_place = !written.empty();
  const bool has_room =
      std::all_of(written.begin(), written.end(), [](const IValue& v) { return !v.isTensor() || v.toTensor().numel(); });
  torch::jit::Stack found;
  if (!is_in_place || !has_room) {
    for (size_t i = 0; i < given; i++) found.push_back(with_tensors(first[i], shape_of));
    const auto shapes = found;
    try {
      if (!shapes_of_convolution(name, found))
        kernel.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::Meta), &found);
    } catch (const c10::Error&) {
      note("computed though large: " + name);  // torch knows the result's shape only from its values
      return false;
    }
    for (size_t i = 0; i < given; i++)
      if (shapes[i].isTensor() && shapes[i].toTensor().is_meta() &&
          shapes[i].toTensor().sizes() != first[i].toTensor().sizes())
        at::native::resize_(first[i].toTensor(), shapes[i].toTensor().sizes(), std::nullopt);
  }
  torch::jit::drop(*stack, given);
  if (is_in_place) {
    for (const auto& value : written) with_tensors(value, with_zeros);
    for (size_t i = 0; i < schema.returns().size(); i++) stack->push_back(written.at(i));
    return true;
  }
  for (const auto& value : found)
    stack->push_back(with_tensors(value, [card](const Tensor& shape) { return made_on(card, shape); }));
  return true;
}

// Zeros in the computer's memory, without touching it: the system gives fresh pages when they are read.
inline void forget_content(const Tensor& tensor) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto start = reinterpret_cast<uintptr_t>(tensor.mutable_data_ptr()), end = start + tensor.nbytes();
  const auto inner_start = (start + page - 1) / page * page, inner_end = end / page * page;
  if (inner_end <= inner_start || madvise(reinterpret_cast<void*>(inner_start), inner_end - inner_start, MADV_DONTNEED)) {
    std::memset(reinterpret_cast<void*>(start), 0, end - start);
    return;
  }
  std::memset(reinterpret_cast<void*>(start), 0, inner_start - start);
  std::memset(reinterpret_cast<void*>(inner_end), 0, end - inner_end);
}

// Whether a copy needs no copying.
inline bool leave_out_copy(const Tensor& to, const Tensor& source) {
  if (!is_hollow(to)) return false;
  if (to.is_cuda()) return true;
  if (!source.is_cuda() || !to.is_contiguous()) return false;
  forget_content(to);
  return true;
}

}  // namespace pretend
