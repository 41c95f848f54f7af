// Ctrl-C inside a kernel: the thread that came from Python asks for signals now and then, and what it finds stops every thread of its call.
#pragma once
#include <atomic>
#include <exception>

namespace glimm {

// One call from Python. Threads of a pool belong to the call of the thread that started them.
struct Call {
  std::atomic<bool> stopped{false};
};

// Makes this thread the one that asks, until the end of the scope.
class Entered {
 public:
  Entered();
  ~Entered();
  Entered(const Entered&) = delete;
  Entered& operator=(const Entered&) = delete;

 private:
  Call call_;
  Call* outer_call_;
  bool outer_asks_;
  long long outer_next_;
};

// Makes this thread one of the pool of a call, until the end of the scope.
class Joined {
 public:
  explicit Joined(Call* call);
  ~Joined();
  Joined(const Joined&) = delete;
  Joined& operator=(const Joined&) = delete;
};

// What ends a thread whose call was stopped by another thread; that one's exception is the answer.
struct Stopped : std::exception {
  const char* what() const noexcept override { return "stopped"; }
};

// Between pieces of work of up to some milliseconds: throws what a signal handler raised (KeyboardInterrupt), or Stopped. About 40 ns.
void check_interrupt();

Call* current_call();   // null outside of any
bool asks_for_signals();

}  // namespace glimm
