// The cards' memory: blocks of the computer's, with a limit for each card, and one allocation that can be made to fail.
#pragma once
#include <ATen/ATen.h>
#include <c10/core/Allocator.h>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/mman.h>

namespace pretend {

constexpr int MOST_CARDS = 8;
constexpr int64_t BLOCK = 512;  // CUDA's allocator rounds up to this many bytes
inline int cards = 1;
inline thread_local int current = 0;
inline std::atomic<int64_t> used[MOST_CARDS], peak[MOST_CARDS], limit[MOST_CARDS];
inline std::atomic<int64_t> allocations{0};
inline std::atomic<int64_t> fails_in{-1};  // so many allocations from now one fails; -1: none
inline std::atomic<int64_t> hollow_from{INT64_MAX};  // tensors of so many bytes and more have no content (hollow.h)

struct Held {
  void* data;
  int64_t bytes;
  int card;
  bool is_hollow;
};

inline void release(void* context) {
  auto* held = static_cast<Held*>(context);
  used[held->card] -= held->bytes;
  if (held->is_hollow) munmap(held->data, held->bytes);
  else std::free(held->data);
  delete held;
}

[[noreturn]] inline void refuse(int64_t bytes, const std::string& why) {
  throw c10::OutOfMemoryError(
      c10::SourceLocation{__func__, __FILE__, __LINE__},
      "CUDA out of memory. Tried to allocate " + std::to_string(bytes >> 20) + " MiB. " + why);
}

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t size) override {
    const int card = current;
    const int64_t bytes = (static_cast<int64_t>(size) + BLOCK - 1) / BLOCK * BLOCK;
    allocations++;
    if (fails_in >= 0 && fails_in.fetch_sub(1) == 0) refuse(bytes, "This one was to fail.");
    if (used[card] + bytes > limit[card])
      refuse(bytes, "GPU " + std::to_string(card) + " has a total capacity of " + std::to_string(limit[card] >> 20) +
                        " MiB of which " + std::to_string((limit[card] - used[card]) >> 20) + " MiB is free.");
    void* data = nullptr;
    const bool is_hollow = bytes >= hollow_from;
    if (is_hollow) {  // zeros that take no memory until they are written
      data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (data == MAP_FAILED) throw std::bad_alloc();
    } else if (bytes) {
      if (posix_memalign(&data, BLOCK, bytes)) throw std::bad_alloc();
      std::memset(data, 0x7f, bytes);  // what is not written is seen: 0x7f7f7f7f is 3.4e38
    }
    int64_t now = (used[card] += bytes), most = peak[card];
    while (now > most && !peak[card].compare_exchange_weak(most, now)) {
    }
    return {data, new Held{data, bytes, card, is_hollow}, &release, {c10::kCUDA, static_cast<c10::DeviceIndex>(card)}};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, size_t size) const override { std::memcpy(to, from, size); }
};
inline Allocator allocator;

}  // namespace pretend
