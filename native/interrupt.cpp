#include "interrupt.hpp"

#include <nanobind/nanobind.h>

#include <chrono>

namespace glimm {
namespace {

constexpr long long kEvery = 50'000'000;  // nanoseconds between two questions for signals

struct Here {
  Call* call = nullptr;
  bool asks = false;
  long long next = 0;  // 0: at the first check the clock starts
};

thread_local Here here;

long long now() { return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

Entered::Entered() : outer_call_(here.call), outer_asks_(here.asks), outer_next_(here.next) {
  here.call = &call_;
  here.asks = true;
  here.next = 0;
}

Entered::~Entered() {
  here.call = outer_call_;
  here.asks = outer_asks_;
  here.next = outer_next_;
}

Joined::Joined(Call* call) {
  here.call = call;
  here.asks = false;
}

Joined::~Joined() { here.call = nullptr; }

Call* current_call() { return here.call; }

bool asks_for_signals() { return here.asks; }

void check_interrupt() {
  if (!here.call) return;
  if (here.call->stopped.load(std::memory_order_relaxed)) throw Stopped();
  if (!here.asks) return;
  const long long t = now();
  if (t < here.next) return;
  const bool first = here.next == 0;
  here.next = t + kEvery;
  if (first) return;
  nanobind::gil_scoped_acquire acquire;
  if (PyErr_CheckSignals() != 0) throw nanobind::python_error();
}

}  // namespace glimm
