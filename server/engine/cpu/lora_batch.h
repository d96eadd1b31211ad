// What lora_kernel.cpp and lora_tiles.cpp are called with, as lora_kernel.py lays it out. Numbers are bf16.

#pragma once

#include <cstdint>

struct Layer {  // projections that read the same x, and the adapters in the slots of a batch
    const std::uint16_t* const* a;  // [projections, slots]: A [rank, inputs]
    const std::uint16_t* const* b;  // and B [its width, rank]
    const std::int64_t* ranks;      // 0: the adapter leaves the projection alone
    const float* scales;            // what an adapter multiplies B A x by
    const std::int64_t* widths;     // [projections]
    std::int64_t projections, slots, inputs;

    std::int64_t at(std::int64_t projection, std::int64_t slot) const { return projection * slots + slot; }
};

struct Segments {  // of a batch, the rows of an adapter one behind the other
    const std::int64_t* rows;
    const std::int64_t* ends;   // [segments], in `rows`
    const std::int64_t* slots;  // [segments]
    std::int64_t segments;
};
