// The elementwise pieces of a training step on CPUs, each one pass over its rows. kernels.py compiles this file, calls it
// and says what its tensors are; pieces.py has the same pieces in torch, which define what is right.
//
// Numbers are of type T in memory, as the command line has it (-DT=bf16 or -DT=float), and fp32 in between. It says also
// how wide a head (WIDEST_HEAD) and how many choices of a token (MOST_CHOICES) there may be. All pointers are to contiguous
// rows. A NaN stays within its row.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "numbers.h"

namespace {

using Index = std::int64_t;

struct bf16 {
    std::uint16_t bits;
};

inline float get(float x) { return x; }

inline float get(bf16 x) { return wide(x.bits); }

inline void put(float& to, float x) { to = x; }

inline void put(bf16& to, float x) { to.bits = narrow(x); }

float dot(const T* x, const T* y, Index width) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (Index i = 0; i < width; ++i) sum += get(x[i]) * get(y[i]);
    return sum;
}

constexpr Index BLOCK = 4096;  // numbers that are summed in fp32

// What a head's numbers are multiplied by before they are turned: weight / sqrt(mean x^2 + epsilon), or nothing.
struct HeadNorm {
    const T* weight;
    float epsilon;

    float scale(const T* x, Index size) const { return 1.0f / std::sqrt(dot(x, x, size) / float(size) + epsilon); }
};

void turn(const T* x, const T* cosine, const T* sine, HeadNorm norm, T* out, Index size) {
    float normed[WIDEST_HEAD];
    if (norm.weight) {
        float scale = norm.scale(x, size);
#pragma omp simd
        for (Index i = 0; i < size; ++i) normed[i] = get(norm.weight[i]) * (get(x[i]) * scale);
    } else {
#pragma omp simd
        for (Index i = 0; i < size; ++i) normed[i] = get(x[i]);
    }
    const Index half = size / 2;
#pragma omp simd
    for (Index i = 0; i < half; ++i) {
        float low = normed[i], high = normed[half + i];
        put(out[i], low * get(cosine[i]) - high * get(sine[i]));
        put(out[half + i], high * get(cosine[half + i]) + low * get(sine[half + i]));
    }
}

// by: of the turned head, in fp32; x: the head before it was turned and normed, which is read where there is a norm
void turn_back(const float* by, const T* x, const T* cosine, const T* sine, HeadNorm norm, T* out, Index size) {
    float straight[WIDEST_HEAD];
    const Index half = size / 2;
#pragma omp simd
    for (Index i = 0; i < half; ++i) {
        float low = by[i], high = by[half + i];
        straight[i] = low * get(cosine[i]) + high * get(sine[half + i]);
        straight[half + i] = high * get(cosine[half + i]) - low * get(sine[i]);
    }
    if (!norm.weight) {
#pragma omp simd
        for (Index i = 0; i < size; ++i) put(out[i], straight[i]);
        return;
    }
    float scale = norm.scale(x, size), product = 0;
#pragma omp simd reduction(+ : product)
    for (Index i = 0; i < size; ++i) product += get(norm.weight[i]) * straight[i] * get(x[i]);
    float shrink = scale * scale * product / float(size);
#pragma omp simd
    for (Index i = 0; i < size; ++i) put(out[i], scale * (get(norm.weight[i]) * straight[i] - get(x[i]) * shrink));
}

// The places of sequences, one behind the other: of each sequence, and behind the last, its first place; of each place
// its sequence. Numbers of places lie sequence by sequence, each [heads, length, size].
struct Places {
    const Index *starts, *sequences;

    Index at(Index place, Index head, Index heads, Index size) const {
        const Index start = starts[sequences[place]], length = starts[sequences[place] + 1] - start;
        return (start * heads + head * length + place - start) * size;
    }
};

}  // namespace

extern "C" {

// sum = x + more where there is more; normed = weight * sum / sqrt(mean sum^2 + epsilon); scales: 1 / sqrt(...)
void add_norm(const T* x, const T* more, const T* weight, T* sum, T* normed, float* scales, float epsilon, Index rows,
              Index width, Index threads) {
#pragma omp parallel for num_threads(int(threads))
    for (Index row = 0; row < rows; ++row) {
        const T* own = x + row * width;
        if (more) {
            const T* other = more + row * width;
            T* both = sum + row * width;
#pragma omp simd
            for (Index i = 0; i < width; ++i) put(both[i], get(own[i]) + get(other[i]));
            own = both;
        }
        float scale = 1.0f / std::sqrt(dot(own, own, width) / float(width) + epsilon);
        T* out = normed + row * width;
#pragma omp simd
        for (Index i = 0; i < width; ++i) put(out[i], get(weight[i]) * (get(own[i]) * scale));
        scales[row] = scale;
    }
}

// by_sum: the gradient that reaches the sum on its other way, or none. With n = sum * scale and g = weight * by_normed:
// by_x = by_sum + scale (g - n mean(g n))
void add_norm_back(const T* by_sum, const T* by_normed, const T* sum, const T* weight, const float* scales, T* by_x,
                   Index rows, Index width, Index threads) {
#pragma omp parallel for num_threads(int(threads))
    for (Index row = 0; row < rows; ++row) {
        const T *by = by_normed + row * width, *own = sum + row * width, *beside = by_sum ? by_sum + row * width : nullptr;
        T* out = by_x + row * width;
        float product = 0, scale = scales[row];
#pragma omp simd reduction(+ : product)
        for (Index i = 0; i < width; ++i) product += get(weight[i]) * get(by[i]) * get(own[i]);
        float shrink = scale * scale * product / float(width);
        if (beside) {
#pragma omp simd
            for (Index i = 0; i < width; ++i)
                put(out[i], get(beside[i]) + scale * (get(weight[i]) * get(by[i]) - get(own[i]) * shrink));
        } else {
#pragma omp simd
            for (Index i = 0; i < width; ++i) put(out[i], scale * (get(weight[i]) * get(by[i]) - get(own[i]) * shrink));
        }
    }
}

// silu(gate) * up; a row of gate_up is gate and up side by side
void gated(const T* gate_up, T* out, Index rows, Index width, Index threads) {
#pragma omp parallel for num_threads(int(threads))
    for (Index row = 0; row < rows; ++row) {
        const T *gate = gate_up + row * 2 * width, *up = gate + width;
        T* to = out + row * width;
#pragma omp simd
        for (Index i = 0; i < width; ++i) {
            float g = get(gate[i]), sigmoid = 1.0f / (1.0f + exp_of(-g));
            put(to[i], g * sigmoid * get(up[i]));
        }
    }
}

void gated_back(const T* by_out, const T* gate_up, T* by_gate_up, Index rows, Index width, Index threads) {
#pragma omp parallel for num_threads(int(threads))
    for (Index row = 0; row < rows; ++row) {
        const T *gate = gate_up + row * 2 * width, *up = gate + width, *by = by_out + row * width;
        T *by_gate = by_gate_up + row * 2 * width, *by_up = by_gate + width;
#pragma omp simd
        for (Index i = 0; i < width; ++i) {
            float g = get(gate[i]), sigmoid = 1.0f / (1.0f + exp_of(-g));
            put(by_gate[i], get(by[i]) * get(up[i]) * sigmoid * (1.0f + g * (1.0f - sigmoid)));
            put(by_up[i], get(by[i]) * g * sigmoid);
        }
    }
}

// Rows of nodes -> queries, keys (both turned) and values of places
void to_places(const T* qkv, const T* cosines, const T* sines, const T* query_norm, const T* key_norm, float epsilon,
               const Index* nodes, const Index* starts, const Index* sequences, T* queries, T* keys, T* values,
               Index places, Index heads, Index key_heads, Index size, Index threads) {
    const Index width = (heads + 2 * key_heads) * size;
    const Places placed{starts, sequences};
#pragma omp parallel for num_threads(int(threads))
    for (Index place = 0; place < places; ++place) {
        const Index node = nodes[place];
        const T *row = qkv + node * width, *cosine = cosines + node * size, *sine = sines + node * size;
        for (Index head = 0; head < heads; ++head, row += size)
            turn(row, cosine, sine, {query_norm, epsilon}, queries + placed.at(place, head, heads, size), size);
        for (Index head = 0; head < key_heads; ++head, row += size)
            turn(row, cosine, sine, {key_norm, epsilon}, keys + placed.at(place, head, key_heads, size), size);
        for (Index head = 0; head < key_heads; ++head, row += size)
            std::memcpy(values + placed.at(place, head, key_heads, size), row, size * sizeof(T));
    }
}

// A node's gradient is the sum over the places where it stands: standing[firsts[node]] up to standing[firsts[node + 1]]
void to_places_back(const T* by_queries, const T* by_keys, const T* by_values, const T* qkv, const T* cosines,
                    const T* sines, const T* query_norm, const T* key_norm, float epsilon, const Index* firsts,
                    const Index* standing, const Index* starts, const Index* sequences, T* by_qkv, Index nodes,
                    Index heads, Index key_heads, Index size, Index threads) {
    const Index width = (heads + 2 * key_heads) * size;
    const Places placed{starts, sequences};
#pragma omp parallel for num_threads(int(threads)) schedule(dynamic, 8)
    for (Index node = 0; node < nodes; ++node) {
        const T *row = qkv + node * width, *cosine = cosines + node * size, *sine = sines + node * size;
        T* out = by_qkv + node * width;
        float sum[WIDEST_HEAD];
        auto summed = [&](const T* by, Index head, Index of) {
            std::memset(sum, 0, size * sizeof(float));
            for (Index n = firsts[node]; n < firsts[node + 1]; ++n) {
                const T* one = by + placed.at(standing[n], head, of, size);
#pragma omp simd
                for (Index i = 0; i < size; ++i) sum[i] += get(one[i]);
            }
        };
        for (Index head = 0; head < heads; ++head, row += size, out += size) {
            summed(by_queries, head, heads);
            turn_back(sum, row, cosine, sine, {query_norm, epsilon}, out, size);
        }
        for (Index head = 0; head < key_heads; ++head, row += size, out += size) {
            summed(by_keys, head, key_heads);
            turn_back(sum, row, cosine, sine, {key_norm, epsilon}, out, size);
        }
        for (Index head = 0; head < key_heads; ++head, out += size) {
            summed(by_values, head, key_heads);
#pragma omp simd
            for (Index i = 0; i < size; ++i) put(out[i], sum[i]);
        }
    }
}

// In place: the chances that row r, place r % length of its sequence, gives to the places up to its own
void causal_softmax(T* scores, float scale, Index rows, Index length, Index threads) {
#pragma omp parallel num_threads(int(threads))
    {
        std::vector<float> wide(length);
        float* own = wide.data();
#pragma omp for
        for (Index row = 0; row < rows; ++row) {
            T* given = scores + row * length;
            const int seen = int(row % length) + 1, all = int(length);  // of a vector's width, as numbers are
            float most = -INFINITY, sum = 0;
            for (int i = 0; i < all; ++i) own[i] = i < seen ? get(given[i]) * scale : -INFINITY;
#pragma omp simd reduction(max : most)
            for (int i = 0; i < all; ++i) most = own[i] > most ? own[i] : most;
#pragma omp simd reduction(+ : sum)
            for (int i = 0; i < all; ++i) {
                own[i] = i < seen ? exp_of(own[i] - most) : 0.0f;
                sum += own[i];
            }
            const float share = 1.0f / sum;
#pragma omp simd
            for (int i = 0; i < all; ++i) put(given[i], own[i] * share);
        }
    }
}

// In place: by_scores = scale * chances * (by_chances - sum of by_chances * chances)
void causal_softmax_back(T* by, const T* chances, float scale, Index rows, Index length, Index threads) {
#pragma omp parallel for num_threads(int(threads))
    for (Index row = 0; row < rows; ++row) {
        T* own = by + row * length;
        const T* given = chances + row * length;
        const int seen = int(row % length) + 1;
        const float mean = dot(own, given, seen);
#pragma omp simd
        for (int i = 0; i < int(length); ++i)
            put(own[i], i < seen ? scale * get(given[i]) * (get(own[i]) - mean) : 0.0f);
    }
}

// Numbers of places -> [nodes, heads * size], each node from its place
void from_places(const T* by_place, const Index* places, const Index* starts, const Index* sequences, T* rows, Index nodes,
                 Index heads, Index size, Index threads) {
    const Places placed{starts, sequences};
#pragma omp parallel for num_threads(int(threads))
    for (Index node = 0; node < nodes; ++node)
        for (Index head = 0; head < heads; ++head)
            std::memcpy(rows + (node * heads + head) * size, by_place + placed.at(places[node], head, heads, size),
                        size * sizeof(T));
}

// owners: of each place, the node whose place it is, or -1, which gets zeros
void from_places_back(const T* by_rows, const Index* owners, const Index* starts, const Index* sequences, T* by_place,
                      Index places, Index heads, Index size, Index threads) {
    const Places placed{starts, sequences};
#pragma omp parallel for num_threads(int(threads))
    for (Index place = 0; place < places; ++place)
        for (Index head = 0; head < heads; ++head) {
            T* to = by_place + placed.at(place, head, heads, size);
            if (owners[place] < 0)
                std::memset(to, 0, size * sizeof(T));
            else
                std::memcpy(to, by_rows + (owners[place] * heads + head) * size, size * sizeof(T));
        }
}

// Each row's loss, the divergence of the model's chances p from those that are expected of its targets; and in place of
// its logits the loss's gradient: p times the sum of the chances, less the chances
void divergence(T* logits, const Index* targets, const float* chances, float* losses, Index rows, Index vocabulary,
                Index choices, Index threads) {
#pragma omp parallel for num_threads(int(threads))
    for (Index row = 0; row < rows; ++row) {
        T* own = logits + row * vocabulary;
        const Index* target = targets + row * choices;
        const float* chance = chances + row * choices;
        float most = -INFINITY, sum = 0;
#pragma omp simd reduction(max : most)
        for (Index i = 0; i < vocabulary; ++i) most = get(own[i]) > most ? get(own[i]) : most;
#pragma omp simd reduction(+ : sum)
        for (Index i = 0; i < vocabulary; ++i) sum += exp_of(get(own[i]) - most);
        const float normaliser = most + std::log(sum);
        float loss = 0, whole = 0, wanted[MOST_CHOICES];
        for (Index c = 0; c < choices; ++c) {
            float expected = get(own[target[c]]) - normaliser;
            if (chance[c] != 0) loss += chance[c] * (std::log(chance[c]) - expected);
            whole += chance[c];
            wanted[c] = std::exp(expected);
        }
        losses[row] = loss;
#pragma omp simd
        for (Index i = 0; i < vocabulary; ++i) put(own[i], exp_of(get(own[i]) - normaliser) * whole);
        for (Index c = 0; c < choices; ++c) {
            float less = wanted[c] * whole;
            for (Index other = 0; other < choices; ++other)
                if (target[other] == target[c]) less -= chance[other];
            put(own[target[c]], less);
        }
    }
}

// AdamW without decay; rate and widen have the moments' corrections in them
void update(float* masters, T* weights, const T* gradients, float* first, float* second, Index size, float clip,
            float rate, float widen, float beta, float beta_of_squares, float epsilon, Index threads) {
#pragma omp parallel for simd num_threads(int(threads))
    for (Index i = 0; i < size; ++i) {
        float gradient = get(gradients[i]) * clip;
        first[i] = beta * first[i] + (1.0f - beta) * gradient;
        second[i] = beta_of_squares * second[i] + (1.0f - beta_of_squares) * gradient * gradient;
        masters[i] -= rate * first[i] / (std::sqrt(second[i]) * widen + epsilon);
        put(weights[i], masters[i]);
    }
}

double sum_of_squares(const T* x, Index size, Index threads) {
    double sum = 0;
#pragma omp parallel for num_threads(int(threads)) reduction(+ : sum)
    for (Index begin = 0; begin < size; begin += BLOCK)
        sum += dot(x + begin, x + begin, size - begin < BLOCK ? size - begin : BLOCK);
    return sum;
}

}  // extern "C"
