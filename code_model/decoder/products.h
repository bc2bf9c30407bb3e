// Products of a matrix of floating-point weights with the vectors of several tokens.
//
// Weights are packed in tiles of 64 rows, column by column, so that memory is read sequentially and
// each vector lane holds one row.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "thread_pool.h"
#include "vectors.h"

namespace {

inline int64_t tiles(int64_t rows) { return (rows + kTile - 1) / kTile; }

// How many vectors of rows have accumulators for N tokens in registers: a divisor of kVectors
constexpr int vectors_per_pass(int tokens) {
  const int limit = kSums / (kParts * tokens);
  return limit >= kVectors ? kVectors : limit >= 2 ? 2 : 1;
}

// memory-bound: fetch further ahead than the hardware does, also across a page boundary
inline void fetch_ahead(const void* from, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += kLine)
    __builtin_prefetch(static_cast<const char*>(from) + kAhead + i);
}

// A format says how the weights of a tile and the vectors that meet them are stored. This one has
// floats or, as the upper halves of floats, bfloat16.
template <class Weight>
struct Floating {
  // The tokens' vectors, read in place
  class Input {
   public:
    void take(const float* x, int64_t, int64_t width) {
      x_ = x;
      width_ = width;
    }
    const float* of(int64_t token) const { return x_ + token * width_; }
    int64_t width() const { return width_; }

   private:
    const float* x_ = nullptr;
    int64_t width_ = 0;
  };

  static int64_t tile_bytes(int64_t width) { return kTile * width * sizeof(Weight); }

  static void read_row(const void* matrix, int64_t row, int64_t width, float* out) {
    std::memcpy(out, static_cast<const float*>(matrix) + row * width, width * sizeof(float));
  }

  // `out[t]` = 64 rows of a matrix times the token's vector, for N tokens from `first` on
  template <int N>
  static void multiply(const char* packed, const Input& input, int64_t first,
                       Floats out[][kVectors]) {
    constexpr int vectors = vectors_per_pass(N), registers = vectors * kParts;
    const Weight* tile = reinterpret_cast<const Weight*>(packed);
    const int64_t width = input.width();
    const float* x = input.of(first);
    for (int begin = 0; begin < kVectors; begin += vectors) {
      Register sums[N][registers] = {};
      for (int64_t c = 0; c < width; ++c) {
        if (begin == 0) fetch_ahead(tile + c * kTile, kTile * sizeof(Weight));
        Floats weight[vectors];
        for (int j = 0; j < vectors; ++j) weight[j] = widen(tile + c * kTile + (begin + j) * kLanes);
        const auto* weights = reinterpret_cast<const Register*>(weight);
        for (int t = 0; t < N; ++t)
          for (int j = 0; j < registers; ++j) sums[t][j] += weights[j] * x[t * width + c];
      }
      for (int t = 0; t < N; ++t) std::memcpy(&out[t][begin], sums[t], vectors * sizeof(Floats));
    }
  }
};

template <class Format>
inline void multiply(int64_t n, const char* tile, const typename Format::Input& x, int64_t first,
                     Floats out[][kVectors]) {
  switch (n) {
    case 1: return Format::template multiply<1>(tile, x, first, out);
    case 2: return Format::template multiply<2>(tile, x, first, out);
    case 3: return Format::template multiply<3>(tile, x, first, out);
    case 4: return Format::template multiply<4>(tile, x, first, out);
    case 5: return Format::template multiply<5>(tile, x, first, out);
    default: return Format::template multiply<kTokens>(tile, x, first, out);
  }
}

// A matrix that computes the rows of a product from `first` on
struct Part {
  const void* matrix;
  int64_t rows, first;
};

// Calls use(first row, rows, token, sums) for every 64 rows of the matrices and every token.
template <class Format, class Use>
inline void product(ThreadPool& pool, std::initializer_list<Part> parts,
                    const typename Format::Input& x, int64_t width, int64_t tokens,
                    const Use& use) {
  int64_t count = 0;
  for (const Part& part : parts) count += tiles(part.rows);
  pool.each(count, [&](int64_t i) {
    const Part* part = parts.begin();
    for (; i >= tiles(part->rows); ++part) i -= tiles(part->rows);
    const char* tile = static_cast<const char*>(part->matrix) + i * Format::tile_bytes(width);
    const int64_t rows = std::min<int64_t>(kTile, part->rows - i * kTile);
    for (int64_t t = 0; t < tokens; t += kTokens) {
      Floats sums[kTokens][kVectors];
      const int64_t n = std::min<int64_t>(kTokens, tokens - t);
      multiply<Format>(n, tile, x, t, sums);
      for (int64_t k = 0; k < n; ++k) use(part->first + i * kTile, rows, t + k, sums[k]);
    }
  });
}

}  // namespace
