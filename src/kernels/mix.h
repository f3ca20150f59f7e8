// SPDX-License-Identifier: LGPL-2.1-or-later
//
// mix.h: the arithmetic of mixing. Pure functions on arrays: no allocation, noexcept, any thread.
//
// Sums are integers, so that neither the order of the lanes nor the instruction set ever shows:
//
//   narrow  int32, 24-bit scale (full scale = 2^23): U8, S16, S24 and S24_3 lanes at unity gain;
//           64 lanes need 30 bits
//   wide    int64, 32-bit scale with 22 fractional bits (full scale = 2^53): S32, FLOAT and S32_HIGH
//           lanes, and any lane with a gain or in a fade; 64 lanes at +12 dB need 62 bits, or, of
//           S32_HIGH at the limits of that, 64 (0.995 * 2^63)
//
// `finalize` adds both, rounds once (half up) to the device's format and saturates. A FLOAT lane is
// rounded (half up) and clamped to 32 bits once; NaN is silence. A FLOAT device gets the sum, clamped
// to [-2^53, 2^53 - 2^22], times 2^-53, rounded once (to nearest, halves to even).
//
// Two things can be asked for before that. Both take the sum of both kinds; the functions are in kernels.h:
//
//   soften  (--clip soft) x -> sign(x) * (1 - (3/2 - |x|)^2 / 2) for |x| from 1/2 to 3/2, where 1 is
//           full scale: below nothing changes, above it is full scale. In integers: with a = min(|x|,
//           3 * 2^52), above 2^52, d = (3 * 2^52 - a) >> 22, it is 2^53 - ((d * d) >> 10)
//   dither  (--dither tpdf) adds u1 + u2 - 1 device units, where u1 and u2 are the halves of a random
//           word, from 0 to 1, that the sample's number alone decides: absolute frame * device
//           channels + channel. A sum that need not be rounded is left alone
//
// All kernels read lanes that other processes may be writing at the same moment: the result of such a race is
// garbage in that sample and is recombined by whoever sees the block's version move. Such plain racing reads
// happen in this room and nowhere else.

#pragma once

#include "kernels/gain_line.h"
#include "ringmix/abi.h"

#include <cstddef>
#include <cstdint>

namespace ringmix::kernels {

// Where the samples of a lane go.
struct LaneShape {
    std::uint32_t format;    // abi::format_*
    std::uint32_t channels;  // samples in a frame of the lane
    std::uint32_t sums;      // samples in a frame of the sum (the device's channels)
    const std::uint8_t* map; // for each of the `sums` channels: lane channel or abi::no_channel;
                             // an index >= channels counts as no_channel
};

// True if a lane of this format at unity gain fits the narrow sum.
constexpr bool narrow_format(std::uint32_t format) noexcept
{
    return format >= abi::format_u8 && format <= abi::format_s24_3;
}

// The bit of a wide sum that is the last bit of an integer device format.
constexpr std::uint32_t last_bit(std::uint32_t format) noexcept
{
    return format == abi::format_s16 ? 38 : format == abi::format_s32 ? 22 : 30;
}

// narrow[i * sums + d] += sample(i, map[d]), for `frames` frames at `lane` (any alignment).
void accumulate_narrow(std::int32_t* narrow, const std::byte* lane, std::size_t frames,
                       const LaneShape& shape) noexcept;

// wide[i * sums + d] += sample32(i, map[d]) * gain of frame i, where frame 0 is at gain.position of
// the line (gain_line.h) and frames behind its length have gain.to.
void accumulate_wide(std::int64_t* wide, const std::byte* lane, std::size_t frames, const LaneShape& shape,
                     const GainLine& gain) noexcept;

// Writes `samples` samples in device format `format` to `out` (any alignment; only ever written,
// never read). `wide` may be null: nothing wide was summed.
void finalize(std::byte* out, std::uint32_t format, const std::int32_t* narrow, const std::int64_t* wide,
              std::size_t samples) noexcept;

} // namespace ringmix::kernels
