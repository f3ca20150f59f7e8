// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernels/kernels.h"

#include "ringmix/abi.h"
#include "tests/kernels/dice.h"
#include "tests/kernels/guarded.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <vector>

using namespace ringmix;
using kernels::FilterRows;
using kernels::ResampleWalk;
using kernels::Resampling;
using test::Dice;
using test::Guarded;

namespace {

constexpr double high_scale = 536870912; // 2^29

template <class Check> void for_all_variants(const Check& check)
{
    for (const kernels::Table* const* variant = kernels::usable(); *variant != nullptr; ++variant) {
        CAPTURE((*variant)->name);
        check(*(*variant)->resampling, std::strcmp((*variant)->name, "plain") != 0);
    }
}

// A filter of random rows, and noise to filter.
struct Sound {
    Sound(Dice& dice, std::uint32_t taps, std::uint32_t rows, std::uint32_t parts, std::size_t channels,
          std::size_t length)
        : numbers((rows + 1) * taps * sizeof(float)), samples(channels * length * sizeof(float)),
          plane(length), filter{reinterpret_cast<const float*>(numbers.data()), taps, rows, parts}
    {
        fill(dice, numbers, 2.0f / static_cast<float>(taps)); // so that sums reach 2, and 1 most often not
        fill(dice, samples, 1);
    }
    static void fill(Dice& dice, const Guarded& memory, float most)
    {
        for (std::size_t i = 0; i < memory.size() / sizeof(float); ++i) {
            const float x = (static_cast<float>(dice.below(1 << 24)) * 0x1p-23f - 1) * most;
            std::memcpy(memory.data() + i * sizeof x, &x, sizeof x);
        }
    }
    const float* sample(std::size_t channel) const
    {
        return reinterpret_cast<const float*>(samples.data()) + channel * plane;
    }
    // By the definition, in double.
    double reference(std::size_t channel, std::size_t tap, std::uint32_t row, std::uint32_t rest) const
    {
        const double way = static_cast<double>(rest) / filter.parts;
        const float* low = filter.rows + std::size_t{row} * filter.taps;
        double sum = 0;
        for (std::size_t t = 0; t < filter.taps; ++t)
            sum += (low[t] + way * (static_cast<double>(low[t + filter.taps]) - low[t])) * sample(channel)[tap + t];
        return sum;
    }

    Guarded numbers;
    Guarded samples;
    std::size_t plane;
    FilterRows filter;
};

// The walk of frame number `frame` of a call that began with `walk`.
ResampleWalk walk_of(const ResampleWalk& walk, const FilterRows& filter, std::size_t frame)
{
    const std::uint64_t rest = walk.rest + std::uint64_t{walk.rest_step} * frame;
    const std::uint64_t row = walk.row + std::uint64_t{walk.row_step} * frame + rest / filter.parts;
    ResampleWalk later = walk;
    later.rest = static_cast<std::uint32_t>(rest % filter.parts);
    later.row = static_cast<std::uint32_t>(row % filter.count);
    later.tap = walk.tap + walk.tap_step * frame + row / filter.count;
    return later;
}

std::vector<std::int32_t> resampled(const Resampling& r, const Sound& sound, std::size_t channels,
                                    const ResampleWalk& walk, std::size_t frames)
{
    Guarded out(frames * channels * sizeof(std::int32_t));
    r.resample(reinterpret_cast<std::int32_t*>(out.data()), channels, sound.sample(0), sound.plane, sound.filter, walk,
               frames);
    CHECK(out.intact());
    std::vector<std::int32_t> samples(frames * channels);
    std::memcpy(samples.data(), out.data(), out.size());
    return samples;
}

struct Shape {
    std::uint32_t taps;
    std::uint32_t rows;
    std::uint32_t parts;
    ResampleWalk walk;
};

// 44.1 > 48, 96 > 48, 48 > 44.1, and 44099 > 48 with rows between which frames lie.
constexpr Shape shapes[] = {
    {96, 160, 1, {5, 3, 0, 0, 147, 0}},
    {128, 1, 1, {0, 0, 0, 2, 0, 0}},
    {112, 147, 1, {2, 146, 0, 1, 13, 0}},
    {16, 1024, 48000, {1, 1023, 47999, 0, 940, 37376}},
};

float float_of(std::uint32_t bits)
{
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

} // namespace

TEST_CASE("resample: each frame is the sum of its row times the samples under it, within 4 units of 24 bits")
{
    for_all_variants([](const Resampling& r, bool) {
        Dice dice(1);
        for (const Shape& shape : shapes)
            for (const std::size_t channels : std::initializer_list<std::size_t>{1, 2, 3, 8, 32}) {
                const std::size_t frames = channels < 3 ? 331 : 21;
                const std::size_t last =
                    walk_of(shape.walk, {nullptr, shape.taps, shape.rows, shape.parts}, frames - 1).tap;
                const Sound sound(dice, shape.taps, shape.rows, shape.parts, channels, last + shape.taps);
                const auto out = resampled(r, sound, channels, shape.walk, frames);
                double squares = 0;
                for (std::size_t f = 0; f < frames; ++f) {
                    const ResampleWalk at = walk_of(shape.walk, sound.filter, f);
                    for (std::size_t c = 0; c < channels; ++c) {
                        const double wrong =
                            (out[f * channels + c] / high_scale - sound.reference(c, at.tap, at.row, at.rest)) * 0x1p23;
                        squares += wrong * wrong;
                        REQUIRE(std::abs(wrong) <= 4);
                    }
                }
                CHECK(std::sqrt(squares / static_cast<double>(frames * channels)) <= 1);
            }
    });
}

TEST_CASE("resample: a frame is the same to the bit whatever was asked for with it")
{
    for_all_variants([](const Resampling& r, bool) {
        Dice dice(2);
        for (const Shape& shape : shapes) {
            constexpr std::size_t channels = 5;
            constexpr std::size_t frames = 64;
            const std::size_t last =
                walk_of(shape.walk, {nullptr, shape.taps, shape.rows, shape.parts}, frames - 1).tap;
            Sound sound(dice, shape.taps, shape.rows, shape.parts, channels, last + shape.taps);
            const auto all = resampled(r, sound, channels, shape.walk, frames);
            for (int i = 0; i < 200; ++i) {
                const std::size_t from = dice.below(frames);
                const std::size_t count = dice.between(1, static_cast<std::uint32_t>(frames - from));
                const std::size_t some = dice.between(1, channels);
                const auto part = resampled(r, sound, some, walk_of(shape.walk, sound.filter, from), count);
                for (std::size_t f = 0; f < count; ++f)
                    for (std::size_t c = 0; c < some; ++c)
                        REQUIRE(part[f * some + c] == all[(from + f) * channels + c]);
            }
        }
    });
}

TEST_CASE("resample: who is told where the sound ends makes the same of it")
{
    for_all_variants([](const Resampling& r, bool) {
        Dice dice(7);
        for (const Shape& shape : shapes)
            for (const std::size_t channels : std::initializer_list<std::size_t>{1, 2, 3}) {
                constexpr std::size_t frames = 150;
                const std::size_t last =
                    walk_of(shape.walk, {nullptr, shape.taps, shape.rows, shape.parts}, frames - 1).tap;
                const std::size_t length = last + shape.taps;
                for (int i = 0; i < 20; ++i) {
                    const std::size_t end = dice.below(static_cast<std::uint32_t>(length));
                    const Sound ending(dice, shape.taps, shape.rows, shape.parts, channels, length);
                    for (std::size_t c = 0; c < channels; ++c)
                        std::memset(ending.samples.data() + (c * length + end) * sizeof(float), 0,
                                    (length - end) * sizeof(float));
                    ResampleWalk told = shape.walk;
                    told.end = end;
                    REQUIRE(resampled(r, ending, channels, told, frames) ==
                            resampled(r, ending, channels, shape.walk, frames));
                }
            }
    });
}

TEST_CASE("resample: what does not fit the format is cut at its limits")
{
    for_all_variants([](const Resampling& r, bool) {
        std::vector<float> numbers(32);
        numbers[3] = 1;
        const FilterRows filter{numbers.data(), 16, 1, 1};
        std::vector<float> samples(40);
        const float given[] = {1,   -1,       3.9999998f, 4,         64,       -4, -4.0000005f,
                               -64, 0x1p-29f, 0x1.8p-29f, -0x1p-29f, 0x1p-31f, 0};
        const std::int32_t expected[] = {1 << 29,
                                         -(1 << 29),
                                         0x7fffff80,
                                         0x7fffff80,
                                         0x7fffff80,
                                         std::numeric_limits<std::int32_t>::min(),
                                         std::numeric_limits<std::int32_t>::min(),
                                         std::numeric_limits<std::int32_t>::min(),
                                         1,
                                         2,
                                         -1,
                                         0,
                                         0};
        std::copy(std::begin(given), std::end(given), samples.begin() + 3);
        std::vector<std::int32_t> out(std::size(given));
        r.resample(out.data(), 1, samples.data(), samples.size(), filter, {0, 0, 0, 1, 0, 0}, out.size());
        for (std::size_t i = 0; i < out.size(); ++i) {
            CAPTURE(given[i]);
            // Above the limit, the last bits that a float does not have may be anything.
            CHECK((out[i] == expected[i] || (given[i] >= 4 && out[i] >= 0x7fffff80)));
        }
    });
}

TEST_CASE("resample: the program's own rounding does not matter")
{
    for_all_variants([](const Resampling& r, bool has_guard) {
        if (!has_guard)
            return;
        Dice dice(3);
        const Sound sound(dice, 96, 160, 1, 2, 1000);
        const ResampleWalk walk = shapes[0].walk;
        const auto usual = resampled(r, sound, 2, walk, 300);
        for (const int mode : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
            std::fesetround(mode);
            const auto other = resampled(r, sound, 2, walk, 300);
            CHECK(std::fegetround() == mode);
            std::fesetround(FE_TONEAREST);
            CHECK(usual == other);
        }
    });
}

TEST_CASE("resample: integers become floats without loss up to 24 bits")
{
    struct Row {
        std::uint32_t format;
        std::size_t bytes;
        std::uint64_t word;
        double value;
    };
    constexpr Row rows[] = {
        {abi::format_u8, 1, 0x80, 0},
        {abi::format_u8, 1, 0, -1},
        {abi::format_u8, 1, 0xff, 127 / 128.0},
        {abi::format_s16, 2, 0x8000, -1},
        {abi::format_s16, 2, 0x7fff, 32767 / 32768.0},
        {abi::format_s24, 4, 0x7f800000, -1},
        {abi::format_s24, 4, 0xff7fffff, 8388607 / 8388608.0},
        {abi::format_s24, 4, 1, 1 / 8388608.0},
        {abi::format_s24_3, 3, 0x800000, -1},
        {abi::format_s24_3, 3, 0x7fffff, 8388607 / 8388608.0},
        {abi::format_s24_3, 3, 0xffffff, -1 / 8388608.0},
        {abi::format_s32, 4, 0x80000000, -1},
        {abi::format_s32, 4, 0x7fffff80, 16777215 / 16777216.0},
        {abi::format_s32, 4, 0x7fffffff, 1}, // rounded to 24 bits
    };
    for_all_variants([&](const Resampling& r, bool) {
        for (const Row& row : rows) {
            CAPTURE(row.format);
            CAPTURE(row.word);
            constexpr std::size_t count = 35;
            for (const std::size_t step : {row.bytes, row.bytes + 1, row.bytes * 3}) {
                Guarded cells((count - 1) * step + row.bytes);
                for (std::size_t i = 0; i < count; ++i)
                    std::memcpy(cells.data() + i * step, &row.word, row.bytes);
                Guarded out(count * sizeof(float));
                auto* to = reinterpret_cast<float*>(out.data());
                r.load[row.format](to, cells.data(), step, count);
                for (std::size_t i = 0; i < count; ++i)
                    REQUIRE(to[i] == row.value);
            }
        }
    });
}

TEST_CASE("resample: floats are taken as they are, but for what cannot be summed")
{
    struct Row {
        std::uint32_t bits;
        float value;
    };
    const Row rows[] = {
        {0x3f800000, 1},  {0xbf800000, -1},       {0x42800000, 64}, {0xc2800000, -64},
        {0x42800001, 64}, {0xff7fffff, -64}, // the lowest number
        {0x7f800000, 64}, {0xff800000, -64}, // infinities
        {0x7fc00000, 0},  {0xffffffff, 0},   // no numbers
        {0x7f800001, 0},  {0x00000001, 0},   // signalling; the smallest
        {0x80000000, 0},  {0x2b800000, 0x1p-40f}, {0x2b7fffff, 0},  {0x3eaaaaab, float_of(0x3eaaaaab)},
    };
    for_all_variants([&](const Resampling& r, bool) {
        for (const Row& row : rows) {
            CAPTURE(row.bits);
            std::uint32_t cells[21];
            std::fill(std::begin(cells), std::end(cells), row.bits);
            float out[20];
            std::feclearexcept(FE_ALL_EXCEPT);
            r.load[abi::format_float](out, reinterpret_cast<const std::byte*>(cells), 4, 20);
            CHECK(std::fetestexcept(FE_INVALID) == 0);
            for (const float x : out)
                REQUIRE(x == row.value);
        }
    });
}

TEST_CASE("resample: stereo is taken apart as each channel would be")
{
    constexpr std::size_t bytes[] = {0, 1, 2, 4, 3, 4, 4};
    for_all_variants([&](const Resampling& r, bool) {
        Dice dice(4);
        for (std::uint32_t format = abi::format_u8; format <= abi::format_float; ++format)
            for (const std::size_t frames : std::initializer_list<std::size_t>{1, 7, 8, 33, 257}) {
                Guarded cells(frames * 2 * bytes[format], dice.once_in(2));
                for (std::size_t i = 0; i < cells.size(); ++i)
                    cells.data()[i] = static_cast<std::byte>(dice.below(256));
                Guarded left(frames * sizeof(float));
                Guarded right(frames * sizeof(float));
                r.load_pair[format](reinterpret_cast<float*>(left.data()), reinterpret_cast<float*>(right.data()),
                                    cells.data(), frames);
                CHECK(left.intact());
                CHECK(right.intact());
                std::vector<float> one(frames);
                r.load[format](one.data(), cells.data(), 2 * bytes[format], frames);
                CHECK(std::memcmp(one.data(), left.data(), left.size()) == 0);
                r.load[format](one.data(), cells.data() + bytes[format], 2 * bytes[format], frames);
                CHECK(std::memcmp(one.data(), right.data(), right.size()) == 0);
            }
    });
}
