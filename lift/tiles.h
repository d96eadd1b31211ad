// Products on a processor's matrix tiles (AMX), or on its vectors in their place, for numbers of bf16 that are summed in
// fp32. tiles_amx.h and tiles_avx512.h have each its way to compute a block: begin, add, end.
//
// A block of results is 32 by 32: two tiles by two. The left matrix of a product is read as it lies. The right one is read
// from panels, one for 32 of its columns: for each 32 of its depth 2 tiles of 16 columns, each of which has the numbers of
// two rows side by side, [16 pairs of rows, 16 columns, 2]. All pointers are to contiguous rows.
//
// HAS_TILES is defined where the processor that is compiled for has either.

#pragma once

#include <cstdint>

#if defined(__AVX512BF16__) && defined(__AVX512BW__)

#define HAS_TILES

#include <immintrin.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace {

using Index = std::int64_t;
using bf16 = std::uint16_t;

constexpr Index SIDE = 32;                  // of a block, as lift/native.py has it
constexpr Index HALF = SIDE / 2;            // of a tile
constexpr Index TILE = HALF * SIDE;         // numbers of bf16 in a tile

Index up(Index number) { return (number + SIDE - 1) / SIDE * SIDE; }

// Columns whose panels of a depth fit into so many bytes: those that are gone through for each 32 rows.
Index span_of(Index depth, Index bytes) { return std::max<Index>(1, bytes / (depth * SIDE * Index(sizeof(bf16)))) * SIDE; }

// Memory that a thread keeps from one call to the next.
class Scratch {
public:
    bf16* of(Index numbers) {
        if (numbers > room_) {
            kept_.reset(static_cast<bf16*>(std::aligned_alloc(64, (numbers * sizeof(bf16) + 63) / 64 * 64)));
            room_ = numbers;
        }
        return kept_.get();
    }

private:
    struct Free {
        void operator()(bf16* memory) const { std::free(memory); }
    };
    std::unique_ptr<bf16, Free> kept_;
    Index room_ = 0;
};

struct alignas(64) Block {
    float numbers[SIDE * SIDE];
};

}  // namespace

#if defined(__AMX_BF16__) && defined(__linux__)
#include "tiles_amx.h"
#else
#include "tiles_avx512.h"
#endif

namespace {

void add(const bf16* rows, Index stride, const bf16* panel, Index depth) {
    add(rows, stride, panel, depth, [] {});
}

__mmask32 first(Index count) { return count >= SIDE ? ~0u : count <= 0 ? 0u : (1u << count) - 1; }

__m512 low(__m512i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(x)), 16)); }

__m512 high(__m512i x) { return low(_mm512_castsi256_si512(_mm512_extracti64x4_epi64(x, 1))); }

__m512i rounded(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

// Where a block goes: its first rows, times `scale` and with the bias where there is one. Past the caches where nothing
// reads it soon: a line that is written whole need not be fetched first.
struct Put {
    const float* from;
    bf16* to;
    Index stride, rows;
    float scale = 1;
    const bf16* bias = nullptr;
    bool past_caches = false;

    void write(Index count) {
        const __m512 times = _mm512_set1_ps(scale);
        const __m512i more = bias ? _mm512_loadu_si512(bias) : _mm512_setzero_si512();
        for (count = std::min(count, rows), rows -= count; count > 0; --count, from += SIDE, to += stride) {
            const __m512i numbers = rounded(_mm512_fmadd_ps(_mm512_load_ps(from), times, low(more)),
                                            _mm512_fmadd_ps(_mm512_load_ps(from + HALF), times, high(more)));
            if (past_caches)
                _mm512_stream_si512(reinterpret_cast<__m512i*>(to), numbers);
            else
                _mm512_storeu_si512(to, numbers);
        }
    }
};

void put(const Block& block, float scale, bf16* to, Index stride, Index rows) {
    Put{block.numbers, to, stride, rows, scale}.write(rows);
}

// Blocks that are written while the next one is computed.
class Pending {
public:
    ~Pending() {
        last_.write(SIDE);
        _mm_sfence();  // what goes past the caches is there before another thread is told so
    }
    void operator()() { last_.write(2); }  // between products of a block
    void take(bf16* to, Index stride, Index rows, const bf16* bias, bool past_caches) {
        last_.write(SIDE);
        turn_ = !turn_;
        end(blocks_[turn_]);
        last_ = {blocks_[turn_].numbers, to, stride, rows, 1.0f, bias, past_caches};
    }

private:
    Block blocks_[2];
    bool turn_ = false;
    Put last_{};
};

// Adds the first of 32 numbers, times `scale`, to `kept` times what is there.
inline void add_to(const float* more, bf16* to, Index columns = SIDE, float scale = 1, float kept = 1) {
    const __m512 times = _mm512_set1_ps(scale), less = _mm512_set1_ps(kept);
    const __m512i there = _mm512_maskz_loadu_epi16(first(columns), to);
    const __m512 of_low = _mm512_mul_ps(low(there), less), of_high = _mm512_mul_ps(high(there), less);
    _mm512_mask_storeu_epi16(to, first(columns),
                             rounded(_mm512_fmadd_ps(_mm512_load_ps(more), times, of_low),
                                     _mm512_fmadd_ps(_mm512_load_ps(more + HALF), times, of_high)));
}

// The same of the block's first rows.
void put_more(const Block& block, bf16* to, Index stride, Index rows, Index columns, float scale = 1, float kept = 1) {
    for (Index row = 0; row < rows; ++row) add_to(block.numbers + row * SIDE, to + row * stride, columns, scale, kept);
}

// 16 rows of 16 numbers of 32 bits, in place.
void transpose(__m512i* rows) {
    __m512i some[HALF];
    for (Index i = 0; i < HALF; i += 2) {
        some[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        some[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for (Index i = 0; i < HALF; i += 4)
        for (Index j = 0; j < 2; ++j) {
            rows[i + 2 * j] = _mm512_unpacklo_epi64(some[i + j], some[i + j + 2]);
            rows[i + 2 * j + 1] = _mm512_unpackhi_epi64(some[i + j], some[i + j + 2]);
        }
    for (Index i = 0; i < 4; ++i)
        for (Index j = 0; j < HALF; j += 8) {
            some[i + j] = _mm512_shuffle_i32x4(rows[i + j], rows[i + j + 4], 0x88);
            some[i + j + 4] = _mm512_shuffle_i32x4(rows[i + j], rows[i + j + 4], 0xdd);
        }
    for (Index i = 0; i < 8; ++i) {
        rows[i] = _mm512_shuffle_i32x4(some[i], some[i + 8], 0x88);
        rows[i + 8] = _mm512_shuffle_i32x4(some[i], some[i + 8], 0xdd);
    }
}

void transpose(Block& block) {
    auto tile = [&](Index row, Index column) { return block.numbers + row * HALF * SIDE + column * HALF; };
    auto load = [&](const float* at, __m512i* rows) {
        for (Index i = 0; i < HALF; ++i) rows[i] = _mm512_load_si512(at + i * SIDE);
        transpose(rows);
    };
    auto store = [&](const __m512i* rows, float* at) {
        for (Index i = 0; i < HALF; ++i) _mm512_store_si512(at + i * SIDE, rows[i]);
    };
    __m512i one[HALF], other[HALF];
    for (Index side = 0; side < 2; ++side) load(tile(side, side), one), store(one, tile(side, side));
    load(tile(0, 1), one), load(tile(1, 0), other);
    store(one, tile(1, 0)), store(other, tile(0, 1));
}

// Rows k and k + 1 of a matrix with 32 columns, of which the first count, number by number side by side.
void pair(const bf16* matrix, Index stride, Index rows, Index columns, Index k, bf16* left, bf16* right) {
    alignas(64) static const bf16 ORDER[SIDE] = {0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39,
                                                 8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
    const __m512i order = _mm512_load_si512(ORDER);
    const __m512i a = _mm512_maskz_loadu_epi16(k < rows ? first(columns) : 0, matrix + k * stride);
    const __m512i b = _mm512_maskz_loadu_epi16(k + 1 < rows ? first(columns) : 0, matrix + (k + 1) * stride);
    _mm512_store_si512(left, _mm512_permutex2var_epi16(a, order, b));
    _mm512_store_si512(right, _mm512_permutex2var_epi16(a, _mm512_add_epi16(order, _mm512_set1_epi16(HALF)), b));
}

// The panel of a matrix [rows, columns], at most 32 columns, with zeros up to a depth.
void panel_of(const bf16* matrix, Index stride, Index rows, Index columns, Index depth, bf16* panel) {
    for (Index k = 0; k < depth; k += 2) {
        bf16* at = panel + k / SIDE * 2 * TILE + k % SIDE / 2 * SIDE;
        pair(matrix, stride, rows, columns, k, at, at + TILE);
    }
}

// The same of a matrix that lies transposed: [columns, rows].
void panel_of_transposed(const bf16* matrix, Index stride, Index rows, Index columns, Index depth, bf16* panel) {
    for (Index k = 0; k < depth; k += SIDE, panel += 2 * TILE)
        for (Index half = 0; half < 2; ++half) {
            __m512i pairs[HALF];
            for (Index i = 0; i < HALF; ++i) {
                const Index column = half * HALF + i;
                pairs[i] = _mm512_maskz_loadu_epi16(column < columns ? first(rows - k) : 0, matrix + column * stride + k);
            }
            transpose(pairs);
            for (Index i = 0; i < HALF; ++i) _mm512_store_si512(panel + half * TILE + i * SIDE, pairs[i]);
        }
}

// [32 rows, 32 columns] -> [32 columns, 32 rows], with zeros behind the matrix's rows.
void transposed(const bf16* matrix, Index stride, Index rows, bf16* to, Index to_stride) {
    alignas(64) bf16 pairs[2][TILE];
    for (Index k = 0; k < SIDE; k += 2)
        pair(matrix, stride, rows, SIDE, k, pairs[0] + k / 2 * SIDE, pairs[1] + k / 2 * SIDE);
    for (Index half = 0; half < 2; ++half) {
        __m512i columns[HALF];
        for (Index i = 0; i < HALF; ++i) columns[i] = _mm512_load_si512(pairs[half] + i * SIDE);
        transpose(columns);
        for (Index i = 0; i < HALF; ++i) _mm512_storeu_si512(to + (half * HALF + i) * to_stride, columns[i]);
    }
}

// A matrix's rows in blocks of 32, of which the last one may be copied to be whole.
class Rows {
public:
    Rows(const bf16* matrix, Index rows, Index width, bf16* copy) : matrix_(matrix), width_(width), copy_(copy) {
        whole_ = rows / SIDE * SIDE;
        if (whole_ == rows) return;
        std::memset(copy, 0, SIDE * width * sizeof(bf16));
        std::memcpy(copy, matrix + whole_ * width, (rows - whole_) * width * sizeof(bf16));
    }
    const bf16* at(Index row) const { return row < whole_ ? matrix_ + row * width_ : copy_; }

private:
    const bf16* matrix_;
    Index width_, whole_;
    bf16* copy_;
};

thread_local Scratch shared_memory, own_memory;  // of a call, and of each of its threads

}  // namespace

#else

extern "C" int usable() { return 0; }

#endif
