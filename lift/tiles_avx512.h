// The products of tiles.h on vectors of bf16 (AVX-512), for processors without matrix tiles, such as AMD's since Zen 4.
// Of a block only as many rows are computed as are wanted.

#pragma once

namespace {

constexpr Index AT_ONCE = 8;  // rows whose sums, 32 columns of each, stay in registers

struct Tiles {  // has nothing to set up here
    explicit Tiles(Index = HALF, Index = HALF) {}
    ~Tiles() {}
};

// What a thread's tiles would hold.
struct Sums {
    Block block;
    Index rows;
    bool begun;
};
thread_local Sums sums;

// Of a block's rows the first ones are wanted.
void begin(Index rows = SIDE) { sums.rows = std::min(rows, SIDE), sums.begun = false; }

// The sums of ROWS rows at `to`, and what is added to them.
template <Index ROWS, class Beside>
void add_to_sums(float* to, const bf16* rows, Index stride, const bf16* panel, Index depth, Beside beside) {
    __m512 left[ROWS], right[ROWS];
    for (Index row = 0; row < ROWS; ++row) {
        left[row] = sums.begun ? _mm512_load_ps(to + row * SIDE) : _mm512_setzero_ps();
        right[row] = sums.begun ? _mm512_load_ps(to + row * SIDE + HALF) : _mm512_setzero_ps();
    }
    for (Index k = 0; k < depth; k += SIDE, panel += 2 * TILE) {
        for (Index pair = 0; pair < HALF; ++pair) {
            const auto of_left = (__m512bh)_mm512_loadu_si512(panel + pair * SIDE);
            const auto of_right = (__m512bh)_mm512_loadu_si512(panel + TILE + pair * SIDE);
#pragma GCC unroll 8
            for (Index row = 0; row < ROWS; ++row) {
                std::int32_t both;
                std::memcpy(&both, rows + row * stride + k + 2 * pair, sizeof both);
                const auto numbers = (__m512bh)_mm512_set1_epi32(both);
                left[row] = _mm512_dpbf16_ps(left[row], numbers, of_left);
                right[row] = _mm512_dpbf16_ps(right[row], numbers, of_right);
            }
        }
        beside();
    }
    for (Index row = 0; row < ROWS; ++row) {
        _mm512_store_ps(to + row * SIDE, left[row]);
        _mm512_store_ps(to + row * SIDE + HALF, right[row]);
    }
}

template <Index ROWS>
void add_to_rest(Index count, float* to, const bf16* rows, Index stride, const bf16* panel, Index depth) {
    if (count == ROWS)
        add_to_sums<ROWS>(to, rows, stride, panel, depth, [] {});
    else if constexpr (ROWS > 1)
        add_to_rest<ROWS - 1>(count, to, rows, stride, panel, depth);
}

// Adds the block's rows of the left matrix times a panel, and does something else after each 32 of the depth, where there
// are AT_ONCE rows. LOWER is for tiles.
template <bool LOWER = true, class Beside>
void add(const bf16* rows, Index stride, const bf16* panel, Index depth, Beside beside) {
    const Index count = sums.rows;
    float* to = sums.block.numbers;
    Index row = 0;
    for (; row + AT_ONCE <= count; row += AT_ONCE)
        if (row == 0)
            add_to_sums<AT_ONCE>(to, rows, stride, panel, depth, beside);
        else
            add_to_sums<AT_ONCE>(to + row * SIDE, rows + row * stride, stride, panel, depth, [] {});
    add_to_rest<AT_ONCE - 1>(count - row, to + row * SIDE, rows + row * stride, stride, panel, depth);
    sums.begun = true;
}

void end(Block& block) { block = sums.block; }

}  // namespace

extern "C" int on_matrix_tiles() { return 0; }

extern "C" int usable() { return 1; }
