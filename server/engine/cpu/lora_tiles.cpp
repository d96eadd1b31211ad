// The LoRA deltas of adapters with many rows in a batch, on tiles (lift/tiles.h): y += scale * B A x, as
// lora_kernel.cpp has it, whose arguments these are. lora_kernel.py compiles this file and calls it.
//
// Widths are multiples of 32; each projection's rank is rounded up to one.

#include "lora_batch.h"
#include "tiles.h"

#ifdef HAS_TILES

#include <vector>

namespace {

constexpr Index WIDE = 4 * SIDE;  // outputs of a task

// One adapter's rows, where each projection's numbers are among the hidden ones, and memory that all threads share.
struct Own {
    const Layer& layer;
    const Index* rows;
    Index count, slot, hidden;
    bf16 *a_panels = nullptr, *h = nullptr;

    Own(const Layer& layer, const Index* rows, Index count, Index slot)
        : layer(layer), rows(rows), count(count), slot(slot), hidden(begin(layer.projections)) {}

    Index room() const { return hidden * (layer.inputs + up(count)); }
    void take(bf16* memory) { a_panels = memory, h = memory + hidden * layer.inputs; }
    Index rank(Index p) const { return layer.ranks[layer.at(p, slot)]; }
    Index begin(Index p) const {
        Index found = 0;
        for (Index before = 0; before < p; ++before) found += up(rank(before));
        return found;
    }
    const bf16* a(Index p) const { return layer.a[layer.at(p, slot)]; }
    const bf16* b(Index p) const { return layer.b[layer.at(p, slot)]; }
    float scale(Index p) const { return layer.scales[layer.at(p, slot)]; }
};

// 32 rows of x, zeros where there are fewer; where they stand together they are read as they lie.
const bf16* rows_of(const bf16* x, Index width, const Index* rows, Index count, bf16* copy) {
    if (count >= SIDE && rows[SIDE - 1] - rows[0] == SIDE - 1) return x + rows[0] * width;
    for (Index row = 0; row < std::min(SIDE, count); ++row)
        std::memcpy(copy + row * width, x + rows[row] * width, width * sizeof(bf16));
    if (count < SIDE) std::memset(copy + count * width, 0, (SIDE - count) * width * sizeof(bf16));
    return copy;
}

// y[row of each] += the block's rows.
void add_rows(const Block& block, bf16* y, Index width, const Index* rows, Index count) {
    for (Index row = 0; row < std::min(SIDE, count); ++row) add_to(block.numbers + row * SIDE, y + rows[row] * width);
}

// The three parts of an adapter's deltas, whose loops are shared by the threads of a team.
void lay_out_a(const Own& own) {
    const Index inputs = own.layer.inputs;
    for (Index p = 0; p < own.layer.projections; ++p)
#pragma omp for schedule(dynamic) nowait
        for (Index r = 0; r < own.rank(p); r += SIDE)
            panel_of_transposed(own.a(p) + r * inputs, inputs, inputs, own.rank(p) - r, inputs,
                                own.a_panels + (own.begin(p) + r) * inputs);
}

void shrink(const Own& own, const bf16* x, float scale) {
    const Index inputs = own.layer.inputs;
    bf16* copy = own_memory.of(SIDE * inputs);
    Block block;
#pragma omp for schedule(dynamic) nowait
    for (Index row = 0; row < own.count; row += SIDE) {
        const bf16* here = rows_of(x, inputs, own.rows + row, own.count - row, copy);
        for (Index p = 0; p < own.layer.projections; ++p)
            for (Index column = own.begin(p); column < own.begin(p + 1); column += SIDE) {
                begin(own.count - row);
                add(here, inputs, own.a_panels + column * inputs, inputs);
                end(block);
                put(block, scale * own.scale(p), own.h + row * own.hidden + column, own.hidden, SIDE);
            }
    }
}

void expand(const Own& own, bf16* y, Index y_width) {
    bf16* panels = own_memory.of(WIDE * own.hidden);
    Block block;
    Index start = 0;
    for (Index p = 0; p < own.layer.projections; start += own.layer.widths[p++]) {
        const Index rank = own.rank(p), depth = up(rank), width = rank ? own.layer.widths[p] : 0;
#pragma omp for schedule(dynamic) nowait
        for (Index left = 0; left < width; left += WIDE) {
            const Index right = std::min(width, left + WIDE);
            for (Index output = left; output < right; output += SIDE)
                panel_of_transposed(own.b(p) + output * rank, rank, rank, SIDE, depth, panels + (output - left) * depth);
            for (Index row = 0; row < own.count; row += SIDE)
                for (Index output = left; output < right; output += SIDE) {
                    begin(own.count - row);
                    add(own.h + row * own.hidden + own.begin(p), own.hidden, panels + (output - left) * depth, depth);
                    end(block);
                    add_rows(block, y + start + output, y_width, own.rows + row, own.count - row);
                }
        }
    }
}

}  // namespace

extern "C" void add_lora(bf16* y, Index y_width, const bf16* x, const Layer* layer, const Segments* batch, float scale,
                         Index threads) {
    std::vector<Own> owns;
    Index room = 0, first_row = 0;
    for (Index segment = 0; segment < batch->segments; first_row = batch->ends[segment++]) {
        owns.emplace_back(*layer, batch->rows + first_row, batch->ends[segment] - first_row, batch->slots[segment]);
        room += owns.back().room();
    }
    bf16* memory = shared_memory.of(room);
    for (Own& own : owns) own.take(memory), memory += own.room();
#pragma omp parallel num_threads(int(threads))
    {
        Tiles tiles;
        for (const Own& own : owns) lay_out_a(own);
#pragma omp barrier
        for (const Own& own : owns) shrink(own, x, scale);
#pragma omp barrier
        for (const Own& own : owns) expand(own, y, y_width);
    }
}

#endif
