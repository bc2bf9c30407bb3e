// One forward step of a Llama-family decoder on the CPU. native.py packs the weights and calls
// `attune_step`.
//
// A step reads every weight once for all of its tokens. Weights are packed in tiles of 64 rows,
// column by column, so that memory is read sequentially and each vector lane holds one row. The
// order of summation does not depend on the number of tokens, so a draft checked in one step gives
// the same bits as its tokens one by one.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>
#if defined(__AVX512F__) || defined(__F16C__)
#include <immintrin.h>
#endif

namespace {

constexpr int kLanes = 16, kTile = 64, kVectors = kTile / kLanes;
constexpr int kTokens = 6;  // tokens that share one load of a weight; limited by the registers
constexpr int kLine = 64, kAhead = 4096;  // bytes: of a cache line, and of weights fetched ahead
constexpr int kQueries = 8;  // queries that share one pass over keys and values

typedef float Floats __attribute__((vector_size(64), aligned(4), may_alias));
typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));
typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t Ints __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t Halves __attribute__((vector_size(32), aligned(2), may_alias));

// The vector type of one register, and how many accumulators of a product fit beside its weights.
#ifdef __AVX512F__
typedef Floats Register;
constexpr int kSums = 24;
#else
typedef Eight Register;
constexpr int kSums = 12;
#endif
constexpr int kParts = sizeof(Floats) / sizeof(Register);

inline Floats widen(const float* from) { return *reinterpret_cast<const Floats*>(from); }

inline Floats widen(const uint16_t* from) {  // bfloat16 is the upper half of a float
  const Ints bits = __builtin_convertvector(*reinterpret_cast<const Halves*>(from), Ints) << 16;
  return (Floats)bits;
}

struct Half {  // float16; without hardware support it is converted by shifting bits
  uint16_t bits;
};

inline Floats widen(const Half* from) {
#if defined(__AVX512F__)
  return (Floats)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#elif defined(__F16C__)
  Floats wide;
  const auto* halves = reinterpret_cast<const __m128i*>(from);
  reinterpret_cast<Eight*>(&wide)[0] = (Eight)_mm256_cvtph_ps(_mm_loadu_si128(halves));
  reinterpret_cast<Eight*>(&wide)[1] = (Eight)_mm256_cvtph_ps(_mm_loadu_si128(halves + 1));
  return wide;
#else
  const Ints bits = __builtin_convertvector(*reinterpret_cast<const Halves*>(from), Ints);
  const Floats size = (Floats)((bits & 0x7fff) << 13) * 0x1p112f;
  return (Floats)((Ints)size | (bits & 0x8000) << 16);
#endif
}

inline float widen(Half value) {
  const Half lanes[kLanes] = {value};
  return widen(lanes)[0];
}

inline Half narrow(float x) {  // rounds to nearest, saturates instead of overflowing to infinity
  x = std::max(-65504.0f, std::min(x, 65504.0f));
#ifdef __F16C__
  return {static_cast<uint16_t>(_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT))};
#else
  const float scaled = std::fabs(x) * 0x1p-112f;
  uint32_t bits;
  std::memcpy(&bits, &scaled, sizeof(bits));
  bits = (bits + 0xfff + (bits >> 13 & 1)) >> 13;
  return {static_cast<uint16_t>(bits | (std::signbit(x) ? 0x8000 : 0))};
#endif
}

inline Floats& at(float* to) { return *reinterpret_cast<Floats*>(to); }

inline float sum(Floats x) {  // pairwise: a sequential sum is many times slower
  const auto* half = reinterpret_cast<const Eight*>(&x);
  const Eight eight = half[0] + half[1];
  const auto* quarter = reinterpret_cast<const Four*>(&eight);
  const Four four = quarter[0] + quarter[1];
  return (four[0] + four[2]) + (four[1] + four[3]);
}

// exp for x <= 0, as in Cephes: 2^n times a polynomial; relative error below 2e-7
inline Floats exponential(Floats x) {
  x = x < -87.0f ? Floats{} - 87.0f : x;
  const Ints n = __builtin_convertvector(x * 1.44269504f - 0.5f, Ints);
  const Floats whole = __builtin_convertvector(n, Floats);
  const Floats r = x - whole * 0.693359375f + whole * 2.12194440e-4f;
  Floats y = Floats{} + 1.9875691500e-4f;
  for (float next : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f,
                     5.0000001201e-1f})
    y = y * r + next;
  y = y * r * r + r + 1.0f;
  return y * (Floats)((n + 127) << 23);
}

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
        awake_.wait(lock, [&] { return stop_ || call_ != call; });
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

struct Shape {
  int64_t vocab, hidden, inner, layers, heads, kv_heads, head_dim, bf16;
  float eps;
};

struct Layer {
  const float* attention_norm;
  const void* qkv;
  const float* qkv_bias;  // null without biases
  const void* out;
  const float* inner_norm;
  const void* gate_up;  // tiles of gate and up alternate
  const void* down;
};

struct Model {
  Shape shape;
  const float *embedding, *norm, *cos, *sin;
  const void* head;
  const Layer* layers;
};

struct Step {
  const int32_t* ids;
  int64_t tokens, scored, start, capacity;
  int64_t nope;  // cached tokens 1 to nope have no positions: their keys meet unrotated queries
  Half *keys, *values;  // (layers, kv_heads, capacity, head_dim), capacity a multiple of 16
  int32_t* chosen;       // the best id after each of the last `scored` tokens
  float* logprobs;
  const int32_t* cancelled;  // null, or a flag that another thread sets to cancel
};

inline int64_t tiles(int64_t rows) { return (rows + kTile - 1) / kTile; }

// How many vectors of rows have accumulators for N tokens in registers: a divisor of kVectors
constexpr int vectors_per_pass(int tokens) {
  const int limit = kSums / (kParts * tokens);
  return limit >= kVectors ? kVectors : limit >= 2 ? 2 : 1;
}

// `out[t]` = 64 rows of a matrix times the token's vector, for N tokens
template <int N, class Weight>
inline void multiply(const Weight* tile, const float* x, int64_t width, Floats out[][kVectors]) {
  constexpr int vectors = vectors_per_pass(N), registers = vectors * kParts;
  for (int first = 0; first < kVectors; first += vectors) {
    Register sums[N][registers] = {};
    for (int64_t c = 0; c < width; ++c) {
      // memory-bound: fetch further ahead than the hardware does, also across a page boundary
      if (first == 0)
        for (size_t i = 0; i < kTile * sizeof(Weight); i += kLine)
          __builtin_prefetch(reinterpret_cast<const char*>(tile + c * kTile) + kAhead + i);
      Floats weight[vectors];
      for (int j = 0; j < vectors; ++j) weight[j] = widen(tile + c * kTile + (first + j) * kLanes);
      const auto* weights = reinterpret_cast<const Register*>(weight);
      for (int t = 0; t < N; ++t)
        for (int j = 0; j < registers; ++j) sums[t][j] += weights[j] * x[t * width + c];
    }
    for (int t = 0; t < N; ++t) std::memcpy(&out[t][first], sums[t], vectors * sizeof(Floats));
  }
}

template <class Weight>
inline void multiply(int64_t n, const Weight* tile, const float* x, int64_t width,
                     Floats out[][kVectors]) {
  switch (n) {
    case 1: return multiply<1>(tile, x, width, out);
    case 2: return multiply<2>(tile, x, width, out);
    case 3: return multiply<3>(tile, x, width, out);
    case 4: return multiply<4>(tile, x, width, out);
    case 5: return multiply<5>(tile, x, width, out);
    default: return multiply<kTokens>(tile, x, width, out);
  }
}

// Calls use(first row, token, sums) for every 64 rows of a matrix and every token.
template <class Weight, class Use>
inline void product(ThreadPool& pool, const void* matrix, int64_t rows, int64_t width,
                    const float* x, int64_t tokens, const Use& use) {
  pool.each(tiles(rows), [&](int64_t i) {
    const Weight* tile = static_cast<const Weight*>(matrix) + i * kTile * width;
    for (int64_t t = 0; t < tokens; t += kTokens) {
      Floats sums[kTokens][kVectors];
      const int64_t n = std::min<int64_t>(kTokens, tokens - t);
      multiply(n, tile, x + t * width, width, sums);
      for (int64_t k = 0; k < n; ++k) use(i * kTile, t + k, sums[k]);
    }
  });
}

inline void store(float* to, const Floats sums[kVectors], int64_t count) {
  if (count >= kTile)
    for (int j = 0; j < kVectors; ++j) at(to + j * kLanes) = sums[j];
  else
    std::memcpy(to, sums, count * sizeof(float));
}

inline float dot(const float* a, const float* b, int64_t size) {
  Floats sums{};
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) sums += widen(a + i) * widen(b + i);
  float total = sum(sums);
  for (; i < size; ++i) total += a[i] * b[i];
  return total;
}

void normalise(const float* x, const float* weight, int64_t tokens, int64_t width, float eps,
               float* out) {
  for (int64_t t = 0; t < tokens; ++t, x += width, out += width) {
    const float scale = 1.0f / std::sqrt(dot(x, x, width) / width + eps);
    for (int64_t c = 0; c < width; ++c) out[c] = x[c] * scale * weight[c];
  }
}

// half-split rotary embedding, in place
inline void rotate(float* head, const float* cos, const float* sin, int64_t size) {
  const int64_t half = size / 2;
  for (int64_t i = 0; i < half; ++i) {
    const float first = head[i], second = head[i + half];
    head[i] = first * cos[i] - second * sin[i];
    head[i + half] = second * cos[i + half] + first * sin[i + half];
  }
}

inline void narrow(const float* from, int64_t size, Half* to) {
  for (int64_t i = 0; i < size; ++i) to[i] = narrow(from[i]);
}

#ifdef __clang__
#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define PICK(a, b, ...) __builtin_shuffle(a, b, Ints{__VA_ARGS__})
#endif

// A vector whose lane i is the sum of `rows[i]`: each step halves the rows and the summed lanes.
inline Floats sums_of(const Floats rows[kLanes]) {
  Floats eight[8], four[4], two[2];
  for (int i = 0; i < 8; ++i) {
    const Floats a = rows[i], b = rows[i + 8];
    eight[i] = PICK(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
               PICK(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  }
  for (int i = 0; i < 4; ++i) {
    const Floats a = eight[i], b = eight[i + 4];
    four[i] = PICK(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
              PICK(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
  }
  for (int i = 0; i < 2; ++i) {
    const Floats a = four[i], b = four[i + 2];
    two[i] = PICK(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
             PICK(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  }
  const Floats a = two[0], b = two[1];
  return PICK(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
         PICK(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
}

// One query of a head, rotated and unrotated; it attends to `length` positions.
struct Query {
  const float *q, *unrotated;
  int64_t length;
  float* out;
};

// Dot products of a query with the keys of 16 positions
inline Floats products(const float* q, const Half* keys, int64_t size) {
  Floats rows[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    const Floats part = widen(q + i);
    for (int p = 0; p < kLanes; ++p) rows[p] += part * widen(keys + p * size + i);
  }
  Floats result = sums_of(rows);
  if (size % kLanes == 0) return result;
  for (; i < size; ++i) {
    Floats column;
    for (int p = 0; p < kLanes; ++p) column[p] = widen(keys[p * size + i]);
    result += q[i] * column;
  }
  return result;
}

// Adds `shares` of up to 16 positions' values to `out`.
inline void mix(const float* shares, const Half* values, int64_t positions, int64_t size,
                float* out) {
  int64_t d = 0;
  for (; d + kTile <= size; d += kTile) {
    Floats even[kVectors], odd[kVectors] = {};  // two accumulators, to overlap latencies
    for (int j = 0; j < kVectors; ++j) even[j] = at(out + d + j * kLanes);
    int64_t p = 0;
    for (; p + 2 <= positions; p += 2)
      for (int j = 0; j < kVectors; ++j) {
        const Half* value = values + p * size + d + j * kLanes;
        even[j] += shares[p] * widen(value);
        odd[j] += shares[p + 1] * widen(value + size);
      }
    if (p < positions)
      for (int j = 0; j < kVectors; ++j)
        even[j] += shares[p] * widen(values + p * size + d + j * kLanes);
    for (int j = 0; j < kVectors; ++j) at(out + d + j * kLanes) = even[j] + odd[j];
  }
  if (size % kTile == 0) return;
  for (; d < size; ++d)
    for (int64_t p = 0; p < positions; ++p)
      out[d] += shares[p] * widen(values[p * size + d]);
}

// softmax(q k / sqrt(D)) v for `count` queries that share keys and values, which are read once, 16
// positions at a time. `Size` is the head dimension if fixed at compile time, else 0. Keys 1 to
// `nope` meet unrotated queries. `scores` holds `stride` floats for each query.
template <int64_t Size>
void attend(const Query* queries, int64_t count, const Half* keys, const Half* values,
            int64_t head_dim, int64_t nope, float* scores, int64_t stride) {
  const int64_t size = Size ? Size : head_dim;
  const float scale = 1.0f / std::sqrt(static_cast<float>(size));
  const Floats none = Floats{} - INFINITY;
  Ints lanes;
  for (int i = 0; i < kLanes; ++i) lanes[i] = i;
  int64_t longest = 0;
  Floats tops[kQueries];
  for (int64_t n = 0; n < count; ++n) {
    longest = std::max(longest, queries[n].length);
    tops[n] = none;
  }
  for (int64_t p = 0; p < longest; p += kLanes)
    for (int64_t n = 0; n < count; ++n) {
      const int64_t left = queries[n].length - p;
      if (left <= 0) continue;
      const bool all = p > 0 && p + kLanes <= nope + 1, mixed = nope > 0 && p <= nope && !all;
      Floats dots = products(all ? queries[n].unrotated : queries[n].q, keys + p * size, size);
      if (mixed) {
        const Floats without = products(queries[n].unrotated, keys + p * size, size);
        const Ints position = lanes + static_cast<int32_t>(p);
        dots = (position > 0) & (position <= static_cast<int32_t>(nope)) ? without : dots;
      }
      dots *= scale;
      // memory after the last position is uninitialised
      if (left < kLanes) dots = lanes < static_cast<int32_t>(left) ? dots : none;
      at(scores + n * stride + p) = dots;
      tops[n] = dots > tops[n] ? dots : tops[n];
    }
  float inverse[kQueries];
  for (int64_t n = 0; n < count; ++n) {
    float best = tops[n][0];
    for (int i = 1; i < kLanes; ++i) best = std::max(best, tops[n][i]);
    Floats total{};
    for (int64_t p = 0; p < queries[n].length; p += kLanes) {
      const Floats e = exponential(at(scores + n * stride + p) - best);
      at(scores + n * stride + p) = e;
      total += e;
    }
    inverse[n] = 1.0f / sum(total);
    std::fill(queries[n].out, queries[n].out + size, 0.0f);
  }
  for (int64_t p = 0; p < longest; p += kLanes)
    for (int64_t n = 0; n < count; ++n) {
      const int64_t left = std::min<int64_t>(queries[n].length - p, kLanes);
      if (left == kLanes)
        mix(scores + n * stride + p, values + p * size, kLanes, size, queries[n].out);
      else if (left > 0)
        mix(scores + n * stride + p, values + p * size, left, size, queries[n].out);
    }
  for (int64_t n = 0; n < count; ++n)
    for (int64_t d = 0; d < size; ++d) queries[n].out[d] *= inverse[n];
}

// The highest of a set of scores, its id, and the sum of exp(score - highest)
struct Best {
  float score = -INFINITY, total = 0;
  int64_t id = 0;

  void merge(const Best& other) {
    const float top = std::max(score, other.score);
    total = total * std::exp(score - top) + other.total * std::exp(other.score - top);
    if (other.score > score) id = other.id;
    score = top;
  }
};

Best best_of(const Floats sums[kVectors], int64_t first, int64_t count) {
  float scores[kTile];
  store(scores, sums, kTile);
  std::fill(scores + std::min<int64_t>(count, kTile), scores + kTile, -INFINITY);
  const float* top = std::max_element(scores, scores + kTile);
  Floats totals{};
  for (int j = 0; j < kVectors; ++j) totals += exponential(at(scores + j * kLanes) - *top);
  return {*top, sum(totals), first + (top - scores)};
}

// Computes one step; returns false if it was cancelled.
template <class Weight>
bool run(ThreadPool& pool, const Model& model, const Step& step) {
  const Shape& s = model.shape;
  const int64_t T = step.tokens, d = s.hidden, D = s.head_dim;
  const int64_t heads = s.heads + 2 * s.kv_heads, wide = heads * D, queries_wide = s.heads * D;
  std::vector<float> x(T * d), normed(T * d), qkv(T * wide), attended(T * queries_wide),
      inner(T * s.inner), unrotated(step.nope ? T * queries_wide : 0);
  // split the queries of each key/value head into as few units as keep every thread busy
  const int64_t group = s.heads / s.kv_heads, units = (pool.size() + s.kv_heads - 1) / s.kv_heads;
  const int64_t share = std::min<int64_t>(kQueries, (group * T + units - 1) / units);
  const int64_t parts = (group * T + share - 1) / share;
  for (int64_t t = 0; t < T; ++t)
    std::memcpy(&x[t * d], model.embedding + step.ids[t] * d, d * sizeof(float));
  const auto add = [&](int64_t row, int64_t t, const Floats* sums) {
    float rows[kTile];
    store(rows, sums, kTile);
    float* to = &x[t * d + row];
    const int64_t count = std::min<int64_t>(kTile, d - row);
    for (int64_t r = 0; r < count; ++r) to[r] += rows[r];
  };
  pool.wake();
  for (int64_t l = 0; l < s.layers; ++l) {
    if (step.cancelled && __atomic_load_n(step.cancelled, __ATOMIC_RELAXED)) return false;
    const Layer& layer = model.layers[l];
    const int64_t block = step.capacity * D;
    Half* keys = step.keys + l * s.kv_heads * block;
    Half* values = step.values + l * s.kv_heads * block;

    normalise(x.data(), layer.attention_norm, T, d, s.eps, normed.data());
    product<Weight>(pool, layer.qkv, wide, d, normed.data(), T,
                    [&](int64_t row, int64_t t, const Floats* sums) {
                      store(&qkv[t * wide + row], sums, wide - row);
                    });
    for (int64_t t = 0; t < T; ++t) {
      const int64_t index = step.start + t, position = index - step.nope;
      const float *cos = model.cos + position * D, *sin = model.sin + position * D;
      float* from = &qkv[t * wide];
      if (layer.qkv_bias)
        for (int64_t i = 0; i < wide; ++i) from[i] += layer.qkv_bias[i];
      if (step.nope) std::copy_n(from, queries_wide, &unrotated[t * queries_wide]);
      for (int64_t h = 0; h < s.heads + s.kv_heads; ++h) rotate(from + h * D, cos, sin, D);
      from += s.heads * D;
      for (int64_t h = 0; h < s.kv_heads; ++h, from += D)
        narrow(from, D, keys + h * block + index * D);
      for (int64_t h = 0; h < s.kv_heads; ++h, from += D)
        narrow(from, D, values + h * block + index * D);
    }
    pool.each(s.kv_heads * parts, [&](int64_t unit) {
      static thread_local std::vector<float> scores;
      const int64_t kv = unit / parts, first = unit % parts * share;
      const int64_t count = std::min(share, group * T - first);
      Query queries[kQueries];
      for (int64_t n = 0; n < count; ++n) {
        const int64_t t = (first + n) / group, head = kv * group + (first + n) % group;
        queries[n] = {&qkv[t * wide + head * D],
                      step.nope ? &unrotated[t * queries_wide + head * D] : nullptr,
                      step.start + t + 1, &attended[t * queries_wide + head * D]};
      }
      const int64_t stride = tiles(step.start + T) * kTile;
      if (scores.size() < static_cast<size_t>(count * stride)) scores.resize(count * stride);
      const auto work = D == 64 ? attend<64> : D == 128 ? attend<128> : attend<0>;
      work(queries, count, keys + kv * block, values + kv * block, D, step.nope, scores.data(),
           stride);
    });
    product<Weight>(pool, layer.out, d, queries_wide, attended.data(), T, add);
    normalise(x.data(), layer.inner_norm, T, d, s.eps, normed.data());
    pool.each(tiles(s.inner), [&](int64_t i) {
      const Weight* gates = static_cast<const Weight*>(layer.gate_up) + 2 * i * kTile * d;
      for (int64_t t = 0; t < T; t += kTokens) {
        Floats gate[kTokens][kVectors], up[kTokens][kVectors];
        const int64_t n = std::min<int64_t>(kTokens, T - t);
        multiply(n, gates, &normed[t * d], d, gate);
        multiply(n, gates + kTile * d, &normed[t * d], d, up);
        for (int64_t k = 0; k < n; ++k) {
          for (int j = 0; j < kVectors; ++j) {  // silu, with an exponential of x <= 0 only
            const Floats g = gate[k][j], e = exponential(g < 0.0f ? g : -g);
            up[k][j] *= g * (g < 0.0f ? e : Floats{} + 1.0f) / (1.0f + e);
          }
          store(&inner[(t + k) * s.inner + i * kTile], up[k], s.inner - i * kTile);
        }
      }
    });
    product<Weight>(pool, layer.down, d, s.inner, inner.data(), T, add);
  }
  if (step.scored == 0) return true;
  const int64_t count = tiles(s.vocab);
  std::vector<Best> best(count * step.scored);
  normalise(&x[(T - step.scored) * d], model.norm, step.scored, d, s.eps, normed.data());
  product<Weight>(pool, model.head, s.vocab, d, normed.data(), step.scored,
                  [&](int64_t row, int64_t t, const Floats* sums) {
                    best[t * count + row / kTile] = best_of(sums, row, s.vocab - row);
                  });
  for (int64_t t = 0; t < step.scored; ++t) {
    Best top;
    for (int64_t i = 0; i < count; ++i) top.merge(best[t * count + i]);
    step.chosen[t] = top.id;
    step.logprobs[t] = -std::log(top.total);
  }
  return true;
}

}  // namespace

extern "C" {

ThreadPool* attune_new_pool(int threads) {
  return new ThreadPool(std::max(0, threads - 1));
}

void attune_delete_pool(ThreadPool* pool) { delete pool; }

// 1 if the step was computed, 0 if it was cancelled
int attune_step(ThreadPool* pool, const Model* model, const Step* step) {
  return model->shape.bf16 ? run<uint16_t>(*pool, *model, *step) : run<float>(*pool, *model, *step);
}

// Packs (rows, width) floats in tiles of 64 rows; `out` holds tiles(rows) * 64 * width values.
void attune_pack(const float* matrix, int64_t rows, int64_t width, int64_t bf16, void* out) {
  for (int64_t i = 0; i < tiles(rows); ++i)
    for (int64_t c = 0; c < width; ++c)
      for (int64_t r = 0; r < kTile; ++r) {
        const int64_t row = i * kTile + r, index = (i * width + c) * kTile + r;
        const float value = row < rows ? matrix[row * width + c] : 0.0f;
        if (!bf16) {
          static_cast<float*>(out)[index] = value;
          continue;
        }
        uint32_t bits;
        std::memcpy(&bits, &value, sizeof(bits));
        static_cast<uint16_t*>(out)[index] = bits >> 16;
      }
}
}
