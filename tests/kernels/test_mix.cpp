// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The mixing arithmetic against a reference that is written from its definition, in 128 bits.
#include "core/format.h"
#include "core/gain.h"
#include "kernels/mix.h"
#include "tests/kernels/sums.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

using namespace ringmix;
using namespace ringmix::core;
using namespace ringmix::kernels;

namespace {

using test::Exact;

constexpr unsigned seed = 20240229;
constexpr std::uint32_t loudest = core::max_gain; // +12 dB

using Bytes = std::vector<std::byte>;

Exact floor_divide(Exact a, Exact b) { return a / b - (a % b < 0 ? 1 : 0); }

Exact saturated(Exact value, int bits)
{
    const Exact top = Exact{1} << (bits - 1);
    return std::clamp(value, -top, top - 1);
}

// `count` bytes as a signed little endian number.
std::int64_t number(const std::byte* at, std::size_t count)
{
    std::int64_t value = 0;
    for (std::size_t i = 0; i < count; ++i)
        value += std::to_integer<std::int64_t>(at[i]) << (8 * i);
    const std::int64_t sign = std::int64_t{1} << (8 * count - 1);
    return value >= sign ? value - 2 * sign : value;
}

// A float as the 32-bit number that its definition asks for, from mantissa and exponent.
Exact reference_float(const std::byte* at)
{
    float value;
    std::memcpy(&value, at, sizeof value);
    if (std::isnan(value))
        return 0;
    if (std::isinf(value))
        return saturated(value < 0 ? Exact{-1} << 60 : Exact{1} << 60, 32);
    int exponent; // value = mantissa * 2^exponent
    const Exact mantissa = static_cast<std::int64_t>(std::ldexp(std::frexp(value, &exponent), 24));
    exponent += 31 - 24;
    if (exponent >= 0)
        return saturated(exponent > 40 ? mantissa * (Exact{1} << 40) : mantissa * (Exact{1} << exponent), 32);
    if (exponent < -60)
        return 0; // half a unit and a little, or a little less
    const Exact unit = Exact{1} << -exponent;
    return saturated(floor_divide(2 * mantissa + unit, 2 * unit), 32);
}

// A sample in 32-bit scale.
Exact reference_sample(std::uint32_t format, const std::byte* at)
{
    switch (format) {
    case abi::format_u8:
        return (std::to_integer<std::int64_t>(*at) - 128) * (1 << 24);
    case abi::format_s16:
        return Exact{number(at, 2)} * (1 << 16);
    case abi::format_s24: // its fourth byte says nothing
    case abi::format_s24_3:
        return Exact{number(at, 3)} * (1 << 8);
    case abi::format_s32:
        return number(at, 4);
    case abi::format_s32_high:
        return Exact{number(at, 4)} * 4;
    default:
        return reference_float(at);
    }
}

Exact reference_gain(const GainLine& line, std::size_t frame)
{
    const Exact position = std::min(Exact{line.position} + static_cast<Exact>(frame), Exact{line.length});
    const Exact left = Exact{line.length} - position;
    return line.length == 0 ? Exact{line.from} : (line.from * left + line.to * position) / Exact{line.length};
}

struct Lane {
    Bytes memory; // ends with the last sample, so that the address sanitizer sees any read beyond
    std::size_t offset = 0;
    std::uint32_t format = 0;
    std::uint32_t channels = 1;
    std::vector<std::uint8_t> map{0};
    GainLine gain;
    bool narrow = false;
    const std::byte* data() const { return memory.data() + offset; }
    LaneShape shape() const { return {format, channels, static_cast<std::uint32_t>(map.size()), map.data()}; }
};

class Mixer {
public:
    Mixer(std::size_t frames, std::uint32_t sums)
        : frames_(frames), sums_(sums), total_(frames * sums), narrow_(total_.size() + 2, narrow_canary),
          wide_(total_.size() + 2, wide_canary)
    {
        reset();
    }

    void reset()
    {
        std::fill(narrow_.begin() + 1, narrow_.end() - 1, 0);
        std::fill(wide_.begin() + 1, wide_.end() - 1, 0);
        any_wide_ = false;
    }

    void add(const Lane& lane)
    {
        if (lane.narrow)
            return accumulate_narrow(narrow_.data() + 1, lane.data(), frames_, lane.shape());
        accumulate_wide(wide_.data() + 1, lane.data(), frames_, lane.shape(), lane.gain);
        any_wide_ = true;
    }

    void add_reference(const Lane& lane)
    {
        const std::size_t bytes = sample_bytes(lane.format);
        for (std::size_t i = 0; i < frames_; ++i)
            for (std::size_t d = 0; d < sums_; ++d)
                if (lane.map[d] < lane.channels)
                    total_[i * sums_ + d] +=
                        reference_gain(lane.gain, i) *
                        reference_sample(lane.format, lane.data() + (i * lane.channels + lane.map[d]) * bytes);
    }

    // True if the device gets what the reference says and nothing around it was touched.
    bool agrees(std::uint32_t format, std::size_t offset) const
    {
        return agrees(format, offset, wide_.data() + 1) && (any_wide_ || agrees(format, offset, nullptr));
    }

private:
    bool agrees(std::uint32_t format, std::size_t offset, const std::int64_t* wide) const
    {
        const std::size_t bytes = sample_bytes(format);
        const std::size_t end = offset + total_.size() * bytes;
        Bytes out(end + 16, std::byte{0xa5});
        finalize(out.data() + offset, format, narrow_.data() + 1, wide, total_.size());
        for (std::size_t i = 0; i < total_.size(); ++i)
            if (number(&out[offset + i * bytes], bytes) != test::device_sample(total_[i], format))
                return false;
        const auto untouched = [](std::byte byte) { return byte == std::byte{0xa5}; };
        const auto at = [&](std::size_t i) { return out.begin() + static_cast<std::ptrdiff_t>(i); };
        return std::all_of(out.begin(), at(offset), untouched) && std::all_of(at(end), out.end(), untouched) &&
               narrow_.front() == narrow_canary && narrow_.back() == narrow_canary && wide_.front() == wide_canary &&
               wide_.back() == wide_canary;
    }

    static constexpr std::int32_t narrow_canary = 0x5a5aa5a5;
    static constexpr std::int64_t wide_canary = 0x5a5aa5a55a5aa5a5;
    std::size_t frames_;
    std::size_t sums_;
    std::vector<Exact> total_; // the reference
    std::vector<std::int32_t> narrow_;
    std::vector<std::int64_t> wide_;
    bool any_wide_ = false;
};

class Chance {
public:
    std::size_t below(std::size_t count) { return engine_() % count; }
    bool one_in(std::size_t count) { return below(count) == 0; }
    std::uint64_t bits() { return engine_(); }
    std::mt19937_64& engine() { return engine_; }
    std::uint32_t channels() { return one_in(9) ? abi::max_channels : static_cast<std::uint32_t>(1 + below(8)); }

    float float_sample()
    {
        static constexpr auto nan = std::bit_cast<float>(0x7f800001);
        static constexpr float special[] = {0.0f,     1.0f,      -1.0f,  0.99999994f, -1.0000001f, 3e38f,
                                            INFINITY, -INFINITY, 1e-45f, -1e-45f,     NAN,         nan};
        if (one_in(16))
            return special[below(std::size(special))];
        if (one_in(4))
            return std::bit_cast<float>(static_cast<std::uint32_t>(bits()));
        // halves of a unit and their neighbours, and the same with fewer leading zeros, up to 1.95
        const auto halves = static_cast<float>(static_cast<int>(below(4001)) - 2000);
        const float value = std::ldexp(halves, static_cast<int>(below(23)) - 32);
        return one_in(2) ? value : std::nextafter(value, one_in(2) ? 2.0f : -2.0f);
    }

    void fill(Lane& lane)
    {
        const bool extremes = one_in(4);
        const std::size_t bytes = sample_bytes(lane.format);
        const std::uint64_t top = std::uint64_t{1} << (lane.format == abi::format_s24 ? 23 : 8 * bytes - 1);
        for (std::size_t at = lane.offset; at < lane.memory.size(); at += bytes) {
            std::uint64_t value = extremes ? (one_in(2) ? top : top - 1) : bits();
            if (lane.format == abi::format_float)
                value = std::bit_cast<std::uint32_t>(float_sample());
            for (std::size_t i = 0; i < bytes; ++i)
                lane.memory[at + i] = static_cast<std::byte>(value >> (8 * i));
        }
    }

    std::vector<std::uint8_t> map(std::uint32_t sums, std::uint32_t channels)
    {
        std::vector<std::uint8_t> map(sums);
        const std::size_t kind = below(4); // identity, one channel to all, any byte, any with some silent
        for (std::size_t d = 0; d < sums; ++d) {
            const std::size_t choices[] = {d, 0, bits(), one_in(4) ? abi::no_channel : below(channels)};
            map[d] = static_cast<std::uint8_t>(choices[kind]);
        }
        return map;
    }

    GainLine gain(std::size_t frames)
    {
        const std::uint32_t values[] = {abi::unity_gain, 0, 1, loudest, static_cast<std::uint32_t>(below(loudest))};
        GainLine gain{values[below(std::size(values))], values[below(std::size(values))]};
        if (one_in(2)) {
            const std::uint64_t lengths[] = {1 + below(2 * frames + 2), 1 + below(1u << 31), 1ull << below(32)};
            gain.length = lengths[below(3)];
            const std::uint64_t positions[] = {0, below(gain.length), gain.length >> below(3)};
            gain.position = positions[below(3)];
        }
        return gain;
    }

    Lane lane(std::size_t frames, std::uint32_t sums)
    {
        Lane lane;
        lane.format = static_cast<std::uint32_t>(1 + below(7));
        lane.channels = one_in(2) ? sums : channels();
        lane.map = map(sums, lane.channels);
        lane.offset = below(17);
        lane.memory.resize(lane.offset + frames * lane.channels * sample_bytes(lane.format));
        fill(lane);
        if (one_in(2))
            lane.gain = gain(frames);
        const bool plain = lane.gain.from == abi::unity_gain && lane.gain.length == 0;
        lane.narrow = plain && narrow_format(lane.format) && !one_in(8); // the wide sum takes everything
        return lane;
    }

private:
    std::mt19937_64 engine_{seed};
};

constexpr std::uint32_t device_formats[] = {abi::format_s16, abi::format_s24, abi::format_s24_3, abi::format_s32,
                                            abi::format_float};

// A lane of one channel, nine times the same sample.
Lane constant_lane(std::initializer_list<int> sample)
{
    Lane lane;
    lane.format = abi::format_s32;
    for (std::size_t i = 0; i < 9; ++i)
        for (const int byte : sample)
            lane.memory.push_back(static_cast<std::byte>(byte));
    return lane;
}

// A lane alone on a device of the same format: its own bytes must come out.
bool transparent(std::uint32_t format, const Bytes& in)
{
    const std::size_t samples = in.size() / sample_bytes(format);
    const std::uint8_t map[] = {0};
    const LaneShape shape{format, 1, 1, map};
    std::vector<std::int32_t> narrow(samples);
    std::vector<std::int64_t> wide(samples);
    Bytes out(in.size());
    accumulate_wide(wide.data(), in.data(), samples, shape, GainLine{});
    finalize(out.data(), format, narrow.data(), wide.data(), samples);
    if (in != out || !narrow_format(format))
        return in == out;
    accumulate_narrow(narrow.data(), in.data(), samples, shape);
    finalize(out.data(), format, narrow.data(), nullptr, samples);
    return in == out;
}

} // namespace

TEST_CASE("mix: any lanes on any device are what the reference says, in any order")
{
    MESSAGE("seed ", seed);
    Chance chance;
    for (int round = 0; round < 4000; ++round) {
        const std::size_t frames = chance.one_in(20) ? 257 : chance.below(40);
        const std::uint32_t sums = chance.channels();
        std::vector<Lane> lanes(chance.one_in(10) ? 64 : 1 + chance.below(5));
        for (Lane& lane : lanes)
            lane = chance.lane(frames, sums);
        Mixer mixer(frames, sums);
        for (const Lane& lane : lanes)
            mixer.add_reference(lane);
        for (int order = 0; order < 2; ++order) {
            std::shuffle(lanes.begin(), lanes.end(), chance.engine());
            mixer.reset();
            for (const Lane& lane : lanes)
                mixer.add(lane);
            for (const std::uint32_t format : device_formats) {
                INFO("round ", round, " frames ", frames, " sums ", sums, " lanes ", lanes.size(), " device ", format);
                REQUIRE(mixer.agrees(format, chance.below(17)));
            }
        }
    }
}

TEST_CASE("mix: one client alone is bit-transparent")
{
    Chance chance;
    Bytes s16;
    for (unsigned value = 0; value < 0x10000; ++value)
        for (const unsigned byte : {value & 0xff, value >> 8})
            s16.push_back(static_cast<std::byte>(byte));
    CHECK(transparent(abi::format_s16, s16));
    Bytes s24_3(3 * 50001);
    std::generate(s24_3.begin(), s24_3.end(), [&] { return static_cast<std::byte>(chance.bits()); });
    CHECK(transparent(abi::format_s24_3, s24_3));
    Bytes s24;
    for (std::size_t i = 0; i < s24_3.size(); i += 3) {
        s24.insert(s24.end(), &s24_3[i], &s24_3[i] + 3);
        s24.push_back((s24_3[i + 2] & std::byte{0x80}) != std::byte{0} ? std::byte{0xff} : std::byte{0});
    }
    CHECK(transparent(abi::format_s24, s24));
    Bytes s32(4 * 50001);
    std::generate(s32.begin(), s32.end(), [&] { return static_cast<std::byte>(chance.bits()); });
    CHECK(transparent(abi::format_s32, s32));
}

TEST_CASE("mix: 64 lanes of full scale at +12 dB do not overflow")
{
    for (Lane lane : {constant_lane({0, 0, 0, 0x80}), constant_lane({0xff, 0xff, 0xff, 0x7f})}) {
        lane.gain.from = loudest;
        Mixer mixer(9, 1);
        for (int i = 0; i < 64; ++i) {
            mixer.add(lane);
            mixer.add_reference(lane);
        }
        for (const std::uint32_t format : device_formats)
            CHECK(mixer.agrees(format, 1));
    }
}

TEST_CASE("mix: any narrow sum is rounded and saturated alike with and without a wide sum")
{
    Chance chance;
    std::vector<std::int32_t> narrow{INT32_MIN, INT32_MIN + 1, INT32_MAX, INT32_MAX - 127, 0x7fff7f, 0x7fff80, -1};
    for (const std::int32_t edge : {0, 127, 128, 0x7fffff, 0x800000, -0x800000, -0x800080, -0x7fff80})
        for (std::int32_t d = -2; d <= 2; ++d)
            narrow.push_back(edge + d);
    for (int i = 0; i < 20000; ++i)
        narrow.push_back(static_cast<std::int32_t>(chance.bits()) >> chance.below(24));
    const std::vector<std::int64_t> wide(narrow.size());
    for (const std::uint32_t format : device_formats) {
        const std::size_t bytes = sample_bytes(format);
        Bytes alone(narrow.size() * bytes);
        Bytes both(narrow.size() * bytes);
        finalize(alone.data(), format, narrow.data(), nullptr, narrow.size());
        finalize(both.data(), format, narrow.data(), wide.data(), narrow.size());
        bool right = true;
        for (std::size_t i = 0; i < narrow.size(); ++i)
            right =
                right && number(&alone[i * bytes], bytes) == test::device_sample(Exact{narrow[i]} * (1 << 30), format);
        CHECK(right);
        CHECK(alone == both);
    }
}

TEST_CASE("mix: an unknown format adds nothing and writes nothing")
{
    const Lane lane = constant_lane({1, 2, 3, 4});
    for (const std::uint32_t format : {0u, 8u, 0xffffffffu}) {
        const LaneShape shape{format, 1, 1, lane.map.data()};
        std::vector<std::int32_t> narrow(5);
        std::vector<std::int64_t> wide(5);
        accumulate_narrow(narrow.data(), lane.data(), 5, shape);
        accumulate_wide(wide.data(), lane.data(), 5, shape, GainLine{});
        CHECK(narrow == std::vector<std::int32_t>(5));
        CHECK(wide == std::vector<std::int64_t>(5));
    }
    const std::vector<std::int32_t> narrow(5, 1 << 20);
    for (const std::uint32_t format : {0u, abi::format_u8, 7u}) {
        Bytes out(20, std::byte{0xa5});
        finalize(out.data(), format, narrow.data(), nullptr, narrow.size());
        CHECK(out == Bytes(20, std::byte{0xa5}));
    }
}
