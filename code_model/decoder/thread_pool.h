// Threads that share the iterations of a loop.

#pragma once

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace {

inline void rest() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A thread pool that shares the iterations of a loop. Each running thread takes the next iteration,
// so a thread that the system has descheduled delays nobody, as it would at a barrier.
class ThreadPool {
 public:
  explicit ThreadPool(int workers) {
    for (int i = 0; i < workers; ++i) threads_.emplace_back([this] { work(); });
  }

  ~ThreadPool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    awake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  int64_t size() const { return threads_.size() + 1; }

  // Call before a series of loops: idle threads sleep after a while.
  void wake() {
    if (sleepers_.load() == 0) return;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ++call_;
    }
    awake_.notify_all();
  }

  // body(0), …, body(count - 1), each once, in any order; returns when all are done
  template <class Body>
  void each(int64_t count, const Body& body) {
    if (threads_.empty() || count == 1) {
      for (int64_t i = 0; i < count; ++i) body(i);
      return;
    }
    ++loop_;
    Loop& loop = loops_[loop_ & 1];
    loop.run = [](const void* own, int64_t i) { (*static_cast<const Body*>(own))(i); };
    loop.body = &body;
    loop.count = count;
    done_.store(0, std::memory_order_relaxed);
    next_.store(loop_ << 32, std::memory_order_release);
    while (take()) {
    }
    for (int spins = 0; done_.load(std::memory_order_acquire) < count; ++spins) {
      rest();
      if (spins > 2000) std::this_thread::yield();
    }
  }

 private:
  struct Loop {
    std::atomic<void (*)(const void*, int64_t)> run{nullptr};
    std::atomic<const void*> body{nullptr};
    std::atomic<int64_t> count{0};
  };

  // Runs one iteration of the current loop if any is left. The exchange succeeds only if `next_` is
  // unchanged, so `run`, `body` and `i` belong to the same loop.
  bool take() {
    uint64_t next = next_.load(std::memory_order_acquire);
    const Loop& loop = loops_[(next >> 32) & 1];
    const auto run = loop.run.load();
    const void* body = loop.body.load();
    const int64_t i = next & 0xffffffff;
    if (i >= loop.count.load()) return false;
    if (next_.compare_exchange_strong(next, next + 1, std::memory_order_acq_rel)) {
      run(body, i);
      done_.fetch_add(1, std::memory_order_release);
    }
    return true;
  }

  void work() {
    for (int idle = 0;;) {
      if (take()) {
        idle = 0;
      } else if (++idle < 4000) {
        rest();
      } else {
        std::unique_lock<std::mutex> lock(mutex_);
        if (stop_) return;
        const int64_t call = call_;
        ++sleepers_;
        // the library's own wait, compiled by GCC 12 or later, cannot be loaded on older systems
        while (!stop_ && call_ == call)
          pthread_cond_wait(awake_.native_handle(), mutex_.native_handle());
        --sleepers_;
        idle = 0;
      }
    }
  }

  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable awake_;
  bool stop_ = false;
  int64_t call_ = 0;
  std::atomic<int> sleepers_{0};
  uint64_t loop_ = 0;
  Loop loops_[2];
  alignas(64) std::atomic<uint64_t> next_{0};  // which loop, and its next iteration
  alignas(64) std::atomic<int64_t> done_{0};
};

}  // namespace
