// What a program asks of the card: kernels, copies, and waits for it.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace pretend {

inline std::atomic<int64_t> kernels{0}, to_device{0}, to_host{0}, waits{0};
inline thread_local int inside = 0;  // above 0 in the work of a kernel itself, whose copies are none of the program's
inline std::atomic<bool> keeps_names{false};
inline std::map<std::string, int64_t> names;
inline std::mutex names_lock;

inline void note(const std::string& what) {
  if (!keeps_names) return;
  std::lock_guard<std::mutex> lock(names_lock);
  names[what]++;
}

inline void count_kernel(const std::string& name) {
  if (inside) return;
  kernels++;
  note(name);
}
inline void count_to_device(bool is_waited_for, const char* what = "copy to the device") {
  if (inside) return;
  to_device++;
  if (is_waited_for) waits++;
  note(what);
}
inline void count_to_host(bool is_waited_for, const char* what = "copy to the host") {
  if (inside) return;
  to_host++;
  if (is_waited_for) waits++;
  note(what);
}
inline void count_wait() { waits++; }

struct Inside {
  Inside() { inside++; }
  ~Inside() { inside--; }
};

}  // namespace pretend
