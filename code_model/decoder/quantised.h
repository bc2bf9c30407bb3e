// Products with weights of 8 or 4 bits. quantised.py packs them and says what the numbers mean.
//
// 32 columns of a row share a scale. A tile of 64 rows is a sequence of such blocks: 64 scales in
// float16, then the numbers. Vectors are rounded to 16 bits with a scale for each 32 numbers, so
// what a product loses is what the weights have lost. The instruction that this is made for adds
// two products of 16-bit numbers to a 32-bit sum; every x86 processor has it in some width, and
// others do it in a few.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "products.h"
#include "vectors.h"

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

constexpr int kBlock = 32, kScaleBytes = kTile * sizeof(Half);
constexpr int kRegisterLanes = kLanes / kParts;  // rows whose sums one register holds

// Of one register: sums, pairs of 16-bit numbers for each of them, the same with 8 bits
typedef int32_t Sums __attribute__((vector_size(4 * kRegisterLanes), aligned(4), may_alias));
typedef int16_t Pairs __attribute__((vector_size(4 * kRegisterLanes), aligned(2), may_alias));
typedef int8_t Bytes __attribute__((vector_size(2 * kRegisterLanes), aligned(1), may_alias));
typedef int16_t Shorts __attribute__((vector_size(32), aligned(2), may_alias));

// sums + both products of each pair
inline Sums add_products(Sums sums, Pairs a, Pairs b) {
#if defined(__AVX512VNNI__)
  return (Sums)_mm512_dpwssd_epi32((__m512i)sums, (__m512i)a, (__m512i)b);
#elif defined(__AVX512BW__)
  return sums + (Sums)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return sums + (Sums)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return sums + (Sums)_mm_madd_epi16((__m128i)a, (__m128i)b);
#elif defined(__aarch64__)
  const auto x = (int16x8_t)a, y = (int16x8_t)b;
  const int32x4_t first = vmull_s16(vget_low_s16(x), vget_low_s16(y));
  return sums + (Sums)vpaddq_s32(first, vmull_high_s16(x, y));
#else  // on little-endian machines, the low half is the first of a pair
  const Sums x = (Sums)a, y = (Sums)b;
  return sums + (x << 16 >> 16) * (y << 16 >> 16) + (x >> 16) * (y >> 16);
#endif
}

// The tokens' vectors in 16 bits, padded with zeros to whole blocks
class Rounded {
 public:
  void take(const float* x, int64_t tokens, int64_t width) {
    blocks_ = (width + kBlock - 1) / kBlock;
    numbers_.resize(tokens * blocks_ * kBlock);
    scales_.resize(tokens * blocks_);
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t b = 0; b < blocks_; ++b) {
        const float* from = x + t * width + b * kBlock;
        float padded[kBlock] = {};
        const int64_t count = std::min<int64_t>(kBlock, width - b * kBlock);
        if (count < kBlock) from = static_cast<float*>(std::memcpy(padded, from, count * 4));
        scales_[t * blocks_ + b] = round(from, &numbers_[(t * blocks_ + b) * kBlock]);
      }
  }

  int64_t blocks() const { return blocks_; }
  const int16_t* numbers(int64_t token) const { return &numbers_[token * blocks_ * kBlock]; }
  const float* scales(int64_t token) const { return &scales_[token * blocks_]; }

 private:
  // Returns the scale of a block; halves are rounded away from zero.
  static float round(const float* from, int16_t* to) {
    const Floats parts[] = {widen(from), widen(from + kLanes)};
    Floats largest{};
    for (const Floats& part : parts) {
      const Floats size = part < 0.0f ? -part : part;
      largest = size > largest ? size : largest;
    }
    float top = 0.0f;
    for (int i = 0; i < kLanes; ++i) top = std::max(top, largest[i]);
    const float inverse = top > 0.0f ? 32767.0f / top : 0.0f;
    for (int i = 0; i < 2; ++i) {
      const Floats scaled = parts[i] * inverse;
      const Ints whole = __builtin_convertvector(scaled + (scaled < 0.0f ? Floats{} - 0.5f : Floats{} + 0.5f), Ints);
      *reinterpret_cast<Shorts*>(to + i * kLanes) = __builtin_convertvector(whole, Shorts);
    }
    return top / 32767.0f;
  }

  int64_t blocks_ = 0;
  std::vector<int16_t> numbers_;
  std::vector<float> scales_;
};

// 8 bits: a byte for each number, pairs of columns beside each other, rows in sequence
struct Eights {
  static constexpr int kBytes = kTile * kBlock;

  // Columns 2 p and 2 p + 1 for the rows of a register from `row` on
  static inline Pairs pairs(const char* numbers, int p, int row) {
    const char* from = numbers + (p * kTile + row) * 2;
#if defined(__AVX512BW__)  // converted by GCC, it would be done in two halves
    return (Pairs)_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#else
    return __builtin_convertvector(*reinterpret_cast<const Bytes*>(from), Pairs);
#endif
  }

  static inline int number(const char* numbers, int row, int column) {
    return static_cast<int8_t>(numbers[(column / 2 * kTile + row) * 2 + column % 2]);
  }
};

// 4 bits: a 32-bit word for 8 columns of a row, rows in sequence. The lower half has the even
// columns, the upper one the odd columns, the first in the lowest bits.
struct Fours {
  static constexpr int kBytes = kTile * kBlock / 2;

  static inline Pairs pairs(const char* numbers, int p, int row) {
    const char* words = numbers + (p / 4 * kTile + row) * 4;
    return *reinterpret_cast<const Pairs*>(words) << (12 - p % 4 * 4) >> 12;
  }

  static inline int number(const char* numbers, int row, int column) {
    int16_t half;
    std::memcpy(&half, numbers + (column / 8 * kTile + row) * 4 + column % 2 * 2, sizeof(half));
    return static_cast<int16_t>(half << (12 - column % 8 / 2 * 4)) >> 12;
  }
};

// A format of products.h
template <class Numbers>
struct Quantised {
  using Input = Rounded;
  static constexpr int kBlockBytes = kScaleBytes + Numbers::kBytes;

  static int64_t tile_bytes(int64_t width) { return (width + kBlock - 1) / kBlock * kBlockBytes; }

  static void read_row(const void* matrix, int64_t row, int64_t width, float* out) {
    const char* tile = static_cast<const char*>(matrix) + row / kTile * tile_bytes(width);
    for (int64_t c = 0; c < width; ++c) {
      const char* block = tile + c / kBlock * kBlockBytes;
      const float scale = widen(reinterpret_cast<const Half*>(block)[row % kTile]);
      out[c] = scale * Numbers::number(block + kScaleBytes, row % kTile, c % kBlock);
    }
  }

  template <int N>
  static void multiply(const char* tile, const Input& input, int64_t first,
                       Floats out[][kVectors]) {
    // each 32-bit sum has a total beside it
    constexpr int vectors = vectors_per_pass(2 * N), registers = vectors * kParts;
    for (int begin = 0; begin < kVectors; begin += vectors) {
      Floats totals[N][vectors] = {};
      for (int64_t b = 0; b < input.blocks(); ++b) {
        const char* block = tile + b * kBlockBytes;
        if (begin == 0) fetch_ahead(block, kScaleBytes);
        Sums sums[N][registers] = {};
#pragma GCC unroll 16
        for (int p = 0; p < kBlock / 2; ++p) {
          constexpr int share = Numbers::kBytes / (kBlock / 2);
          if (begin == 0) fetch_ahead(block + kScaleBytes + p * share, share);
          Pairs weights[registers];
          for (int r = 0; r < registers; ++r)
            weights[r] = Numbers::pairs(block + kScaleBytes, p, begin * kLanes + r * kRegisterLanes);
          for (int t = 0; t < N; ++t) {
            int32_t pair;
            std::memcpy(&pair, input.numbers(first + t) + b * kBlock + 2 * p, sizeof(pair));
            const Pairs both = (Pairs)(Sums{} + pair);  // the same for all rows
            for (int r = 0; r < registers; ++r)
              sums[t][r] = add_products(sums[t][r], weights[r], both);
          }
        }
        const Half* scales = reinterpret_cast<const Half*>(block) + begin * kLanes;
        for (int j = 0; j < vectors; ++j) {
          const Floats scale = widen(scales + j * kLanes);
          for (int t = 0; t < N; ++t) {
            const auto* whole = reinterpret_cast<const Ints*>(&sums[t][j * kParts]);
            totals[t][j] += __builtin_convertvector(*whole, Floats) *
                            (scale * input.scales(first + t)[b]);
          }
        }
      }
      for (int t = 0; t < N; ++t)
        for (int j = 0; j < vectors; ++j) out[t][begin + j] = totals[t][j];
    }
  }
};

}  // namespace
