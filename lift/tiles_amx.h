// The products of tiles.h on a processor's matrix tiles (AMX).

#pragma once

#include <sys/syscall.h>
#include <unistd.h>

namespace {

// Instructions of tiles read memory that compilers do not know of.
inline void all_is_written(const void* memory = nullptr) { asm volatile("" : : "r"(memory) : "memory"); }

// While it lives, this thread's tiles have 16 rows of 64 bytes; those of the left matrix's halves and of what comes of
// them may have fewer.
struct Tiles {
    explicit Tiles(Index upper = HALF, Index lower = HALF) {
        struct alignas(64) {
            std::uint8_t palette = 1, start = 0, reserved[14] = {};
            std::uint16_t bytes[16] = {};
            std::uint8_t rows[16] = {};
        } shape;
        for (int tile = 0; tile < 8; ++tile) shape.bytes[tile] = 64, shape.rows[tile] = HALF;
        for (int tile : {0, 1, 4}) shape.rows[tile] = std::uint8_t(upper);
        for (int tile : {2, 3, 5}) shape.rows[tile] = std::uint8_t(lower);
        all_is_written(&shape);
        _tile_loadconfig(&shape);
    }
    ~Tiles() { _tile_release(); }
};

void begin(Index = SIDE) {  // tiles have as many rows as `Tiles` says
    all_is_written();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

// Adds 32 rows of the left matrix times a panel, or its upper half's alone, and does something else after each 32 of the
// depth.
template <bool LOWER = true, class Beside>
void add(const bf16* rows, Index stride, const bf16* panel, Index depth, Beside beside) {
    const bf16* lower = rows + HALF * stride;
    for (Index k = 0; k < depth; k += SIDE, panel += 2 * TILE) {
        _tile_loadd(4, rows + k, stride * sizeof(bf16));
        _tile_loadd(6, panel, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, panel + TILE, 64);
        _tile_dpbf16ps(1, 4, 7);
        if constexpr (LOWER) {
            _tile_loadd(5, lower + k, stride * sizeof(bf16));
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
        beside();
    }
}

void end(Block& block) {
    float* at = block.numbers;
    _tile_stored(0, at, SIDE * sizeof(float));
    _tile_stored(1, at + HALF, SIDE * sizeof(float));
    _tile_stored(2, at + HALF * SIDE, SIDE * sizeof(float));
    _tile_stored(3, at + HALF * SIDE + HALF, SIDE * sizeof(float));
}

}  // namespace

extern "C" int on_matrix_tiles() { return 1; }

extern "C" int usable() {  // asks the kernel, which every process has to do once
    return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* the tiles' data */) == 0;
}
