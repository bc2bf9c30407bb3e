// Steps of a random model, in every format of weights: prints the chosen ids and their
// log-probabilities, so that two kinds of processors can be compared without Python on both.

#include "decode.cpp"

#include <cstdio>

namespace {

constexpr int64_t kVocab = 301, kHidden = 72, kInner = 100, kLayerCount = 2, kHeads = 4;
constexpr int64_t kKvHeads = 2, kHeadDim = 18, kCapacity = 64, kNope = 3;

uint32_t state = 1;

float uniform() {  // in [-1, 1)
  state = state * 1664525u + 1013904223u;
  return static_cast<int32_t>(state) * 0x1p-31f;
}

std::vector<float> floats(int64_t count, float size, float middle = 0.0f) {
  std::vector<float> made(count);
  for (float& each : made) each = middle + size * uniform();
  return made;
}

// A packed matrix of any format; its numbers are as large as those of the others.
std::vector<char> matrix(int64_t numbers, int64_t rows, int64_t width) {
  const float size = 2.0f / std::sqrt(static_cast<float>(width));
  std::vector<char> made;
  if (numbers == kFloat32 || numbers == kBfloat16) {
    const std::vector<float> values = floats(rows * width, size);
    made.resize(tiles(rows) * kTile * width * (numbers == kBfloat16 ? 2 : 4));
    attune_pack(values.data(), rows, width, numbers == kBfloat16, made.data());
    return made;
  }
  const int64_t block = numbers == kInt8 ? Quantised<Eights>::kBlockBytes : Quantised<Fours>::kBlockBytes;
  made.resize(tiles(rows) * ((width + kBlock - 1) / kBlock) * block);
  for (char& each : made) each = static_cast<char>(static_cast<int8_t>(127 * uniform()));
  for (size_t at = 0; at < made.size(); at += block)
    for (int r = 0; r < kTile; ++r) {
      const Half scale = narrow(size / (numbers == kInt8 ? 128 : 8) * (1.0f + uniform() / 2));
      std::memcpy(&made[at + r * sizeof(Half)], &scale, sizeof(scale));
    }
  return made;
}

void run(int64_t numbers) {
  const int64_t outer = numbers == kInt4 ? static_cast<int64_t>(kInt8) : numbers;
  std::vector<std::vector<char>> matrices;
  std::vector<std::vector<float>> vectors;
  const auto add = [&](int64_t format, int64_t rows, int64_t width) {
    matrices.push_back(matrix(format, rows, width));
    return static_cast<const void*>(matrices.back().data());
  };
  const auto add_floats = [&](int64_t count, float size, float middle) {
    vectors.push_back(floats(count, size, middle));
    return static_cast<const float*>(vectors.back().data());
  };
  Layer layers[kLayerCount];
  for (Layer& layer : layers) {
    layer.attention_norm = add_floats(kHidden, 0.1f, 1.0f);
    layer.q = add(numbers, kHeads * kHeadDim, kHidden);
    layer.k = add(numbers, kKvHeads * kHeadDim, kHidden);
    layer.v = add(numbers, kKvHeads * kHeadDim, kHidden);
    layer.qkv_bias = add_floats((kHeads + 2 * kKvHeads) * kHeadDim, 0.1f, 0.0f);
    layer.out = add(numbers, kHidden, kHeads * kHeadDim);
    layer.inner_norm = add_floats(kHidden, 0.1f, 1.0f);
    layer.gate = add(numbers, kInner, kHidden);
    layer.up = add(numbers, kInner, kHidden);
    layer.down = add(numbers, kHidden, kInner);
  }
  const bool whole = numbers == kFloat32 || numbers == kBfloat16;
  const void* head = add(outer, kVocab, kHidden);
  const void* embedding = whole ? add_floats(kVocab * kHidden, 1.0f, 0.0f) : head;
  const float* norm = add_floats(kHidden, 0.1f, 1.0f);
  const float* cos = add_floats(kCapacity * kHeadDim, 0.7f, 0.0f);
  const float* sin = add_floats(kCapacity * kHeadDim, 0.7f, 0.0f);
  const Model model = {{kVocab, kHidden, kInner, kLayerCount, kHeads, kKvHeads, kHeadDim, numbers, 1e-5f},
                       embedding, norm, cos, sin, head, layers};
  std::vector<Half> keys(kLayerCount * kKvHeads * kCapacity * kHeadDim), values(keys.size());
  for (Half& each : keys) each = narrow(uniform());
  for (Half& each : values) each = narrow(uniform());
  ThreadPool* pool = attune_new_pool(2);
  int64_t start = kNope + 1;
  for (int64_t tokens : {9, 1, 7, 6}) {
    int32_t ids[9], chosen[9];
    float logprobs[9];
    for (int64_t t = 0; t < tokens; ++t) ids[t] = (start + t) * 37 % kVocab;
    const Step step = {ids, tokens, tokens, start, kCapacity, kNope, keys.data(), values.data(),
                       chosen, logprobs, nullptr, nullptr};
    attune_step(pool, &model, &step);
    for (int64_t t = 0; t < tokens; ++t) std::printf("%d %.5f\n", chosen[t], logprobs[t]);
    start += tokens;
  }
  attune_delete_pool(pool);
}

}  // namespace

int main() {
  for (int64_t numbers : {kFloat32, kBfloat16, kInt8, kInt4}) run(numbers);
}
