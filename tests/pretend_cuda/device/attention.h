// Attention as a card has it: flash for half precision without a mask, efficient for the rest; or the plain one.
#pragma once
#include <ATen/ATen.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/transformers/attention.h>
#include <array>
#include <atomic>
#include <tuple>
#include "counts.h"
#include "hollow.h"
#include "tensors.h"

namespace pretend {

inline std::atomic<bool> has_flash{true};  // false: as Apple's, and some of AMD's
using Scale = std::optional<double>;

// Which of torch's ways: 0 plain (math), 1 flash, 2 efficient.
inline int64_t way_of_attention(
    const Tensor& query, const Tensor&, const Tensor&, const std::optional<Tensor>& mask, double, bool, Scale, bool) {
  if (!has_flash) return 0;
  const bool is_masked = mask && mask->defined();
  return query.scalar_type() != at::kFloat && !is_masked && query.size(-1) <= 256 ? 1 : 2;
}

inline Tensor none(const Tensor& like) { return at::empty({0}, like.options().dtype(at::kLong)); }

inline std::tuple<Tensor, Tensor> attend(
    const Tensor& query, const Tensor& key, const Tensor& value, const std::optional<Tensor>& mask, double dropout,
    bool causal, Scale scale) {
  const bool on_one = query.is_cuda() && key.device() == query.device() && value.device() == query.device() &&
                      (!mask || !mask->defined() || mask->device() == query.device());
  TORCH_CHECK(on_one, "Expected all tensors to be on the same device (when checking arguments of attention)");
  TORCH_CHECK(
      query.scalar_type() == key.scalar_type() && query.scalar_type() == value.scalar_type(),
      "Expected query, key, and value to have the same dtype");
  if (is_hollow(query) || is_hollow(key)) {
    auto sizes = query.sizes().vec();
    const auto rows = query.options().dtype(at::kFloat);
    Tensor out = at::empty({sizes[0], sizes[2], sizes[1], value.size(-1)}, query.options()).transpose(1, 2);
    return {with_zeros(out), with_zeros(at::empty({sizes[0], sizes[1], sizes[2]}, rows))};
  }
  const auto masked = mask && mask->defined() ? std::optional<Tensor>(on_cpu(*mask)) : std::nullopt;
  auto [out, logsumexp] = at::_scaled_dot_product_flash_attention_for_cpu(
      on_cpu(query), on_cpu(key), on_cpu(value), dropout, causal, masked, scale);
  return {to_card(out.transpose(1, 2).contiguous(), query).transpose(1, 2), to_card(logsumexp, query)};
}

inline std::tuple<Tensor, Tensor, Tensor> attend_backward(
    const Tensor& grad, const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& out,
    const Tensor& logsumexp, const Tensor& mask, double dropout, bool causal, Scale scale) {
  if (is_hollow(query) || is_hollow(key))
    return {with_zeros(at::empty_like(query)), with_zeros(at::empty_like(key)), with_zeros(at::empty_like(value))};
  const auto masked = mask.defined() ? std::optional<Tensor>(on_cpu(mask)) : std::nullopt;
  auto [q, k, v] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
      on_cpu(grad), on_cpu(query), on_cpu(key), on_cpu(value), on_cpu(out), on_cpu(logsumexp), dropout, causal, masked,
      scale);
  return {to_card(q, query), to_card(k, query), to_card(v, query)};
}

inline std::tuple<Tensor, Tensor, Tensor, Tensor, c10::SymInt, c10::SymInt, Tensor, Tensor, Tensor> flash(
    const Tensor& query, const Tensor& key, const Tensor& value, double dropout, bool causal, bool, Scale scale) {
  count_kernel("aten::_scaled_dot_product_flash_attention");
  auto [out, logsumexp] = attend(query, key, value, std::nullopt, dropout, causal, scale);
  return {out, logsumexp, Tensor(), Tensor(), query.size(2), key.size(2), none(query), none(query), Tensor()};
}

inline std::tuple<Tensor, Tensor, Tensor> flash_backward(
    const Tensor& grad, const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& out,
    const Tensor& logsumexp, const Tensor&, const Tensor&, c10::SymInt, c10::SymInt, double dropout, bool causal,
    const Tensor&, const Tensor&, Scale scale) {
  count_kernel("aten::_scaled_dot_product_flash_attention_backward");
  return attend_backward(grad, query, key, value, out, logsumexp, Tensor(), dropout, causal, scale);
}

inline std::tuple<Tensor, Tensor, Tensor, Tensor> efficient(
    const Tensor& query, const Tensor& key, const Tensor& value, const std::optional<Tensor>& mask, bool,
    double dropout, bool causal, Scale scale) {
  count_kernel("aten::_scaled_dot_product_efficient_attention");
  auto [out, logsumexp] = attend(query, key, value, mask, dropout, causal, scale);
  return {out, logsumexp, none(query), none(query)};
}

inline std::tuple<Tensor, Tensor, Tensor, Tensor> efficient_backward(
    const Tensor& grad, const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& mask,
    const Tensor& out, const Tensor& logsumexp, const Tensor&, const Tensor&, double dropout, std::array<bool, 4>,
    bool causal, Scale scale) {
  count_kernel("aten::_scaled_dot_product_efficient_attention_backward");
  auto [q, k, v] = attend_backward(grad, query, key, value, out, logsumexp, mask, dropout, causal, scale);
  return {q, k, v, Tensor()};
}

}  // namespace pretend
