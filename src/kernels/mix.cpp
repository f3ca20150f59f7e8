// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The plain C++ arithmetic. Its loops are written so that compilers turn the common cases (flat
// arrays of samples) into vector code of the baseline instruction set.
#include "kernels/mix.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>

namespace ringmix::kernels {

namespace {

// Little endian words at any address. A lane may change under the reader: each word is loaded once.
template <class Word> Word swapped(Word word) noexcept
{
    if constexpr (std::endian::native == std::endian::little)
        return word;
    else if constexpr (sizeof(Word) == 2)
        return static_cast<Word>(__builtin_bswap16(word));
    else
        return static_cast<Word>(__builtin_bswap32(word));
}

template <class Word> Word load(const std::byte* at) noexcept
{
    Word word;
    std::memcpy(&word, at, sizeof word);
    return swapped(word);
}

template <class Word> void store(std::byte* at, Word word) noexcept
{
    word = swapped(word);
    std::memcpy(at, &word, sizeof word);
}

// The highest number, or the lowest if `sign` is negative.
constexpr std::int32_t limit(std::int32_t sign, std::int32_t highest) noexcept { return (sign >> 31) ^ highest; }

// The low 24 bits as a signed number.
std::int32_t sign24(std::uint32_t word) noexcept { return static_cast<std::int32_t>(word << 8) >> 8; }

// Lane formats: load() gives a sample of which `full_bits` bits are full scale.
struct U8 {
    static constexpr std::size_t bytes = 1;
    static constexpr int full_bits = 23;
    static std::int32_t load(const std::byte* at) noexcept { return (std::to_integer<std::int32_t>(*at) - 128) << 16; }
};

struct S16 {
    static constexpr std::size_t bytes = 2;
    static constexpr int full_bits = 23;
    static std::int32_t load(const std::byte* at) noexcept
    {
        return static_cast<std::int16_t>(kernels::load<std::uint16_t>(at)) << 8;
    }
};

struct S24 {
    static constexpr std::size_t bytes = 4;
    static constexpr int full_bits = 23;
    static std::int32_t load(const std::byte* at) noexcept { return sign24(kernels::load<std::uint32_t>(at)); }
};

struct S24In3 {
    static constexpr std::size_t bytes = 3;
    static constexpr int full_bits = 23;
    static std::int32_t load(const std::byte* at) noexcept
    {
        return sign24(std::to_integer<std::uint32_t>(at[0]) | std::to_integer<std::uint32_t>(at[1]) << 8 |
                      std::to_integer<std::uint32_t>(at[2]) << 16);
    }
    // Four samples are three words.
    static void load4(const std::byte* at, std::int32_t (&samples)[4]) noexcept
    {
        const auto a = kernels::load<std::uint32_t>(at);
        const auto b = kernels::load<std::uint32_t>(at + 4);
        const auto c = kernels::load<std::uint32_t>(at + 8);
        samples[0] = sign24(a);
        samples[1] = sign24(a >> 24 | b << 8);
        samples[2] = sign24(b >> 16 | c << 16);
        samples[3] = sign24(c >> 8);
    }
};

struct S32 {
    static constexpr std::size_t bytes = 4;
    static constexpr int full_bits = 31;
    static std::int32_t load(const std::byte* at) noexcept
    {
        return static_cast<std::int32_t>(kernels::load<std::uint32_t>(at));
    }
};

struct S32High : S32 {
    static constexpr int full_bits = 29;
};

struct Float {
    static constexpr std::size_t bytes = 4;
    static constexpr int full_bits = 31;
    static std::int32_t load(const std::byte* at) noexcept
    {
        // Masks instead of branches, or compilers give up on vectors.
        const auto bits = static_cast<std::int32_t>(kernels::load<std::uint32_t>(at));
        const std::int32_t size = bits & 0x7fffffff;
        const std::int32_t inside = (size - 0x3f800000) >> 31;    // below 1.0
        const std::int32_t number = ~((0x7f800000 - size) >> 31); // not NaN
        const std::int32_t edge = limit(bits, 0x7fffffff) & number & ~inside;
        const std::int32_t normal = (0x007fffff - size) >> 31; // a denormal is 0, and takes long to multiply
        const float y = std::bit_cast<float>(bits & inside & normal) * 0x1p31f;
        const auto whole = static_cast<std::int32_t>(y);
        const float rest = y - static_cast<float>(whole); // exact: 0 from 2^23 on
        return (whole + (rest >= 0.5f ? 1 : 0) - (rest < -0.5f ? 1 : 0)) | edge;
    }
};

// What is added to a sum for a sample as load() gave it.
struct Narrow {
    using Sum = std::int32_t;
    std::int32_t operator()(std::int32_t sample) const noexcept { return sample; }
};

template <int full_bits> struct Unity {
    using Sum = std::int64_t;
    std::int64_t operator()(std::int32_t sample) const noexcept
    {
        return static_cast<std::int64_t>(sample) << (53 - full_bits);
    }
};

template <int full_bits> struct Scaled {
    using Sum = std::int64_t;
    std::uint32_t gain;
    std::int64_t operator()(std::int32_t sample) const noexcept
    {
        // An unsigned product, corrected for negative samples: the multiplication that SSE2 has. 24 bits are brought
        // to 32; the headroom of 12 dB is in the gain.
        const auto bits = static_cast<std::uint32_t>(full_bits == 23 ? sample << 8 : sample);
        const std::uint32_t factor = full_bits == 29 ? gain << 2 : gain;
        const std::uint32_t correction = static_cast<std::uint32_t>(sample >> 31) & factor;
        return static_cast<std::int64_t>(static_cast<std::uint64_t>(bits) * factor -
                                         (static_cast<std::uint64_t>(correction) << 32));
    }
};

// Sums wrap (a gain beyond the limits is noise, not undefined behaviour).
std::int32_t wrapping_sum(std::int32_t a, std::int32_t b) noexcept
{
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) + static_cast<std::uint32_t>(b));
}

std::int64_t wrapping_sum(std::int64_t a, std::int64_t b) noexcept
{
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

template <class Format, class Term>
void add_flat(typename Term::Sum* __restrict sum, const std::byte* __restrict lane, std::size_t samples,
              Term term) noexcept
{
    std::size_t i = 0;
    if constexpr (Format::bytes == 3) {
        for (; samples - i >= 4; i += 4) {
            std::int32_t four[4];
            Format::load4(lane + i * 3, four);
            for (std::size_t k = 0; k < 4; ++k)
                sum[i + k] = wrapping_sum(sum[i + k], term(four[k]));
        }
    }
    for (; i < samples; ++i)
        sum[i] = wrapping_sum(sum[i], term(Format::load(lane + i * Format::bytes)));
}

bool is_identity(const LaneShape& shape) noexcept
{
    if (shape.channels != shape.sums)
        return false;
    for (std::uint32_t d = 0; d < shape.sums; ++d)
        if (shape.map[d] != d)
            return false;
    return true;
}

template <class Format, class Term>
void add_mapped(typename Term::Sum* __restrict sum, const std::byte* __restrict lane, std::size_t frames,
                const LaneShape& shape, Term term) noexcept
{
    const std::size_t sums = shape.sums;
    for (std::size_t d = 0; d < sums; ++d) {
        const std::size_t channel = shape.map[d];
        if (channel >= shape.channels)
            continue;
        for (std::size_t i = 0; i < frames; ++i) {
            const std::byte* at = lane + (i * shape.channels + channel) * Format::bytes;
            sum[i * sums + d] = wrapping_sum(sum[i * sums + d], term(Format::load(at)));
        }
    }
}

template <class Format, class Term>
void add(typename Term::Sum* sum, const std::byte* lane, std::size_t frames, const LaneShape& shape, Term term) noexcept
{
    if (is_identity(shape))
        add_flat<Format>(sum, lane, frames * shape.sums, term);
    else
        add_mapped<Format>(sum, lane, frames, shape, term);
}

template <class Format>
void add_wide(std::int64_t* wide, const std::byte* lane, std::size_t frames, const LaneShape& shape,
              const GainLine& gain) noexcept
{
    if (gain.length != 0) {
        for (std::size_t i = 0; i < frames; ++i) {
            const Scaled<Format::full_bits> term{gain_on(gain, i)};
            add_mapped<Format>(wide + i * shape.sums, lane + i * shape.channels * Format::bytes, 1, shape, term);
        }
    } else if (gain.from == abi::unity_gain) {
        add<Format>(wide, lane, frames, shape, Unity<Format::full_bits>{});
    } else if (gain.from != 0) {
        add<Format>(wide, lane, frames, shape, Scaled<Format::full_bits>{gain.from});
    }
}

// Device formats. A sum is over if its bits from full scale (2^23, 2^53) up are not all the sign.
// `sum` is wide + narrow with half of the format's last bit added. The bits above the sample that
// the unsigned shift leaves 0 are not stored.
template <class Format> std::int32_t shifted(std::uint64_t sum) noexcept
{
    const auto high = static_cast<std::int32_t>(sum >> 32);
    const auto sample = static_cast<std::int32_t>(static_cast<std::uint32_t>(sum >> Format::shift));
    return high >> 21 != high >> 31 ? limit(high, Format::highest) : sample;
}

struct ToS16 {
    static constexpr int shift = 38;
    static constexpr std::int32_t highest = 0x7fff;
    static constexpr std::size_t bytes = 2;
    static std::int32_t narrow(std::int32_t sum) noexcept
    {
        return (std::clamp(sum, -0x800000, 0x7fff7f) + 0x80) >> 8; // clamped first: it cannot overflow
    }
    static void store(std::byte* out, std::int32_t sample) noexcept
    {
        kernels::store(out, static_cast<std::uint16_t>(sample));
    }
};

struct ToS24 {
    static constexpr int shift = 30;
    static constexpr std::int32_t highest = 0x7fffff;
    static constexpr std::size_t bytes = 4;
    static std::int32_t narrow(std::int32_t sum) noexcept { return std::clamp(sum, -0x800000, 0x7fffff); }
    static void store(std::byte* out, std::int32_t sample) noexcept
    {
        kernels::store(out, static_cast<std::uint32_t>(sample));
    }
};

struct ToS24In3 : ToS24 {
    static constexpr std::size_t bytes = 3;
    static void store(std::byte* out, std::int32_t sample) noexcept
    {
        kernels::store(out, static_cast<std::uint16_t>(sample));
        out[2] = static_cast<std::byte>(static_cast<std::uint32_t>(sample) >> 16);
    }
    static void store4(std::byte* out, const std::int32_t (&samples)[4]) noexcept
    {
        std::uint32_t bits[4];
        for (std::size_t k = 0; k < 4; ++k)
            bits[k] = static_cast<std::uint32_t>(samples[k]) & 0xffffff;
        kernels::store(out, bits[0] | bits[1] << 24);
        kernels::store(out + 4, bits[1] >> 8 | bits[2] << 16);
        kernels::store(out + 8, bits[2] >> 16 | bits[3] << 8);
    }
};

struct ToS32 : ToS24 {
    static constexpr int shift = 22;
    static constexpr std::int32_t highest = 0x7fffffff;
    static std::int32_t narrow(std::int32_t sum) noexcept
    {
        return sum >> 23 != sum >> 31 ? limit(sum, highest) : sum << 8;
    }
};

// Writes what sample_at(0) ... sample_at(samples - 1) give.
template <class Format, class Source>
void write(std::byte* __restrict out, std::size_t samples, Source sample_at) noexcept
{
    std::size_t i = 0;
    if constexpr (Format::bytes == 3) {
        for (; samples - i >= 4; i += 4) {
            const std::int32_t four[4] = {sample_at(i), sample_at(i + 1), sample_at(i + 2), sample_at(i + 3)};
            Format::store4(out + i * 3, four);
        }
    }
    for (; i < samples; ++i)
        Format::store(out + i * Format::bytes, sample_at(i));
}

template <class Format>
void finalize_as(std::byte* __restrict out, const std::int32_t* __restrict narrow, const std::int64_t* __restrict wide,
                 std::size_t samples) noexcept
{
    if (wide == nullptr)
        return write<Format>(out, samples, [=](std::size_t i) { return Format::narrow(narrow[i]); });
    write<Format>(out, samples, [=](std::size_t i) {
        constexpr std::uint64_t half = std::uint64_t{1} << (Format::shift - 1);
        const auto scaled = static_cast<std::uint64_t>(static_cast<std::int64_t>(narrow[i]) << 30);
        return shifted<Format>(static_cast<std::uint64_t>(wide[i]) + scaled + half);
    });
}

// A sum as a float of which 1.0 is full scale, rounded to nearest, halves to even. In integers, so that it
// does not matter what rounding mode the program has set.
std::uint32_t float_of(std::int64_t sum) noexcept
{
    constexpr std::int64_t full = std::int64_t{1} << 53;
    sum = std::clamp(sum, -full, full - (1 << 22));
    if (sum == 0)
        return 0;
    auto size = static_cast<std::uint64_t>(sum < 0 ? -sum : sum);
    const int zeros = std::countl_zero(size);
    size <<= zeros;
    constexpr std::uint64_t half = std::uint64_t{1} << 39; // of the last of the 24 bits that stay
    const std::uint64_t rest = size & (2 * half - 1);
    auto kept = static_cast<std::uint32_t>(size >> 40);
    kept += rest > half || (rest == half && (kept & 1) != 0) ? 1 : 0;
    // The leading one of `kept` adds 1 to the exponent; so does rounding up to the next power of two.
    const auto exponent = static_cast<std::uint32_t>(127 + 63 - zeros - 53 - 1);
    return (sum < 0 ? 0x80000000 : 0) + (exponent << 23) + kept;
}

void finalize_float(std::byte* __restrict out, const std::int32_t* __restrict narrow,
                    const std::int64_t* __restrict wide, std::size_t samples) noexcept
{
    for (std::size_t i = 0; i < samples; ++i) {
        const auto more = static_cast<std::uint64_t>(static_cast<std::int64_t>(narrow[i]) << 30);
        const auto sum = static_cast<std::uint64_t>(wide == nullptr ? 0 : wide[i]) + more;
        store(out + 4 * i, float_of(static_cast<std::int64_t>(sum)));
    }
}

} // namespace

void accumulate_narrow(std::int32_t* narrow, const std::byte* lane, std::size_t frames, const LaneShape& shape) noexcept
{
    switch (shape.format) {
    case abi::format_u8:
        return add<U8>(narrow, lane, frames, shape, Narrow{});
    case abi::format_s16:
        return add<S16>(narrow, lane, frames, shape, Narrow{});
    case abi::format_s24:
        return add<S24>(narrow, lane, frames, shape, Narrow{});
    case abi::format_s24_3:
        return add<S24In3>(narrow, lane, frames, shape, Narrow{});
    default:
        return;
    }
}

void accumulate_wide(std::int64_t* wide, const std::byte* lane, std::size_t frames, const LaneShape& shape,
                     const GainLine& gain) noexcept
{
    static constexpr decltype(&add_wide<U8>) adders[] = {nullptr,         add_wide<U8>,     add_wide<S16>,
                                                         add_wide<S24>,   add_wide<S24In3>, add_wide<S32>,
                                                         add_wide<Float>, add_wide<S32High>};
    if (shape.format >= abi::format_u8 && shape.format < std::size(adders))
        adders[shape.format](wide, lane, frames, shape, gain);
}

void finalize(std::byte* out, std::uint32_t format, const std::int32_t* narrow, const std::int64_t* wide,
              std::size_t samples) noexcept
{
    switch (format) {
    case abi::format_s16:
        return finalize_as<ToS16>(out, narrow, wide, samples);
    case abi::format_s24:
        return finalize_as<ToS24>(out, narrow, wide, samples);
    case abi::format_s24_3:
        return finalize_as<ToS24In3>(out, narrow, wide, samples);
    case abi::format_s32:
        return finalize_as<ToS32>(out, narrow, wide, samples);
    case abi::format_float:
        return finalize_float(out, narrow, wide, samples);
    default:
        return;
    }
}

} // namespace ringmix::kernels
