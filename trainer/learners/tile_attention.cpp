// Causal attention over the places of short sequences on tiles (tiles.h), and its gradients.
// kernel_pieces.py calls it, and has the same in torch's products. A NaN stays within its product.

#include "tiles.h"

#ifdef HAS_TILES

#include <cmath>
#include <utility>

namespace {

// e^x for x <= 0 to 2 units in the last place (Cephes: Moshier, expf.c); 0 where it would be denormal.
__m512 exp_of(__m512 x) {
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504088896341f)), 0);
    const __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x));
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    for (float coefficient : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(coefficient));
    p = _mm512_add_ps(_mm512_fmadd_ps(_mm512_mul_ps(p, r), r, r), _mm512_set1_ps(1.0f));
    const __mmask16 normal = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.0f), _CMP_NLT_UQ);  // a NaN stays one
    return _mm512_maskz_scalef_ps(normal, p, n);
}

__mmask16 first_of_half(Index count) { return __mmask16(first(std::max<Index>(0, std::min(count, HALF)))); }

// A row's numbers, which lie in blocks one behind the other: 16 from each half of a block.
struct Row {
    float* numbers;
    Index seen;  // how many there are

    template <class Use>
    void each(Use use) const {
        for (Index from = 0; from < seen; from += HALF)
            use(numbers + from / SIDE * SIDE * SIDE + from % SIDE, first_of_half(seen - from), from);
    }
};

// The row becomes softmax(scale * row), in bf16: `width` numbers, zeros behind those that are seen.
void softmax(Row row, float scale, Index width, bf16* to) {
    __m512 most = _mm512_set1_ps(-INFINITY), sums = _mm512_setzero_ps();
    row.each([&](float* at, __mmask16 here, Index) { most = _mm512_mask_max_ps(most, here, most, _mm512_load_ps(at)); });
    const __m512 times = _mm512_set1_ps(scale), largest = _mm512_set1_ps(_mm512_reduce_max_ps(most) * scale);
    row.each([&](float* at, __mmask16 here, Index) {
        const __m512 part = _mm512_maskz_mov_ps(here, exp_of(_mm512_fmsub_ps(_mm512_load_ps(at), times, largest)));
        sums = _mm512_add_ps(sums, part);
        _mm512_store_ps(at, part);
    });
    const __m512 share = _mm512_set1_ps(1.0f / _mm512_reduce_add_ps(sums));
    std::memset(to, 0, width * sizeof(bf16));
    row.each([&](float* at, __mmask16, Index from) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + from),
                            (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(_mm512_load_ps(at), share)));
    });
}

__m512 wide(const bf16* x) { return low(_mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)))); }

// The row of gradients by chances becomes that by scores: scale * chances * (row - sum of row * chances), as above.
void softmax_back(Row row, const bf16* chances, float scale, Index width, bf16* to) {
    __m512 sums = _mm512_setzero_ps();
    row.each([&](float* at, __mmask16 here, Index from) {
        sums = _mm512_mask3_fmadd_ps(_mm512_load_ps(at), wide(chances + from), sums, here);
    });
    const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sums)), times = _mm512_set1_ps(scale);
    std::memset(to, 0, width * sizeof(bf16));
    row.each([&](float* at, __mmask16 here, Index from) {
        const __m512 part = _mm512_mul_ps(_mm512_mul_ps(times, wide(chances + from)), _mm512_sub_ps(_mm512_load_ps(at), mean));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + from), (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_mov_ps(here, part)));
    });
}

// Panels of a matrix [rows, columns] as the right one of a product, and of its transpose.
void right_of(const bf16* matrix, Index rows, Index columns, bf16* panels) {
    for (Index column = 0; column < columns; column += SIDE)
        panel_of(matrix + column, columns, rows, SIDE, up(rows), panels + column * up(rows));
}

void right_of_transposed(const bf16* matrix, Index rows, Index columns, bf16* panels) {
    for (Index row = 0; row < rows; row += SIDE)
        panel_of_transposed(matrix + row * columns, columns, columns, rows - row, columns, panels + row * columns);
}

// 32 rows times all panels: `width` columns of results, in blocks one behind the other.
void blocks_of(const bf16* rows, Index stride, const bf16* panels, Index depth, Index width, Block* blocks) {
    for (Index column = 0; column < width; column += SIDE) {
        begin();
        add(rows, stride, panels + column * depth, depth);
        end(blocks[column / SIDE]);
    }
}

void put_all(const Block* blocks, Index width, bf16* to, Index rows) {
    for (Index column = 0; column < width; column += SIDE)
        put(blocks[column / SIDE], 1.0f, to + column, width, rows);
}

// Sizes of a product: rows of queries, places of keys, numbers of each.
struct Sizes {
    Index queries, length, size;
    Index wide = up(length), deep = up(queries), most = std::max(wide, size) / SIDE;

    Sizes(Index queries, Index length, Index size) : queries(queries), length(length), size(size) {}
    Index rows_at(Index row) const { return std::min(SIDE, queries - row); }
    Index seen(Index row) const { return row % length + 1; }
    Index scores() const { return deep * wide; }
};

// What each key head of each sequence is asked by the query heads that share it: one product each. Of each sequence, and
// behind the last, its first place and its first chance.
struct Products {
    const Index *starts, *first_chances;
    Index sequences, heads, key_heads, size;

    Index count() const { return sequences * key_heads; }
    Sizes sizes_of(Index sequence) const {
        const Index length = starts[sequence + 1] - starts[sequence];
        return {heads / key_heads * length, length, size};
    }
    Sizes largest() const {
        Index longest = 0;
        for (Index sequence = 1; sequence < sequences; ++sequence)
            if (sizes_of(sequence).length > sizes_of(longest).length) longest = sequence;
        return sizes_of(longest);
    }
};

// One of them: its sizes, and where its numbers begin.
struct Product {
    Sizes sizes;
    Index asking, asked, chances;

    Product(const Products& all, Index number) : sizes(all.sizes_of(number / all.key_heads)) {
        const Index sequence = number / all.key_heads, head = number % all.key_heads, start = all.starts[sequence];
        asking = (start * all.heads + head * sizes.queries) * sizes.size;
        asked = (start * all.key_heads + head * sizes.length) * sizes.size;
        chances = all.first_chances[sequence] + head * sizes.scores();
    }
};

// Memory for blocks, before memory for numbers
Block* blocks_in(bf16* memory) { return reinterpret_cast<Block*>(memory); }
constexpr Index BLOCK = sizeof(Block) / sizeof(bf16);

}  // namespace

extern "C" {

// chances = softmax(scale q kt) over the places up to a query's own; y = chances v. Sequence by sequence: q, y [heads,
// length, size], k, v [key heads, length, size], chances [key heads, rounded queries, rounded length], where the queries of
// a key head are those of the heads that share it, one behind the other
void attention(const bf16* q, const bf16* k, const bf16* v, const Index* starts, const Index* first_chances, float scale,
               bf16* chances, bf16* y, Index sequences, Index heads, Index key_heads, Index size, Index threads) {
    const Products products{starts, first_chances, sequences, heads, key_heads, size};
    const Sizes largest = products.largest();
#pragma omp parallel num_threads(int(threads))
    {
        Tiles tiles;
        bf16* memory = own_memory.of(largest.most * BLOCK + 2 * largest.wide * size + SIDE * size);
        Block* blocks = blocks_in(memory);
        bf16 *keys = memory + largest.most * BLOCK, *values = keys + largest.wide * size, *copy = values + largest.wide * size;
#pragma omp for schedule(dynamic)
        for (Index number = 0; number < products.count(); ++number) {
            const Product product(products, number);
            const Sizes& sizes = product.sizes;
            const Rows rows(q + product.asking, sizes.queries, size, copy);
            right_of_transposed(k + product.asked, sizes.length, size, keys);
            right_of(v + product.asked, sizes.length, size, values);
            for (Index row = 0; row < sizes.queries; row += SIDE) {
                blocks_of(rows.at(row), size, keys, size, sizes.wide, blocks);
                bf16* shares = chances + product.chances + row * sizes.wide;
                for (Index i = 0; i < sizes.rows_at(row); ++i)
                    softmax({blocks->numbers + i * SIDE, sizes.seen(row + i)}, scale, sizes.wide, shares + i * sizes.wide);
                std::memset(shares + sizes.rows_at(row) * sizes.wide, 0,
                            (SIDE - sizes.rows_at(row)) * sizes.wide * sizeof(bf16));
                blocks_of(shares, sizes.wide, values, sizes.wide, size, blocks);
                put_all(blocks, size, y + product.asking + row * size, sizes.rows_at(row));
            }
        }
    }
}

// dv = chancest dy; by scores, ds = scale * chances * (dy vt - its mean by chances); dq = ds k; dk = dst q
void attention_back(const bf16* q, const bf16* k, const bf16* v, const bf16* chances, const Index* starts,
                    const Index* first_chances, float scale, const bf16* dy, bf16* dq, bf16* dk, bf16* dv, Index sequences,
                    Index heads, Index key_heads, Index size, Index threads) {
    const Products products{starts, first_chances, sequences, heads, key_heads, size};
    const Sizes largest = products.largest();
#pragma omp parallel num_threads(int(threads))
    {
        Tiles tiles;
        const Index panels = 2 * (largest.wide + largest.deep) * size;
        bf16* memory = own_memory.of(largest.most * BLOCK + panels + SIDE * (size + largest.wide) + 2 * largest.scores());
        auto taken = [&](Index numbers) { return std::exchange(memory, memory + numbers); };
        Block* blocks = blocks_in(taken(largest.most * BLOCK));
        bf16 *keys = taken(largest.wide * size), *values = taken(largest.wide * size);
        bf16 *asked = taken(largest.deep * size), *by = taken(largest.deep * size);
        bf16 *copy = taken(SIDE * size), *by_scores = taken(SIDE * largest.wide);
        bf16 *turned_scores = taken(largest.scores()), *turned_chances = taken(largest.scores());
#pragma omp for schedule(dynamic)
        for (Index number = 0; number < products.count(); ++number) {
            const Product product(products, number);
            const Sizes& sizes = product.sizes;
            const Rows rows(dy + product.asking, sizes.queries, size, copy);
            right_of(k + product.asked, sizes.length, size, keys);
            right_of_transposed(v + product.asked, sizes.length, size, values);
            right_of(q + product.asking, sizes.queries, size, asked);
            right_of(dy + product.asking, sizes.queries, size, by);
            for (Index row = 0; row < sizes.queries; row += SIDE) {
                const bf16* given = chances + product.chances + row * sizes.wide;
                blocks_of(rows.at(row), size, values, size, sizes.wide, blocks);
                std::memset(by_scores, 0, SIDE * sizes.wide * sizeof(bf16));
                for (Index i = 0; i < sizes.rows_at(row); ++i)
                    softmax_back({blocks->numbers + i * SIDE, sizes.seen(row + i)}, given + i * sizes.wide, scale,
                                 sizes.wide, by_scores + i * sizes.wide);
                blocks_of(by_scores, sizes.wide, keys, sizes.wide, size, blocks);
                put_all(blocks, size, dq + product.asking + row * size, sizes.rows_at(row));
                for (Index column = 0; column < sizes.wide; column += SIDE) {
                    const Index to = column * sizes.deep + row;
                    transposed(by_scores + column, sizes.wide, SIDE, turned_scores + to, sizes.deep);
                    transposed(given + column, sizes.wide, SIDE, turned_chances + to, sizes.deep);
                }
            }
            for (Index place = 0; place < sizes.length; place += SIDE) {
                const Index to = product.asked + place * size, here = std::min(SIDE, sizes.length - place);
                blocks_of(turned_scores + place * sizes.deep, sizes.deep, asked, sizes.deep, size, blocks);
                put_all(blocks, size, dk + to, here);
                blocks_of(turned_chances + place * sizes.deep, sizes.deep, by, sizes.deep, size, blocks);
                put_all(blocks, size, dv + to, here);
            }
        }
    }
}

}  // extern "C"

#endif
