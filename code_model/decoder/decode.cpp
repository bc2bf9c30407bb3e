// One forward step of a Llama-family decoder on the CPU. native.py packs the weights and calls
// `attune_step`.
//
// A step reads every weight once for all of its tokens (products.h, quantised.h). The order of
// summation does not depend on the number of tokens, so a draft checked in one step gives the same
// bits as its tokens one by one.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "products.h"
#include "quantised.h"
#include "thread_pool.h"
#include "vectors.h"

namespace {

enum Numbers : int64_t { kFloat32, kBfloat16, kInt8, kInt4 };

struct Shape {
  int64_t vocab, hidden, inner, layers, heads, kv_heads, head_dim, numbers;
  float eps;
};

struct Layer {
  const float* attention_norm;
  const void *q, *k, *v;
  const float* qkv_bias;  // null without biases
  const void* out;
  const float* inner_norm;
  const void *gate, *up, *down;
};

struct Model {
  Shape shape;
  const void* embedding;  // floats row by row, or packed as the head
  const float *norm, *cos, *sin;
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
  const uint8_t* allowed;    // null, or for each id whether it may be chosen
};

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
  Floats rows[kLanes];
  const int64_t whole = size - size % kLanes;
  for (int p = 0; p < kLanes; ++p) {  // one row at a time: 16 sums are too many for AVX2
    Register row[kParts] = {};
    for (int64_t i = 0; i < whole; i += kLanes)
      for (int r = 0; r < kParts; ++r) row[r] += part(q + i, r) * part(keys + p * size + i, r);
    std::memcpy(&rows[p], row, sizeof(row));
  }
  Floats result = sums_of(rows);
  for (int64_t i = whole; i < size; ++i) {
    Floats column;
    for (int p = 0; p < kLanes; ++p) column[p] = widen(keys[p * size + i]);
    result += q[i] * column;
  }
  return result;
}

// Sums of the same numbers that alternate, to overlap latencies; AVX2 has registers for one.
constexpr int kChains = kParts == 1 ? 2 : 1;

// Adds `shares` of up to 16 positions' values to `out`.
inline void mix(const float* shares, const Half* values, int64_t positions, int64_t size,
                float* out) {
  int64_t d = 0;
  for (; d + kTile <= size; d += kTile) {
    constexpr int registers = kVectors * kParts;
    Register sums[kChains][registers] = {};
    std::memcpy(sums[0], out + d, sizeof(sums[0]));
    int64_t p = 0;
    for (; p + kChains <= positions; p += kChains)
      for (int c = 0; c < kChains; ++c)
        for (int r = 0; r < registers; ++r)
          sums[c][r] += shares[p + c] * part(values + (p + c) * size + d, r);
    for (; p < positions; ++p)
      for (int r = 0; r < registers; ++r) sums[0][r] += shares[p] * part(values + p * size + d, r);
    for (int c = 1; c < kChains; ++c)
      for (int r = 0; r < registers; ++r) sums[0][r] += sums[c][r];
    std::memcpy(out + d, sums[0], sizeof(sums[0]));
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
    if (other.total == 0) return;
    const float top = std::max(score, other.score);
    total = total * std::exp(score - top) + other.total * std::exp(other.score - top);
    if (other.score > score) id = other.id;
    score = top;
  }
};

// `allowed` is null or says of each id whether it may be chosen; without one that may, the total
// is 0.
Best best_of(const Floats sums[kVectors], int64_t first, int64_t count, const uint8_t* allowed) {
  float scores[kTile];
  store(scores, sums, kTile);
  std::fill(scores + count, scores + kTile, -INFINITY);
  if (allowed)
    for (int64_t r = 0; r < count; ++r)
      if (!allowed[first + r]) scores[r] = -INFINITY;
  const float* top = std::max_element(scores, scores + kTile);
  if (allowed && *top == -INFINITY) return {};
  Floats totals{};
  for (int j = 0; j < kVectors; ++j) totals += exponential(at(scores + j * kLanes) - *top);
  return {*top, sum(totals), first + (top - scores)};
}

// One step of `tokens` tokens. Its methods are the parts of the model, in their order. Reason for
// its size: sizes and buffers that every part of the model uses.
// `Format` is that of the layers' matrices, `HeadFormat` that of the head and the embedding.
template <class Format, class HeadFormat = Format>
class Computation {
 public:
  Computation(ThreadPool& pool, const Model& model, const Step& step)
      : pool_(pool), model_(model), step_(step), s_(model.shape), T_(step.tokens), d_(s_.hidden),
        D_(s_.head_dim), wide_((s_.heads + 2 * s_.kv_heads) * D_), queries_wide_(s_.heads * D_),
        x_(T_ * d_), normed_(T_ * d_), qkv_(T_ * wide_), attended_(T_ * queries_wide_),
        inner_(T_ * s_.inner), unrotated_(step.nope ? T_ * queries_wide_ : 0) {}

  // Returns false if the step was cancelled.
  bool run() {
    for (int64_t t = 0; t < T_; ++t)
      HeadFormat::read_row(model_.embedding, step_.ids[t], d_, &x_[t * d_]);
    pool_.wake();
    const int64_t block = step_.capacity * D_;
    for (int64_t l = 0; l < s_.layers; ++l) {
      if (step_.cancelled && __atomic_load_n(step_.cancelled, __ATOMIC_RELAXED)) return false;
      Half* keys = step_.keys + l * s_.kv_heads * block;
      Half* values = step_.values + l * s_.kv_heads * block;
      project(model_.layers[l], keys, values);
      attend_all(keys, values);
      add_product(model_.layers[l].out, queries_wide_, attended_);
      feed_forward(model_.layers[l]);
    }
    if (step_.scored) choose();
    return true;
  }

 private:
  // x += matrix * from
  void add_product(const void* matrix, int64_t width, const std::vector<float>& from) {
    input_.take(from.data(), T_, width);
    product<Format>(pool_, {{matrix, d_, 0}}, input_, width, T_,
                    [&](int64_t row, int64_t count, int64_t t, const Floats* sums) {
                      float rows[kTile];
                      store(rows, sums, kTile);
                      float* to = &x_[t * d_ + row];
                      for (int64_t r = 0; r < count; ++r) to[r] += rows[r];
                    });
  }

  // Queries of the layer, rotated and unrotated; its keys and values go to the cache.
  void project(const Layer& layer, Half* keys, Half* values) {
    normalise(x_.data(), layer.attention_norm, T_, d_, s_.eps, normed_.data());
    input_.take(normed_.data(), T_, d_);
    const int64_t kv_wide = s_.kv_heads * D_;
    product<Format>(pool_,
                    {{layer.q, queries_wide_, 0},
                     {layer.k, kv_wide, queries_wide_},
                     {layer.v, kv_wide, queries_wide_ + kv_wide}},
                    input_, d_, T_,
                    [&](int64_t row, int64_t count, int64_t t, const Floats* sums) {
                      store(&qkv_[t * wide_ + row], sums, count);
                    });
    const int64_t block = step_.capacity * D_;
    for (int64_t t = 0; t < T_; ++t) {
      const int64_t index = step_.start + t, position = index - step_.nope;
      const float *cos = model_.cos + position * D_, *sin = model_.sin + position * D_;
      float* from = &qkv_[t * wide_];
      if (layer.qkv_bias)
        for (int64_t i = 0; i < wide_; ++i) from[i] += layer.qkv_bias[i];
      if (step_.nope) std::copy_n(from, queries_wide_, &unrotated_[t * queries_wide_]);
      for (int64_t h = 0; h < s_.heads + s_.kv_heads; ++h) rotate(from + h * D_, cos, sin, D_);
      from += s_.heads * D_;
      for (int64_t h = 0; h < s_.kv_heads; ++h, from += D_)
        narrow(from, D_, keys + h * block + index * D_);
      for (int64_t h = 0; h < s_.kv_heads; ++h, from += D_)
        narrow(from, D_, values + h * block + index * D_);
    }
  }

  // The queries of each key/value head are split into as few units as keep every thread busy.
  void attend_all(const Half* keys, const Half* values) {
    const int64_t group = s_.heads / s_.kv_heads, block = step_.capacity * D_;
    const int64_t units = (pool_.size() + s_.kv_heads - 1) / s_.kv_heads;
    const int64_t share = std::min<int64_t>(kQueries, (group * T_ + units - 1) / units);
    const int64_t parts = (group * T_ + share - 1) / share;
    pool_.each(s_.kv_heads * parts, [&](int64_t unit) {
      static thread_local std::vector<float> scores;
      const int64_t kv = unit / parts, first = unit % parts * share;
      const int64_t count = std::min(share, group * T_ - first);
      Query queries[kQueries];
      for (int64_t n = 0; n < count; ++n) {
        const int64_t t = (first + n) / group, head = kv * group + (first + n) % group;
        queries[n] = {&qkv_[t * wide_ + head * D_],
                      step_.nope ? &unrotated_[t * queries_wide_ + head * D_] : nullptr,
                      step_.start + t + 1, &attended_[t * queries_wide_ + head * D_]};
      }
      const int64_t stride = tiles(step_.start + T_) * kTile;
      if (scores.size() < static_cast<size_t>(count * stride)) scores.resize(count * stride);
      const auto work = D_ == 64 ? attend<64> : D_ == 128 ? attend<128> : attend<0>;
      work(queries, count, keys + kv * block, values + kv * block, D_, step_.nope, scores.data(),
           stride);
    });
  }

  // SwiGLU
  void feed_forward(const Layer& layer) {
    normalise(x_.data(), layer.inner_norm, T_, d_, s_.eps, normed_.data());
    input_.take(normed_.data(), T_, d_);
    pool_.each(tiles(s_.inner), [&](int64_t i) {
      const int64_t start = i * Format::tile_bytes(d_);
      for (int64_t t = 0; t < T_; t += kTokens) {
        Floats gate[kTokens][kVectors], up[kTokens][kVectors];
        const int64_t n = std::min<int64_t>(kTokens, T_ - t);
        multiply<Format>(n, static_cast<const char*>(layer.gate) + start, input_, t, gate);
        multiply<Format>(n, static_cast<const char*>(layer.up) + start, input_, t, up);
        for (int64_t k = 0; k < n; ++k) {
          for (int j = 0; j < kVectors; ++j) {  // silu, with an exponential of x <= 0 only
            const Floats g = gate[k][j], e = exponential(g < 0.0f ? g : -g);
            up[k][j] *= g * (g < 0.0f ? e : Floats{} + 1.0f) / (1.0f + e);
          }
          store(&inner_[(t + k) * s_.inner + i * kTile], up[k], s_.inner - i * kTile);
        }
      }
    });
    add_product(layer.down, s_.inner, inner_);
  }

  // The best id after each of the last `scored` tokens, and its log-probability.
  void choose() {
    const int64_t count = tiles(s_.vocab);
    std::vector<Best> best(count * step_.scored);
    normalise(&x_[(T_ - step_.scored) * d_], model_.norm, step_.scored, d_, s_.eps,
              normed_.data());
    typename HeadFormat::Input input;
    input.take(normed_.data(), step_.scored, d_);
    product<HeadFormat>(pool_, {{model_.head, s_.vocab, 0}}, input, d_, step_.scored,
                        [&](int64_t row, int64_t rows, int64_t t, const Floats* sums) {
                          best[t * count + row / kTile] =
                              best_of(sums, row, rows, step_.allowed);
                        });
    for (int64_t t = 0; t < step_.scored; ++t) {
      Best top;
      for (int64_t i = 0; i < count; ++i) top.merge(best[t * count + i]);
      step_.chosen[t] = top.id;
      step_.logprobs[t] = -std::log(top.total);
    }
  }

  ThreadPool& pool_;
  const Model& model_;
  const Step& step_;
  const Shape& s_;
  const int64_t T_, d_, D_;  // tokens, hidden size, head dimension
  const int64_t wide_, queries_wide_;  // numbers per token in qkv_ and in attended_
  std::vector<float> x_, normed_, qkv_, attended_, inner_, unrotated_;
  typename Format::Input input_;
};

}  // namespace

extern "C" {

ThreadPool* attune_new_pool(int threads) {
  return new ThreadPool(std::max(0, threads - 1));
}

void attune_delete_pool(ThreadPool* pool) { delete pool; }

// 1 if the step was computed, 0 if it was cancelled
int attune_step(ThreadPool* pool, const Model* model, const Step* step) {
  using Int8 = Quantised<Eights>;
  switch (model->shape.numbers) {
    case kInt4: return Computation<Quantised<Fours>, Int8>(*pool, *model, *step).run();
    case kInt8: return Computation<Int8>(*pool, *model, *step).run();
    case kBfloat16: return Computation<Floating<uint16_t>>(*pool, *model, *step).run();
    default: return Computation<Floating<float>>(*pool, *model, *step).run();
  }
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
