// Numbers of bf16, by their bits, and the exponential function of the elementwise kernels.

#pragma once

#include <cstdint>
#include <cstring>

namespace {

inline float wide(std::uint16_t x) {
    const std::uint32_t bits = std::uint32_t(x) << 16;
    float number;
    std::memcpy(&number, &bits, sizeof number);
    return number;
}

inline std::uint16_t narrow(float x) {  // rounded to nearest, ties to even
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    const std::uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return std::uint16_t(x == x ? rounded : 0x7fc0);
}

// e^x to 2 units in the last place (Cephes: Moshier, expf.c), in a form that compilers vectorise. Beyond +-64 it does not
// change: products with what it is there are no denormal numbers, which take processors a hundred times as long.
inline float exp_of(float x) {
    x = x < -64.0f ? -64.0f : x;
    x = x > 64.0f ? 64.0f : x;
    const float nearest = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to an integer
    float n = (x * 1.44269504088896341f + nearest) - nearest;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    std::int32_t power = (std::int32_t(n) + 127) << 23;
    float scale;
    std::memcpy(&scale, &power, sizeof scale);
    return p * scale;
}

}  // namespace
