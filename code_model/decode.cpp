// One forward step of a Llama-family decoder on the CPU: see native.py, which packs the weights and
// calls `attune_step`.
//
// A step reads every weight once, for all of its tokens. Weights are packed in tiles of 64 rows,
// column by column, so that memory is read in order and a vector's lanes are rows. Every sum is
// added up in the same order however many tokens a step has, so a draft that is checked in one
// step gives bit for bit what its tokens would have given one by one.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

namespace {

constexpr int kLanes = 16, kTile = 64, kVectors = kTile / kLanes;
constexpr int kTokens = 6;  // tokens that share one load of a weight; limited by the registers

typedef float Floats __attribute__((vector_size(64), aligned(4), may_alias));
typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));
typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t Ints __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t Halves __attribute__((vector_size(32), aligned(2), may_alias));

inline Floats widen(const float* from) { return *reinterpret_cast<const Floats*>(from); }

inline Floats widen(const uint16_t* from) {  // bfloat16 is the upper half of a float
  const Ints bits = __builtin_convertvector(*reinterpret_cast<const Halves*>(from), Ints) << 16;
  return (Floats)bits;
}

inline Floats& at(float* to) { return *reinterpret_cast<Floats*>(to); }

inline float sum(Floats x) {  // in pairs, because one after another is many times slower
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

// Threads that share the iterations of a loop. Whoever runs takes the next one, so nobody waits for
// a helper that the system has put aside, as a barrier of all threads would.
class Crew {
 public:
  explicit Crew(int helpers) {
    for (int i = 0; i < helpers; ++i) threads_.emplace_back([this] { help(); });
  }

  ~Crew() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  // Before a series of loops: helpers fall asleep when they find nothing to do for a while.
  void rouse() {
    if (sleepers_.load() == 0) return;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ++call_;
    }
    wake_.notify_all();
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

  // Runs one iteration of the present loop, if any is left. Taking it succeeds only while that loop
  // is still the present one, and then what was read of it was its own.
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

  void help() {
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
        wake_.wait(lock, [&] { return stop_ || call_ != call; });
        --sleepers_;
        idle = 0;
      }
    }
  }

  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
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
  const void* gate_up;  // tiles of gate and up take turns
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
  float *keys, *values;  // (layers, kv_heads, capacity, head_dim)
  int32_t* chosen;       // the best id after each of the last `scored` tokens
  float* logprobs;
};

inline int64_t tiles(int64_t rows) { return (rows + kTile - 1) / kTile; }

// `out[t]` = 64 rows of a matrix times the token's vector, for N tokens
template <int N, class Weight>
inline void multiply(const Weight* tile, const float* x, int64_t width, Floats out[][kVectors]) {
  Floats sums[N][kVectors] = {};
  for (int64_t c = 0; c < width; ++c) {
    Floats weight[kVectors];
    for (int j = 0; j < kVectors; ++j) weight[j] = widen(tile + c * kTile + j * kLanes);
    for (int t = 0; t < N; ++t)
      for (int j = 0; j < kVectors; ++j) sums[t][j] += weight[j] * x[t * width + c];
  }
  for (int t = 0; t < N; ++t)
    for (int j = 0; j < kVectors; ++j) out[t][j] = sums[t][j];
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
inline void product(Crew& crew, const void* matrix, int64_t rows, int64_t width, const float* x,
                    int64_t tokens, const Use& use) {
  crew.each(tiles(rows), [&](int64_t i) {
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

// half-split rotary positions
inline void rotate(const float* from, const float* cos, const float* sin, int64_t size, float* to) {
  const int64_t half = size / 2;
  for (int64_t i = 0; i < half; ++i) {
    const float first = from[i], second = from[i + half];
    to[i] = first * cos[i] - second * sin[i];
    to[i + half] = second * cos[i + half] + first * sin[i + half];
  }
}

// softmax(q k / sqrt(D)) v of one head and one token over `length` positions
void attend(const float* q, const float* keys, const float* values, int64_t length, int64_t size,
            float* scores, float* out) {
  const float scale = 1.0f / std::sqrt(static_cast<float>(size));
  float best = -INFINITY;
  for (int64_t p = 0; p < length; ++p) {
    scores[p] = dot(q, keys + p * size, size) * scale;
    best = std::max(best, scores[p]);
  }
  const int64_t padded = (length + kLanes - 1) / kLanes * kLanes;
  std::fill(scores + length, scores + padded, -INFINITY);
  Floats totals{};
  for (int64_t p = 0; p < padded; p += kLanes) {
    const Floats e = exponential(at(scores + p) - best);
    at(scores + p) = e;
    totals += e;
  }
  std::fill(scores + length, scores + padded, 0.0f);
  const float inverse = 1.0f / sum(totals);
  int64_t d = 0;
  for (; d + kTile <= size; d += kTile) {  // four vectors of the output stay in registers
    Floats sums[kVectors] = {};
    for (int64_t p = 0; p < length; ++p)
      for (int j = 0; j < kVectors; ++j)
        sums[j] += scores[p] * widen(values + p * size + d + j * kLanes);
    for (int j = 0; j < kVectors; ++j) at(out + d + j * kLanes) = sums[j] * inverse;
  }
  for (; d < size; ++d) {
    float total = 0;
    for (int64_t p = 0; p < length; ++p) total += scores[p] * values[p * size + d];
    out[d] = total * inverse;
  }
}

// The best of some scores, and the sum of exp(score - best)
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

template <class Weight>
void run(Crew& crew, const Model& model, const Step& step) {
  const Shape& s = model.shape;
  const int64_t T = step.tokens, d = s.hidden, D = s.head_dim;
  const int64_t heads = s.heads + 2 * s.kv_heads, wide = heads * D, queries = s.heads * D;
  std::vector<float> x(T * d), normed(T * d), qkv(T * wide), attended(T * queries),
      inner(T * s.inner);
  for (int64_t t = 0; t < T; ++t)
    std::memcpy(&x[t * d], model.embedding + step.ids[t] * d, d * sizeof(float));
  const auto add = [&](int64_t row, int64_t t, const Floats* sums) {
    float rows[kTile];
    store(rows, sums, kTile);
    float* to = &x[t * d + row];
    const int64_t count = std::min<int64_t>(kTile, d - row);
    for (int64_t r = 0; r < count; ++r) to[r] += rows[r];
  };
  crew.rouse();
  for (int64_t l = 0; l < s.layers; ++l) {
    const Layer& layer = model.layers[l];
    const int64_t block = step.capacity * D;
    float* keys = step.keys + l * s.kv_heads * block;
    float* values = step.values + l * s.kv_heads * block;

    normalise(x.data(), layer.attention_norm, T, d, s.eps, normed.data());
    product<Weight>(crew, layer.qkv, wide, d, normed.data(), T,
                    [&](int64_t row, int64_t t, const Floats* sums) {
                      store(&qkv[t * wide + row], sums, wide - row);
                    });
    for (int64_t t = 0; t < T; ++t) {
      const int64_t position = step.start + t;
      const float *cos = model.cos + position * D, *sin = model.sin + position * D;
      float* from = &qkv[t * wide];
      if (layer.qkv_bias)
        for (int64_t i = 0; i < wide; ++i) from[i] += layer.qkv_bias[i];
      for (int64_t h = 0; h < s.heads; ++h, from += D) rotate(from, cos, sin, D, from);
      for (int64_t h = 0; h < s.kv_heads; ++h, from += D)
        rotate(from, cos, sin, D, keys + h * block + position * D);
      for (int64_t h = 0; h < s.kv_heads; ++h, from += D)
        std::memcpy(values + h * block + position * D, from, D * sizeof(float));
    }
    crew.each(s.heads * T, [&](int64_t unit) {
      static thread_local std::vector<float> scores;
      const int64_t head = unit / T, t = unit % T, kv = head / (s.heads / s.kv_heads);
      const int64_t length = step.start + t + 1;
      scores.resize(length + kLanes);
      attend(&qkv[t * wide + head * D], keys + kv * block, values + kv * block, length, D,
             scores.data(), &attended[t * queries + head * D]);
    });
    product<Weight>(crew, layer.out, d, queries, attended.data(), T, add);
    normalise(x.data(), layer.inner_norm, T, d, s.eps, normed.data());
    crew.each(tiles(s.inner), [&](int64_t i) {
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
    product<Weight>(crew, layer.down, d, s.inner, inner.data(), T, add);
  }
  if (step.scored == 0) return;
  const int64_t count = tiles(s.vocab);
  std::vector<Best> best(count * step.scored);
  normalise(&x[(T - step.scored) * d], model.norm, step.scored, d, s.eps, normed.data());
  product<Weight>(crew, model.head, s.vocab, d, normed.data(), step.scored,
                  [&](int64_t row, int64_t t, const Floats* sums) {
                    best[t * count + row / kTile] = best_of(sums, row, s.vocab - row);
                  });
  for (int64_t t = 0; t < step.scored; ++t) {
    Best top;
    for (int64_t i = 0; i < count; ++i) top.merge(best[t * count + i]);
    step.chosen[t] = top.id;
    step.logprobs[t] = -std::log(top.total);
  }
}

}  // namespace

extern "C" {

Crew* attune_crew(int threads) { return new Crew(std::max(0, threads - 1)); }

void attune_dismiss(Crew* crew) { delete crew; }

void attune_step(Crew* crew, const Model* model, const Step* step) {
  if (model->shape.bf16)
    run<uint16_t>(*crew, *model, *step);
  else
    run<float>(*crew, *model, *step);
}

// Packs (rows, width) floats in tiles of 64 rows; `out` holds tiles(rows) * 64 * width values.
void attune_pack(const float* matrix, int64_t rows, int64_t width, int64_t bf16, void* out) {
  for (int64_t i = 0; i < tiles(rows); ++i)
    for (int64_t c = 0; c < width; ++c)
      for (int64_t r = 0; r < kTile; ++r) {
        const int64_t row = i * kTile + r, place = (i * width + c) * kTile + r;
        const float value = row < rows ? matrix[row * width + c] : 0.0f;
        if (!bf16) {
          static_cast<float*>(out)[place] = value;
          continue;
        }
        uint32_t bits;
        std::memcpy(&bits, &value, sizeof(bits));
        static_cast<uint16_t*>(out)[place] = bits >> 16;
      }
}
}
