// The LoRA deltas of a batch on CPUs: y += scale * B A x for each row x and the adapter that it belongs to, for all
// projections that read x, in one pass. lora_kernel.py compiles this file, calls it and says what its arguments are.
//
// Numbers are bf16 in memory, two of them a word, and sums are fp32; A x is rounded once, and y. Threads share the rows
// of A, then those of B, so that an adapter with one row in the batch is read by all of them, as fast as memory allows.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "lora_batch.h"
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace {

using Index = std::int64_t;
using bf16 = std::uint16_t;
using Word = std::uint32_t;

constexpr Index LANES = 16;
constexpr Index PAIRED = 2 * LANES;  // numbers of a vector of words
typedef float Wide __attribute__((vector_size(64)));
typedef Word Words __attribute__((vector_size(64)));
typedef bf16 Halves __attribute__((vector_size(32)));

constexpr Index RANKS = 16, SHRUNK_ROWS = 16;      // of a task of the first half
constexpr Index OUTPUTS = 64, EXPANDED_ROWS = 64;  // of a task of the second half
constexpr Index TILE = 4;                          // rows, and columns, whose sums are in registers together
constexpr Index FEW_TASKS = 8;                     // so many are made by one thread: waking others takes as long

inline Words loaded(const bf16* from) {
    Words found;
    std::memcpy(&found, from, sizeof found);
    return found;
}

inline Words loaded(const bf16* from, Index count) {  // of fewer numbers, zeros behind them
    Words found = {};
    std::memcpy(&found, from, count * sizeof(bf16));
    return found;
}

inline void add_products(Wide& sums, Words x, Words y) {  // of both numbers of each word
#ifdef __AVX512BF16__
    sums = (Wide)_mm512_dpbf16_ps((__m512)sums, (__m512bh)x, (__m512bh)y);
#else
    sums += (Wide)(x << 16) * (Wide)(y << 16);
    sums += (Wide)(x & 0xffff0000u) * (Wide)(y & 0xffff0000u);
#endif
}

inline Halves rounded(Wide x) {  // to nearest, ties to even
    Words bits = (Words)x, nan = (Words)(x != x);
    bits = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return __builtin_convertvector((bits & ~nan) | (0x7fc0 & nan), Halves);
}

inline void add(bf16* to, Wide more) {
    Halves bits;
    std::memcpy(&bits, to, sizeof bits);
    bits = rounded((Wide)(__builtin_convertvector(bits, Words) << 16) + more);
    std::memcpy(to, &bits, sizeof bits);
}

inline void add(bf16* to, Wide more, Index count) {
    if (count == LANES) return add(to, more);
    bf16 lanes[LANES] = {};
    std::copy_n(to, count, lanes);
    add(lanes, more);
    std::copy_n(lanes, count, to);
}

template <int COUNT>
inline float total(const float* x) {
    float halves[COUNT / 2];
    for (int i = 0; i < COUNT / 2; ++i) halves[i] = x[i] + x[i + COUNT / 2];
    return total<COUNT / 2>(halves);
}

template <>
inline float total<1>(const float* x) { return *x; }

inline float total(Wide x) {
    float lanes[LANES];
    std::memcpy(lanes, &x, sizeof x);
    return total<LANES>(lanes);
}

// x [M rows] with a [N rows, `step` apart], both of `width` numbers: sums [M, N].
template <int M, int N>
void products(const bf16* const* x, const bf16* a, Index step, Index width, float* sums) {
    Wide found[M][N] = {};
    Index at = 0;
    for (; at + PAIRED <= width; at += PAIRED) {
        Words of_x[M];
        for (int m = 0; m < M; ++m) of_x[m] = loaded(x[m] + at);
        for (int n = 0; n < N; ++n) {
            Words of_a = loaded(a + n * step + at);
            for (int m = 0; m < M; ++m) add_products(found[m][n], of_x[m], of_a);
        }
    }
    if (at < width)
        for (int n = 0; n < N; ++n)
            for (int m = 0; m < M; ++m)
                add_products(found[m][n], loaded(x[m] + at, width - at), loaded(a + n * step + at, width - at));
    for (int m = 0; m < M; ++m)
        for (int n = 0; n < N; ++n) sums[m * N + n] = total(found[m][n]);
}

template <int N>
void products(Index m, const bf16* const* x, const bf16* a, Index step, Index width, float* sums) {
    switch (m) {
        case 1: return products<1, N>(x, a, step, width, sums);
        case 2: return products<2, N>(x, a, step, width, sums);
        case 3: return products<3, N>(x, a, step, width, sums);
        default: return products<4, N>(x, a, step, width, sums);
    }
}

// Columns first to last of h [count, stride] = scale * x A^T.
void shrink(const bf16* x, Index width, const Index* rows, Index count, const bf16* a, Index first, Index last,
            float scale, bf16* h, Index stride) {
    for (Index row = 0; row < count; row += TILE) {
        Index m = std::min(TILE, count - row);
        const bf16* of_rows[TILE];
        for (Index i = 0; i < m; ++i) of_rows[i] = x + rows[row + i] * width;
        for (Index rank = first; rank < last;) {
            float sums[TILE * TILE] = {};
            Index n = last - rank < TILE ? 1 : TILE;
            if (n == TILE)
                products<TILE>(m, of_rows, a + rank * width, width, width, sums);
            else
                products<1>(m, of_rows, a + rank * width, width, width, sums);
            Wide scaled;
            std::memcpy(&scaled, sums, sizeof scaled);
            Halves found = rounded(scaled * scale);
            for (Index i = 0; i < m; ++i)
                for (Index j = 0; j < n; ++j) h[(row + i) * stride + rank + j] = found[i * n + j];
            rank += n;
        }
    }
}

// Has the rows of B that are wanted next come while those before are multiplied.
inline void prefetch(const bf16* b, Index rank, Index outputs) {
    for (Index at = 0; at < outputs * rank; at += 64 / sizeof(bf16)) __builtin_prefetch(b + at);
}

inline Word pair_of(const bf16* from) {
    Word found;
    std::memcpy(&found, from, sizeof found);
    return found;
}

// LANES outputs of each row, their sums side by side: B is turned on its side for it, pair by pair.
void expand_turned(bf16* y, Index y_width, const Index* rows, Index count, const bf16* b, Index outputs, Index rank,
                   const bf16* h, Index stride, Words* turned) {
    Index pairs = rank / 2;
    for (Index pair = 0; pair < pairs; ++pair) {
        Word of_outputs[LANES] = {};
        for (Index lane = 0; lane < outputs; ++lane) of_outputs[lane] = pair_of(b + lane * rank + 2 * pair);
        std::memcpy(turned + pair, of_outputs, sizeof of_outputs);
    }
    if (rank % 2) {
        Words last = {};
        for (Index lane = 0; lane < outputs; ++lane) last[lane] = b[lane * rank + rank - 1];
        turned[pairs++] = last;
    }
    auto some = [&](Index row, auto number) __attribute__((always_inline)) {
        constexpr int M = decltype(number)::value;
        Wide sums[M] = {};
        for (Index pair = 0; pair < pairs; ++pair)
            for (int m = 0; m < M; ++m)
                add_products(sums[m], Words{} + pair_of(h + (row + m) * stride + 2 * pair), turned[pair]);
        for (int m = 0; m < M; ++m) add(y + rows[row + m] * y_width, sums[m], outputs);
    };
    Index row = 0;
    for (; row + TILE <= count; row += TILE) some(row, std::integral_constant<int, TILE>());
    for (; row < count; ++row) some(row, std::integral_constant<int, 1>());
}

// The same, one output after the other: for few rows and a high rank.
void expand_straight(bf16* y, Index y_width, const Index* rows, Index count, const bf16* b,
                     Index outputs, Index rank, const bf16* h, Index stride) {
    for (Index row = 0; row < count; ++row) {
        const bf16* of_row = h + row * stride;
        float sums[LANES] = {};
        Index output = 0;
        for (; output + TILE <= outputs; output += TILE)
            products<1, TILE>(&of_row, b + output * rank, rank, rank, sums + output);
        for (; output < outputs; ++output) products<1, 1>(&of_row, b + output * rank, rank, rank, sums + output);
        Wide more;
        std::memcpy(&more, sums, sizeof more);
        add(y + rows[row] * y_width, more, outputs);
    }
}

struct Task {
    Index segment, projection, row, first;
};

}  // namespace

extern "C" {

void add_lora(bf16* y, Index y_width, const bf16* x, const Layer* layer, const Segments* batch, float scale, Index threads) {
    auto place = [&](Index segment, Index p) { return layer->at(p, batch->slots[segment]); };
    auto rank_of = [&](Index segment, Index p) { return layer->ranks[place(segment, p)]; };
    auto rows_of = [&](const Task& task, Index most) { return std::min(most, batch->ends[task.segment] - task.row); };
    std::vector<Task> shrinking, expanding;
    Index begin = 0, highest = 0;
    for (Index segment = 0; segment < batch->segments; begin = batch->ends[segment++])
        for (Index p = 0; p < layer->projections; ++p) {
            const Index rank = rank_of(segment, p), end = rank ? batch->ends[segment] : begin;
            highest = std::max(highest, rank);
            for (Index row = begin; row < end; row += SHRUNK_ROWS)
                for (Index r = 0; r < rank; r += RANKS) shrinking.push_back({segment, p, row, r});
            for (Index row = begin; row < end; row += EXPANDED_ROWS)
                for (Index o = 0; o < layer->widths[p]; o += OUTPUTS) expanding.push_back({segment, p, row, o});
        }
    const Index shrinks = shrinking.size(), expands = expanding.size();
    const Index of_projection = highest + highest % 2, stride = layer->projections * of_projection;  // of a row of A x
    std::vector<bf16> hidden(begin * stride);
#pragma omp parallel num_threads(threads) if (shrinks + expands > FEW_TASKS)
    {
        std::vector<Words> turned(highest / 2 + 1);
#pragma omp for schedule(static)
        for (Index number = 0; number < shrinks; ++number) {
            const Task& task = shrinking[number];
            const Index here = place(task.segment, task.projection);
            shrink(x, layer->inputs, batch->rows + task.row, rows_of(task, SHRUNK_ROWS), layer->a[here], task.first,
                   std::min(layer->ranks[here], task.first + RANKS), scale * layer->scales[here],
                   hidden.data() + task.row * stride + task.projection * of_projection, stride);
        }
#pragma omp for schedule(static)
        for (Index number = 0; number < expands; ++number) {
            const Task& task = expanding[number];
            const Index width = layer->widths[task.projection], rank = rank_of(task.segment, task.projection);
            const bf16* b = layer->b[place(task.segment, task.projection)];
            const bf16* h = hidden.data() + task.row * stride + task.projection * of_projection;
            const Index *rows = batch->rows + task.row, count = rows_of(task, EXPANDED_ROWS);
            bf16* into = y;
            for (Index p = 0; p < task.projection; ++p) into += layer->widths[p];
            for (Index o = task.first; o < std::min(width, task.first + OUTPUTS); o += LANES) {
                Index outputs = std::min(LANES, width - o);
                prefetch(b + (o + LANES) * rank, rank, std::min(LANES, width - o - LANES));
                if (count * LANES >= rank)
                    expand_turned(into + o, y_width, rows, count, b + o * rank, outputs, rank, h, stride, turned.data());
                else
                    expand_straight(into + o, y_width, rows, count, b + o * rank, outputs, rank, h, stride);
            }
        }
    }
}
}
