// SPDX-License-Identifier: LGPL-2.1-or-later
//
// reference.h: the arithmetic of docs/mixing.md once more, plainly and in wide integers: what samples are worth,
// what becomes of their sum. Shares no code with the product.

#pragma once

#include "ringmix/abi.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace ringmix::sim {

using Wide = __int128;

// What a program writes: noise that follows from who, which of its writings, and where.
struct Voice {
    std::uint64_t seed = 0;
    std::uint32_t format = abi::format_s16;
    std::uint32_t channels = 2;
    std::uint32_t quieter = 0; // by so many times 6 dB
    bool odd = false;          // FLOAT: also what is not a number, and beyond full scale
};

std::uint32_t bytes_of_sample(std::uint32_t format);
// The frame at `position` in writing `version`: its bytes, at `out`, and up to 3 of nothing behind them.
void speak(const Voice& voice, std::uint32_t version, std::uint64_t position, std::byte* out);
// The same samples as numbers of full scale 2^31.
void values(const Voice& voice, std::uint32_t version, std::uint64_t position, std::int64_t* out);

// from at position 0, to at position length; rounded down, 22 bits behind the point.
inline std::uint64_t on_line(std::uint64_t from, std::uint64_t to, std::uint64_t position, std::uint64_t length)
{
    return position >= length ? to : (from * (length - position) + to * position) / length;
}

struct Sink { // the device, as far as arithmetic goes
    std::uint32_t format;
    std::uint32_t channels;
    bool soft = false;
    bool dither = false;
};

// `sum` (full scale 2^53) of sample number `sample` as the device plays it: a number that equal bytes have.
std::int64_t finished(const Sink& sink, Wide sum, std::uint64_t sample);
// The same of the bytes that were played.
std::int64_t played_value(const Sink& sink, const std::byte* bytes);

} // namespace ringmix::sim
