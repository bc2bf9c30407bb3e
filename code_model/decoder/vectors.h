// Vectors of 16 floats, and the number formats that weights and the cache are kept in.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__AVX512F__) || defined(__F16C__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

constexpr int kLanes = 16, kTile = 64, kVectors = kTile / kLanes;
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
#elif defined(__AVX__)
typedef Eight Register;
constexpr int kSums = 12;
#else
typedef Four Register;
#ifdef __aarch64__
constexpr int kSums = 24;
#else
constexpr int kSums = 12;
#endif
#endif
constexpr int kParts = sizeof(Floats) / sizeof(Register);

// tokens that share one load of a weight: as many as have accumulators for 16 rows
constexpr int kTokens = kSums / kParts < 6 ? kSums / kParts : 6;

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
#elif defined(__aarch64__)
  Floats wide;
  for (int r = 0; r < kParts; ++r) {
    const uint16x4_t halves = vld1_u16(&from[r * kLanes / kParts].bits);
    reinterpret_cast<Four*>(&wide)[r] = (Four)vcvt_f32_f16(vreinterpret_f16_u16(halves));
  }
  return wide;
#else
  const Ints bits = __builtin_convertvector(*reinterpret_cast<const Halves*>(from), Ints);
  const Floats size = (Floats)((bits & 0x7fff) << 13) * 0x1p112f;
  return (Floats)((Ints)size | (bits & 0x8000) << 16);
#endif
}

// The numbers of register `r`, counted from `from`. GCC keeps a vector that is wider than a register
// in memory; what is computed register by register stays out of it.
inline Register part(const float* from, int r) {
  return *reinterpret_cast<const Register*>(from + r * kLanes / kParts);
}

inline Register part(const Half* from, int r) {
#if defined(__AVX512F__)
  return widen(from + r * kLanes);
#elif defined(__F16C__)
  return (Register)_mm256_cvtph_ps(
      _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + r * kLanes / kParts)));
#elif defined(__aarch64__)
  const uint16x4_t halves = vld1_u16(&from[r * kLanes / kParts].bits);
  return (Register)vcvt_f32_f16(vreinterpret_f16_u16(halves));
#else
  const Floats wide = widen(from + r / kParts * kLanes);
  return reinterpret_cast<const Register*>(&wide)[r % kParts];
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
#elif defined(__aarch64__)
  return {vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(vdupq_n_f32(x))), 0)};
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

}  // namespace
