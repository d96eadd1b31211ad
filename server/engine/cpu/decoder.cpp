// Decoder layers of Llama's shape on tiles (lift/tiles.h): all that stands before and behind attention in one call
// each, with the LoRA deltas of a batch's adapters. decoder_kernel.py compiles this file and lays out what it is called
// with; decoder.py puts it in the place of vLLM's layers, which define what is right.
//
// Widths are multiples of 32. Numbers are bf16 in memory and fp32 in between; all pointers are to contiguous rows.

#include "lora_batch.h"
#include "numbers.h"
#include "tiles.h"

#ifdef HAS_TILES

#include <atomic>
#include <cmath>

namespace {

constexpr Index SPAN_BYTES = 80 << 10;     // of panels, which stay in a core's cache for all rows of a chunk
constexpr Index CHUNK_BYTES = 1024 << 10;  // of rows, likewise for all panels of a span
constexpr Index NUMBERS_ALONE = 16 << 10;  // so many are gone through by one thread

struct Linear {  // y = W x + bias + B A x
    const bf16* panels;  // of W transposed
    const bf16* bias;    // [out], or none
    const Layer* lora;   // or none
    Index in, out;
};

struct Decoder {
    Linear qkv, o, gate_up, down;
    const bf16 *input_norm, *inner_norm;  // [width]
    const bf16* turns;                    // [positions, head]: half of them cosines, then sines
    Index heads, key_heads, head;
    float epsilon;
};

using AddLora = void (*)(bf16*, Index, const bf16*, const Layer*, const Segments*, float, Index);

struct Deltas {  // of one linear layer in a batch: adapters with few rows, and with many; or none
    const Segments *few, *many;
};

struct Step {
    const Index* positions;  // [rows]
    Index rows, threads;
    AddLora add_few, add_many;
};

Index chunk_of(Index depth) { return std::max<Index>(4 * SIDE, CHUNK_BYTES / (depth * Index(sizeof(bf16))) / SIDE * SIDE); }

// At most 32 rows: the tiles have as many, so that nothing is copied, nor computed in vain.
void product_of_few(const bf16* x, const Linear& linear, bf16* y, const Step& step) {
    const Index in = linear.in, out = linear.out, upper = std::min(step.rows, HALF), lower = step.rows - upper;
#pragma omp parallel num_threads(int(step.threads))
    {
        const Tiles tiles(upper, std::max<Index>(1, lower));
        Block block;
#pragma omp for schedule(dynamic, 4) nowait
        for (Index column = 0; column < out; column += SIDE) {
            begin(step.rows);
            if (lower)
                add(x, in, linear.panels + column * in, in);
            else
                add<false>(x, in, linear.panels + column * in, in, [] {});
            end(block);
            const bf16* bias = linear.bias ? linear.bias + column : nullptr;
            Put{block.numbers, y + column, out, step.rows, 1.0f, bias}.write(SIDE);
        }
    }
}

// Brings panels closer, some lines at a time.
class Ahead {
public:
    Ahead(const bf16* from, const bf16* to, Index lines) : at_(from), to_(to), lines_(lines) {}
    void operator()() {
        for (Index line = 0; line < lines_ && at_ < to_; ++line, at_ += SIDE) _mm_prefetch(at_, _MM_HINT_T1);
    }

private:
    const bf16 *at_, *to_;
    Index lines_;
};

void product_of_many(const bf16* x, const Linear& linear, bf16* y, const Step& step) {
    const Index in = linear.in, out = linear.out, rows = step.rows, span = span_of(in, SPAN_BYTES), chunk = chunk_of(in);
    const Index spans = (out + span - 1) / span, tasks = (rows + chunk - 1) / chunk * spans;
    std::atomic<Index> untaken{0};
#pragma omp parallel num_threads(int(step.threads))
    {
        Tiles tiles;
        Pending pending;
        const Rows inputs(x, rows, in, own_memory.of(SIDE * in));
        auto left_of = [&](Index task) { return task % spans * span; };
        auto right_of = [&](Index task) { return std::min(out, left_of(task) + span); };
        for (Index task = untaken++, next; task < tasks; task = next) {
            next = untaken++;
            const Index from = task / spans * chunk, to = std::min(rows, from + chunk);
            const bf16 *first = linear.panels + left_of(next) * in, *last = linear.panels + right_of(next) * in;
            Ahead ahead(first, next < tasks ? last : first, std::max<Index>(1, SIDE * SIDE / (to - from)));
            for (Index row = from; row < to; row += SIDE)
                for (Index column = left_of(task); column < right_of(task); column += SIDE) {
                    begin(rows - row);
                    add(inputs.at(row), in, linear.panels + column * in, in, [&] { pending(), ahead(); });
                    const bf16* bias = linear.bias ? linear.bias + column : nullptr;
                    pending.take(y + row * out + column, out, std::min(SIDE, rows - row), bias, false);
                }
        }
    }
}

void product(const bf16* x, const Linear& linear, bf16* y, const Step& step) {
    if (step.rows <= SIDE)
        product_of_few(x, linear, y, step);
    else
        product_of_many(x, linear, y, step);
}

void adapted(const bf16* x, const Linear& linear, const Deltas& deltas, bf16* y, const Step& step) {
    product(x, linear, y, step);
    if (deltas.few) step.add_few(y, linear.out, x, linear.lora, deltas.few, 1.0f, step.threads);
    if (deltas.many) step.add_many(y, linear.out, x, linear.lora, deltas.many, 1.0f, step.threads);
}

// sum += x, where there is a sum, else it is x; normed = weight * sum / sqrt(mean sum^2 + epsilon)
void norm(const bf16* x, bool is_sum, const bf16* weight, float epsilon, bf16* sum, bf16* normed, Index width,
          const Step& step) {
#pragma omp parallel for num_threads(int(step.threads)) if (step.rows * width > NUMBERS_ALONE)
    for (Index row = 0; row < step.rows; ++row) {
        const bf16* more = x + row * width;
        bf16 *own = sum + row * width, *to = normed + row * width;
        float squares = 0;
#pragma omp simd reduction(+ : squares)
        for (Index i = 0; i < width; ++i) {
            const bf16 both = is_sum ? narrow(wide(own[i]) + wide(more[i])) : more[i];
            own[i] = both;
            squares += wide(both) * wide(both);
        }
        const float scale = 1.0f / std::sqrt(squares / float(width) + epsilon);
#pragma omp simd
        for (Index i = 0; i < width; ++i) to[i] = narrow(wide(own[i]) * scale * wide(weight[i]));
    }
}

// Queries and keys of qkv [rows, (heads + 2 key heads) * head], turned by their places.
void turn(const Decoder& layer, bf16* qkv, const Step& step) {
    const Index turned = layer.heads + layer.key_heads, half = layer.head / 2, width = layer.qkv.out;
#pragma omp parallel for num_threads(int(step.threads)) if (step.rows * width > NUMBERS_ALONE)
    for (Index row = 0; row < step.rows; ++row) {
        const bf16 *cosines = layer.turns + step.positions[row] * layer.head, *sines = cosines + half;
        for (Index head = 0; head < turned; ++head) {
            bf16 *first = qkv + row * width + head * layer.head, *second = first + half;
#pragma omp simd
            for (Index i = 0; i < half; ++i) {
                const float low = wide(first[i]), high = wide(second[i]), cosine = wide(cosines[i]), sine = wide(sines[i]);
                first[i] = narrow(low * cosine - high * sine);
                second[i] = narrow(high * cosine + low * sine);
            }
        }
    }
}

// gate / (1 + e^-gate) * up of rows [gate, up]
void gate(const bf16* gate_up, bf16* gated, Index width, const Step& step) {
#pragma omp parallel for num_threads(int(step.threads)) if (step.rows * width > NUMBERS_ALONE)
    for (Index row = 0; row < step.rows; ++row) {
        const bf16 *gates = gate_up + 2 * row * width, *ups = gates + width;
        bf16* to = gated + row * width;
#pragma omp simd
        for (Index i = 0; i < width; ++i) {
            const float of_gate = wide(gates[i]);
            to[i] = narrow(of_gate / (1.0f + exp_of(-of_gate)) * wide(ups[i]));
        }
    }
}

thread_local Scratch normed_memory, inner_memory, gated_memory;

}  // namespace

extern "C" {

// W [outputs, inputs] as the products read it
void lay_out(const bf16* weight, bf16* panels, Index outputs, Index inputs) {
#pragma omp parallel for
    for (Index column = 0; column < outputs; column += SIDE)
        panel_of_transposed(weight + column * inputs, inputs, inputs, SIDE, inputs, panels + column * inputs);
}

void linear(const Linear* linear, const Step* step, const bf16* x, bf16* y) { product(x, *linear, y, *step); }

// From x and the sum of what is before it, or x alone, to queries, keys and values
void before_attention(const Decoder* layer, const Step* step, const Deltas* deltas, const bf16* x, bf16* sum, int is_sum,
                      bf16* qkv) {
    const Index width = layer->qkv.in;
    bf16* normed = normed_memory.of(step->rows * width);
    norm(x, is_sum, layer->input_norm, layer->epsilon, sum, normed, width, *step);
    adapted(normed, layer->qkv, deltas[0], qkv, *step);
    turn(*layer, qkv, *step);
}

// From what attention found to what the layer adds to the sum
void behind_attention(const Decoder* layer, const Step* step, const Deltas* deltas, const bf16* found, bf16* sum,
                      bf16* added) {
    const Index width = layer->o.out, inner = layer->down.in;
    bf16* normed = normed_memory.of(step->rows * width);
    bf16* gate_up = inner_memory.of(step->rows * 2 * inner);
    bf16* gated = gated_memory.of(step->rows * inner);
    adapted(found, layer->o, deltas[1], added, *step);
    norm(added, true, layer->inner_norm, layer->epsilon, sum, normed, width, *step);
    adapted(normed, layer->gate_up, deltas[2], gate_up, *step);
    gate(gate_up, gated, inner, *step);
    adapted(gated, layer->down, deltas[3], added, *step);
}

}  // extern "C"

#endif
