// What lora_kernel.cpp and lora_tiles.cpp are called with, as server/engine/lora_kernel.py lays it out. Numbers are bf16.

#pragma once

#include <cstdint>

struct Layer {  // projections that read the same x
    const std::uint16_t* const* a;  // of each: A [slots, rank_room, inputs]
    const std::uint16_t* const* b;  // and B [slots, its width, rank_room]
    const std::int64_t* ranks;      // [projections, slots]
    const std::int64_t* widths;     // [projections]
    std::int64_t projections, slots, inputs, rank_room;
};

struct Segments {  // of a batch, the rows of an adapter one behind the other
    const std::int64_t* rows;
    const std::int64_t* ends;   // [segments], in `rows`
    const std::int64_t* slots;  // [segments]
    std::int64_t segments;
};
