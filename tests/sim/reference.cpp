// SPDX-License-Identifier: LGPL-2.1-or-later

#include "tests/sim/reference.h"

#include "tests/sim/dice.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace ringmix::sim {

namespace {

constexpr Wide full = Wide{1} << 53;

// 32 random bits for a channel; neighbours share a draw.
struct Draw {
    std::uint64_t key;
    std::uint64_t word = 0;
    std::uint32_t bits(std::uint32_t channel)
    {
        if (channel % 2 == 0)
            word = mixed(key + channel / 2);
        return static_cast<std::uint32_t>(channel % 2 == 0 ? word : word >> 32);
    }
};

Draw draw_for(const Voice& voice, std::uint32_t version, std::uint64_t position)
{
    return {voice.seed + version * 0xd1342543de82ef95 + position * abi::max_channels};
}

std::int32_t quiet(const Voice& voice, std::uint32_t bits) { return static_cast<std::int32_t>(bits) >> voice.quieter; }

float as_float(const Voice& voice, std::uint32_t bits)
{
    if (voice.odd && bits % 512 == 0)
        return bits & 1024 ? std::nanf("") : 1e30f;
    const float sample = static_cast<float>(quiet(voice, bits)) * 0x1p-31f;
    return voice.odd ? sample * 1.5f : sample;
}

// Rounded half up to 32 bits and cut there; what is not a number is silence.
std::int64_t of_float(float sample)
{
    if (std::isnan(sample))
        return 0;
    const double scaled = std::floor(static_cast<double>(sample) * 0x1p31 + 0.5);
    return static_cast<std::int64_t>(std::clamp(scaled, -0x1p31, 0x1p31 - 1));
}

// The bit of a sum that is the last one of an integer format.
unsigned last_bit_of(std::uint32_t format)
{
    return format == abi::format_s16 ? 53 - 15 : format == abi::format_s32 ? 53 - 31 : 53 - 23;
}

Wide softened(Wide sum)
{
    const Wide size = std::min<Wide>(sum < 0 ? -sum : sum, 3 * (full / 2));
    if (size <= full / 2)
        return sum;
    const Wide left = (3 * (full / 2) - size) >> 22;
    const Wide bent = full - ((left * left) >> 10);
    return sum < 0 ? -bent : bent;
}

Wide dithered(Wide sum, unsigned last_bit, std::uint64_t sample)
{
    const Wide unit = Wide{1} << last_bit;
    if ((sum & (unit - 1)) == 0)
        return sum;
    // Output number `sample` of SplitMix64, seeded with 0.
    std::uint64_t z = (sample + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    const Wide two = Wide{z >> 32} + Wide{z & 0xffffffff};
    return sum + ((two << last_bit) >> 32) - unit;
}

} // namespace

std::uint32_t bytes_of_sample(std::uint32_t format)
{
    switch (format) {
    case abi::format_u8:
        return 1;
    case abi::format_s16:
        return 2;
    case abi::format_s24_3:
        return 3;
    default:
        return 4;
    }
}

void speak(const Voice& voice, std::uint32_t version, std::uint64_t position, std::byte* out)
{
    Draw draw = draw_for(voice, version, position);
    const std::uint32_t bytes = bytes_of_sample(voice.format);
    for (std::uint32_t c = 0; c < voice.channels; c++, out += bytes) {
        const std::uint32_t bits = draw.bits(c);
        const auto sample = static_cast<std::uint32_t>(quiet(voice, bits));
        std::uint32_t word = sample;
        if (voice.format == abi::format_float)
            word = std::bit_cast<std::uint32_t>(as_float(voice, bits));
        else if (voice.format == abi::format_u8)
            word = (sample >> 24) ^ 0x80;
        else if (voice.format == abi::format_s16)
            word = sample >> 16;
        else if (voice.format == abi::format_s24)
            word = (sample >> 8 & 0xffffff) | bits << 24; // the fourth byte may be anything
        else if (voice.format == abi::format_s24_3)
            word = sample >> 8;
        std::memcpy(out, &word, sizeof word); // in one piece, over what comes next
    }
}

void values(const Voice& voice, std::uint32_t version, std::uint64_t position, std::int64_t* out)
{
    Draw draw = draw_for(voice, version, position);
    for (std::uint32_t c = 0; c < voice.channels; c++) {
        const std::uint32_t bits = draw.bits(c);
        const std::int64_t sample = quiet(voice, bits);
        if (voice.format == abi::format_float)
            out[c] = of_float(as_float(voice, bits));
        else if (voice.format == abi::format_u8)
            out[c] = sample & ~std::int64_t{0xffffff};
        else if (voice.format == abi::format_s16)
            out[c] = sample & ~std::int64_t{0xffff};
        else if (voice.format == abi::format_s32)
            out[c] = sample;
        else
            out[c] = sample & ~std::int64_t{0xff};
    }
}

std::int64_t finished(const Sink& sink, Wide sum, std::uint64_t sample)
{
    if (sink.soft)
        sum = softened(sum);
    if (sink.format == abi::format_float) {
        const Wide cut = std::clamp<Wide>(sum, -full, full - (1 << 22));
        const auto rounded = static_cast<float>(static_cast<std::int64_t>(cut)); // to nearest, halves to even
        return std::bit_cast<std::int32_t>(rounded == 0 ? 0.0f : rounded * 0x1p-53f);
    }
    const unsigned last_bit = last_bit_of(sink.format);
    if (sink.dither)
        sum = dithered(sum, last_bit, sample);
    const Wide rounded = (sum + (Wide{1} << (last_bit - 1))) >> last_bit;
    const Wide top = full >> last_bit;
    return static_cast<std::int64_t>(std::clamp<Wide>(rounded, -top, top - 1));
}

std::int64_t played_value(const Sink& sink, const std::byte* bytes)
{
    switch (sink.format) {
    case abi::format_s16: {
        std::int16_t sample = 0;
        std::memcpy(&sample, bytes, sizeof sample);
        return sample;
    }
    case abi::format_s24_3: {
        std::uint16_t low = 0;
        std::memcpy(&low, bytes, sizeof low);
        return static_cast<std::int64_t>(static_cast<std::int8_t>(bytes[2])) * 65536 + low;
    }
    default: { // S24 in 32 bits: the fourth byte is the sign
        std::int32_t sample = 0;
        std::memcpy(&sample, bytes, sizeof sample);
        return sample;
    }
    }
}

} // namespace ringmix::sim
