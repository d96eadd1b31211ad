// Adapted linear layers, y = W x + s B A x, their gradients, and their whiteners, on tiles (tiles.h).
// tile_products.py compiles this file, calls it and says what its tensors are; adapted_linear.py and whitening.py have the
// same in torch's products, which define what is right. A NaN stays within its row, but for gradients of A and B.

#include "tiles.h"

#ifdef HAS_TILES

namespace {

constexpr Index CHUNK_BYTES = 768 << 10;  // of the left matrix, which stay in the cache of a core
constexpr Index SPAN_BYTES = 160 << 10;   // of panels
constexpr Index WIDE = 4 * SIDE;          // columns for which a matrix that is summed over rows is gone through once

// A group of adapted layers that read the same input of a width, `in`. Their ranks are padded to whole blocks.
struct Group {
    const Index* outputs;
    Index members, in, rank;
    Index padded = up(rank), hidden = members * padded, out = 0;

    Group(const Index* outputs, Index members, Index in, Index rank)
        : outputs(outputs), members(members), in(in), rank(rank) {
        for (Index member = 0; member < members; ++member) out += outputs[member];
    }

    struct Place {
        Index member, begin;  // of the member's outputs
    };
    Place of_output(Index column) const {
        Index member = 0, begin = 0;
        while (column >= begin + outputs[member]) begin += outputs[member++];
        return {member, begin};
    }
    // Of 32 hidden numbers: their row in A, and how many there are behind it
    Index row(Index column) const { return column / padded * rank + column % padded; }
    Index count(Index column) const { return std::min(SIDE, rank - column % padded); }
};

// Panels side by side: what a matrix has there is read together.
void panels_of(const bf16* matrix, Index stride, Index rows, Index columns, Index depth, bf16* panels) {
    for (Index k = 0; k < depth; k += 2)
        for (Index column = 0; column < columns; column += SIDE) {
            bf16* at = panels + column * depth + k / SIDE * 2 * TILE + k % SIDE / 2 * SIDE;
            pair(matrix + column, stride, rows, SIDE, k, at, at + TILE);
        }
}

// Rows that are gone through for all columns.
Index chunk_of(Index rows, Index depth) {
    const Index fit = std::max<Index>(4 * SIDE, CHUNK_BYTES / (depth * Index(sizeof(bf16))));
    const Index chunks = std::max<Index>(1, (rows + fit - 1) / fit);
    return up((rows + chunks - 1) / chunks);
}

}  // namespace

extern "C" {

// h = s A x; y = W x + B h + bias. panels: of W transposed; h [rows, members * padded rank]
void adapted(const bf16* x, const bf16* panels, const bf16* bias, const bf16* a, const bf16* b, float scaling, bf16* h,
             bf16* y, Index rows, Index in, const Index* outputs, Index members, Index rank, Index threads) {
    const Group group(outputs, members, in, rank);
    const Index span = span_of(in, SPAN_BYTES), chunk = chunk_of(rows, in);
    bf16* a_panels = shared_memory.of(group.hidden * in);
#pragma omp parallel num_threads(int(threads))
    {
        Tiles tiles;
        Block block;
        bf16* memory = own_memory.of(SIDE * in + SIDE * group.hidden + span * group.padded);
        bf16* b_panels = memory + SIDE * (in + group.hidden);
        const Rows inputs(x, rows, in, memory);
#pragma omp for
        for (Index column = 0; column < group.hidden; column += SIDE)
            panel_of_transposed(a + group.row(column) * in, in, in, group.count(column), in, a_panels + column * in);
#pragma omp for
        for (Index row = 0; row < rows; row += SIDE)
            for (Index column = 0; column < group.hidden; column += SIDE) {
                begin(rows - row);
                add(inputs.at(row), in, a_panels + column * in, in);
                end(block);
                put(block, scaling, h + row * group.hidden + column, group.hidden, std::min(SIDE, rows - row));
            }
        const Rows inner(h, rows, group.hidden, memory + SIDE * in);
        for (Index from = 0; from < rows; from += chunk) {
            Pending pending;
#pragma omp for nowait
            for (Index left = 0; left < group.out; left += span) {
                const Index right = std::min(group.out, left + span);
                for (Index column = left; column < right; column += SIDE)
                    panel_of_transposed(b + column * rank, rank, rank, SIDE, group.padded,
                                        b_panels + (column - left) * group.padded);
                for (Index row = from; row < std::min(rows, from + chunk); row += SIDE)
                    for (Index column = left; column < right; column += SIDE) {
                        const Index hidden = group.of_output(column).member * group.padded;
                        begin(rows - row);
                        add(inputs.at(row), in, panels + column * in, in, [&] { pending(); });
                        add(inner.at(row) + hidden, group.hidden, b_panels + (column - left) * group.padded, group.padded);
                        pending.take(y + row * group.out + column, group.out, std::min(SIDE, rows - row),
                                     bias ? bias + column : nullptr, true);
                    }
            }
        }
    }
}

// dh = s Bt dy; dx = Wt dy + At dh; dA += dh xt; dB += dy ht. panels: of W
void adapted_back(const bf16* dy, const bf16* x, const bf16* h, const bf16* panels, const bf16* a, const bf16* b,
                  float scaling, bf16* da, bf16* db, bf16* dx, Index rows, Index in, const Index* outputs, Index members,
                  Index rank, Index threads) {
    const Group group(outputs, members, in, rank);
    const Index span = span_of(group.out, SPAN_BYTES), chunk = chunk_of(rows, group.out), deep = up(rows);
    bf16* b_panels = shared_memory.of(group.padded * group.out + 3 * group.hidden * deep);
    bf16* dh = b_panels + group.padded * group.out;
    bf16 *turned_dh = dh + group.hidden * deep, *turned_h = turned_dh + group.hidden * deep;
#pragma omp parallel num_threads(int(threads))
    {
        Tiles tiles;
        Block block;
        bf16* memory = own_memory.of(SIDE * group.out + span * group.hidden + WIDE * deep);
        bf16 *a_panels = memory + SIDE * group.out, *wide_panels = a_panels + span * group.hidden;
        const Rows by_outputs(dy, rows, group.out, memory);
#pragma omp for
        for (Index output = 0; output < group.out; output += SIDE) {
            const auto [member, start] = group.of_output(output);
            for (Index column = 0; column < group.padded; column += SIDE)
                panel_of(b + output * rank + column, rank, SIDE, rank - column, SIDE,
                         b_panels + start * group.padded + column * outputs[member] + (output - start) * SIDE);
        }
#pragma omp for
        for (Index row = 0; row < rows; row += SIDE) {
            Index start = 0;
            for (Index member = 0; member < members; start += outputs[member++])
                for (Index column = 0; column < group.padded; column += SIDE) {
                    const Index at = member * group.padded + column;
                    begin();
                    add(by_outputs.at(row) + start, group.out,
                        b_panels + start * group.padded + column * outputs[member], outputs[member]);
                    end(block);
                    bf16* to = dh + row * group.hidden + at;
                    put(block, scaling, to, group.hidden, SIDE);
                    transposed(to, group.hidden, SIDE, turned_dh + at * deep + row, deep);
                    transposed(h + row * group.hidden + at, group.hidden, rows - row, turned_h + at * deep + row, deep);
                }
        }
        for (Index from = 0; from < rows; from += chunk) {
            Pending pending;
#pragma omp for nowait
            for (Index left = 0; left < in; left += span) {
                const Index right = std::min(in, left + span);
                for (Index column = left; column < right; column += SIDE)
                    for (Index member = 0; member < members; ++member)
                        panel_of(a + member * rank * in + column, in, rank, SIDE, group.padded,
                                 a_panels + (column - left) * group.hidden + member * group.padded * SIDE);
                for (Index row = from; row < std::min(rows, from + chunk); row += SIDE)
                    for (Index column = left; column < right; column += SIDE) {
                        begin(rows - row);
                        add(by_outputs.at(row), group.out, panels + column * group.out, group.out, [&] { pending(); });
                        add(dh + row * group.hidden, group.hidden, a_panels + (column - left) * group.hidden, group.hidden);
                        pending.take(dx + row * in + column, in, std::min(SIDE, rows - row), nullptr, false);
                    }
            }
        }
#pragma omp for nowait
        for (Index left = 0; left < in; left += WIDE) {
            const Index right = std::min(in, left + WIDE);
            panels_of(x + left, in, rows, right - left, deep, wide_panels);
            for (Index at = 0; at < group.hidden; at += SIDE)
                for (Index column = left; column < right; column += SIDE) {
                    begin();
                    add(turned_dh + at * deep, deep, wide_panels + (column - left) * deep, deep);
                    end(block);
                    put_more(block, da + group.row(at) * in + column, in, group.count(at), SIDE);
                }
        }
#pragma omp for
        for (Index left = 0; left < group.out; left += WIDE) {
            const Index right = std::min(group.out, left + WIDE);
            panels_of(dy + left, group.out, rows, right - left, deep, wide_panels);
            for (Index at = 0; at < group.padded; at += SIDE)
                for (Index output = left; output < right; output += SIDE) {
                    const Index of_member = group.of_output(output).member * group.padded;
                    begin();
                    add(turned_h + (of_member + at) * deep, deep, wide_panels + (output - left) * deep, deep);
                    end(block);
                    transpose(block);
                    put_more(block, db + output * rank + at, rank, SIDE, rank - at);
                }
        }
    }
}

// a = scale (a - ((a D) * losses) Dt) of rows a [rows, width]. into, out: panels of D [width, count] and of Dt
void without(bf16* a, const bf16* into, const bf16* out, const float* losses, float scale, Index rows, Index width,
             Index count, Index threads) {
    bf16* inner = shared_memory.of(up(rows) * count);
#pragma omp parallel num_threads(int(threads))
    {
        Tiles tiles;
        Block block;
        const Rows whole(a, rows, width, own_memory.of(SIDE * width));
#pragma omp for collapse(2)
        for (Index row = 0; row < rows; row += SIDE)
            for (Index column = 0; column < count; column += SIDE) {
                begin();
                add(whole.at(row), width, into + column * width, width);
                end(block);
                for (Index i = 0; i < SIDE * SIDE; ++i) block.numbers[i] *= losses[column + i % SIDE];
                put(block, 1.0f, inner + row * count + column, count, SIDE);
            }
#pragma omp for collapse(2)
        for (Index row = 0; row < rows; row += SIDE)
            for (Index column = 0; column < width; column += SIDE) {
                begin(rows - row);
                add(inner + row * count, count, out + column * count, count);
                end(block);
                put_more(block, a + row * width + column, width, std::min(SIDE, rows - row), SIDE, -scale, scale);
            }
    }
}

}  // extern "C"

#endif
