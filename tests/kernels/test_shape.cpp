// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Soft clipping, dither and FLOAT devices in every variant of the kernels, against sums in 128 bits;
// and whether the dither is the noise that it should be.
#include "kernels/kernels.h"
#include "kernels/mix.h"
#include "tests/kernels/dice.h"
#include "tests/kernels/sums.h"

#include <doctest/doctest.h>

#include <array>
#include <cfenv>
#include <cstring>
#include <vector>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

using namespace ringmix;
using namespace ringmix::kernels;
using test::Dice;
using test::Exact;

namespace {

constexpr std::uint32_t integer_formats[] = {abi::format_s16, abi::format_s24, abi::format_s24_3, abi::format_s32};
constexpr auto full = static_cast<std::int64_t>(test::full_scale);

template <class Check> void each_variant(Check check)
{
    for (const Table* const* variant = usable(); *variant != nullptr; ++variant) {
        CAPTURE((*variant)->name);
        check(**variant);
    }
}

// Sums of all sizes, and those where the curve or a rounding turns.
std::int64_t some_sum(Dice& dice)
{
    static constexpr std::int64_t edges[] = {0, full / 2, full, full / 2 * 3, 2 * full, std::int64_t{1} << 61};
    const std::int64_t near = static_cast<std::int64_t>(dice.below(9)) - 4;
    if (dice.once_in(16))
        return dice.once_in(2) ? INT64_MIN + dice.below(3) : INT64_MAX - dice.below(3);
    if (dice.once_in(4))
        return (dice.once_in(2) ? 1 : -1) * (edges[dice.below(std::size(edges))] + (near << dice.below(40)));
    const std::int64_t any = static_cast<std::int64_t>(dice.word()) >> dice.below(64);
    return dice.once_in(2) ? any : any & ~((std::int64_t{1} << 38) - 1); // needs no rounding
}

// Whether `change` makes of each sum what `expected` says, and touches nothing around them.
template <class Change, class Expected>
bool changes_rightly(Dice& dice, std::size_t samples, Change change, Expected expected)
{
    const std::size_t room = 1 + dice.below(8); // also shifts the address
    std::vector<std::int64_t> sums(samples + 2 * room);
    for (std::int64_t& sum : sums)
        sum = some_sum(dice);
    const std::vector<std::int64_t> before = sums;
    change(sums.data() + room);
    bool right = true;
    for (std::size_t i = 0; i < sums.size(); ++i) {
        const bool inside = i >= room && i < room + samples;
        right &= Exact{sums[i]} == (inside ? expected(before[i], i - room) : Exact{before[i]});
    }
    return right;
}

template <class Check> void each_length(Dice& dice, Check check)
{
    for (std::size_t samples = 0; samples < 140; ++samples)
        check(samples);
    for (int round = 0; round < 60; ++round)
        check(dice.below(700));
}

std::int64_t softened(const Table& k, std::int64_t sum)
{
    k.soften(&sum, 1);
    return sum;
}

} // namespace

TEST_CASE("shape: narrow sums are folded into wide ones")
{
    Dice dice(41);
    each_variant([&](const Table& k) {
        each_length(dice, [&](std::size_t samples) {
            std::vector<std::int32_t> narrow(samples);
            for (std::int32_t& sum : narrow)
                sum = static_cast<std::int32_t>(dice.word()) >> dice.below(32);
            REQUIRE(changes_rightly(
                dice, samples, [&](std::int64_t* sums) { k.fold(sums, narrow.data(), samples); },
                [&](std::int64_t sum, std::size_t i) { // sums wrap
                    return static_cast<std::int64_t>(static_cast<std::uint64_t>(Exact{sum} + (Exact{narrow[i]} << 30)));
                }));
        });
    });
}

TEST_CASE("shape: the soft clip is what its definition says, at any length and address")
{
    Dice dice(42);
    each_variant([&](const Table& k) {
        each_length(dice, [&](std::size_t samples) {
            CAPTURE(samples);
            REQUIRE(changes_rightly(
                dice, samples, [&](std::int64_t* sums) { k.soften(sums, samples); },
                [](std::int64_t sum, std::size_t) { return test::soft(sum); }));
        });
    });
}

TEST_CASE("shape: the soft clip's curve")
{
    Dice dice(43);
    each_variant([&](const Table& k) {
        for (const std::int64_t sum : {std::int64_t{0}, std::int64_t{1}, full / 4, full / 2 - 1, full / 2})
            for (const std::int64_t sign : {1, -1})
                CHECK(softened(k, sign * sum) == sign * sum);
        CHECK(softened(k, full) == full / 8 * 7);
        CHECK(softened(k, full / 2 * 3) == full);
        for (const std::int64_t sum : {full / 2 * 3 + 1, 2 * full, std::int64_t{1} << 61, INT64_MAX})
            CHECK(softened(k, sum) == full);
        CHECK(softened(k, INT64_MIN) == -full);
        // Against the formula in real numbers: off by less than a unit of 32 bits (2^22). It rises.
        std::int64_t last = -1;
        for (std::int64_t sum = 0; sum < 2 * full; sum += full / 5003) {
            const double x = std::ldexp(static_cast<double>(sum), -53);
            const double y = x <= 0.5 ? x : x >= 1.5 ? 1.0 : 1.0 - (1.5 - x) * (1.5 - x) / 2;
            const std::int64_t soft = softened(k, sum);
            REQUIRE(std::fabs(std::ldexp(static_cast<double>(soft), -53) - y) <= 0x1p-31);
            REQUIRE(soft >= last);
            REQUIRE(softened(k, -sum) == -soft);
            last = soft;
        }
    });
}

TEST_CASE("shape: dither is what its definition says, at any length and address")
{
    Dice dice(44);
    each_variant([&](const Table& k) {
        for (const std::uint32_t device : integer_formats)
            each_length(dice, [&](std::size_t samples) {
                const std::uint64_t first = dice.once_in(8) ? ~std::uint64_t{0} - dice.below(100) : dice.skewed();
                CAPTURE(device);
                CAPTURE(samples);
                REQUIRE(changes_rightly(
                    dice, samples, [&](std::int64_t* sums) { k.dither(sums, samples, first, last_bit(device)); },
                    [&](std::int64_t sum, std::size_t i) { // sums wrap
                        const Exact dithered = test::dithered(sum, first + i, device);
                        return static_cast<std::int64_t>(static_cast<std::uint64_t>(dithered));
                    }));
            });
    });
}

TEST_CASE("shape: the generator is the published one")
{
    // The first numbers that the algorithm's reference gives for seed 0.
    CHECK(test::random_number(0) == 0xe220a8397b1dcdaf);
    CHECK(test::random_number(1) == 0x6e789e6aa1b965f4);
    CHECK(test::random_number(2) == 0x06c45d188009454f);
}

namespace {

// What dither does to a sum that lies `part` / 1000 of a unit above a sample: the errors of the device's
// samples, in units.
std::vector<double> errors(std::uint32_t format, int part, std::size_t samples, std::uint64_t first)
{
    const auto unit = static_cast<std::int64_t>(test::unit_of(format));
    const std::int64_t sum = 20 * unit + unit / 1000 * part;
    std::vector<std::int64_t> wide(samples, sum);
    const std::vector<std::int32_t> narrow(samples);
    std::vector<std::byte> out(samples * 4);
    chosen().dither(wide.data(), samples, first, last_bit(format));
    chosen().finalize[format](out.data(), narrow.data(), wide.data(), samples);
    const std::size_t bytes = format == abi::format_s16 ? 2 : format == abi::format_s24_3 ? 3 : 4;
    std::vector<double> errors(samples);
    for (std::size_t i = 0; i < samples; ++i) { // the samples are small: one byte tells them
        const auto sample = std::to_integer<int>(out[i * bytes]);
        errors[i] = sample - 20 - static_cast<double>(unit / 1000 * part) / static_cast<double>(unit);
    }
    return errors;
}

double mean(const std::vector<double>& numbers)
{
    double sum = 0;
    for (const double number : numbers)
        sum += number;
    return sum / static_cast<double>(numbers.size());
}

// Of numbers whose mean is 0: how like themselves they are `lag` places further on; at lag 0 the variance.
double covariance(const std::vector<double>& numbers, std::size_t lag)
{
    double sum = 0;
    for (std::size_t i = lag; i < numbers.size(); ++i)
        sum += numbers[i] * numbers[i - lag];
    return sum / static_cast<double>(numbers.size() - lag);
}

constexpr std::size_t many = 1 << 18; // the mean of so many has a deviation of some 0.001

} // namespace

TEST_CASE("shape: dither makes the mean right and the error independent of the sum")
{
    for (const std::uint32_t format : integer_formats)
        for (const int part : {1, 10, 100, 250, 333, 500, 667, 900, 999}) {
            INFO("format ", format, ", ", part, " / 1000 of a unit");
            const auto error = errors(format, part, many, 1'000'000);
            CHECK(std::fabs(mean(error)) < 0.005);
            CHECK(std::fabs(covariance(error, 0) - 0.25) < 0.005); // 1/6 of the dither, 1/12 of the rounding
        }
    // Without it the mean is off by what is rounded away: this is no test of nothing.
    std::int64_t sum = 20 * (std::int64_t{1} << 38) + (std::int64_t{1} << 36);
    const std::int32_t none = 0;
    std::byte out[2];
    chosen().finalize[abi::format_s16](out, &none, &sum, 1);
    CHECK(out[0] == std::byte{20});
}

TEST_CASE("shape: dither has a triangular distribution, and no memory")
{
    const auto unit = static_cast<std::int64_t>(test::unit_of(abi::format_s16));
    std::vector<std::int64_t> sums(many, 1);
    chosen().dither(sums.data(), many, 0, last_bit(abi::format_s16));
    std::vector<double> noise(many);
    std::array<int, 20> histogram{}; // of -1 ... 1
    for (std::size_t i = 0; i < many; ++i) {
        noise[i] = static_cast<double>(sums[i] - 1) / static_cast<double>(unit);
        REQUIRE(noise[i] >= -1);
        REQUIRE(noise[i] < 1);
        ++histogram[static_cast<std::size_t>((noise[i] + 1) * 10)];
    }
    CHECK(std::fabs(mean(noise)) < 0.004);
    CHECK(std::fabs(covariance(noise, 0) - 1.0 / 6) < 0.002);
    for (std::size_t bar = 0; bar < histogram.size(); ++bar) {
        const double middle = std::fabs((static_cast<double>(bar) + 0.5) / 10 - 1);
        CAPTURE(bar);
        CHECK(std::fabs(histogram[bar] - many * (1 - middle) / 10) < 5 * std::sqrt(many * (1 - middle) / 10));
    }
    // Neighbours: the other channels of a frame, and the frames around, for any number of channels.
    for (std::size_t lag = 1; lag < 600; ++lag) {
        CAPTURE(lag);
        CHECK(std::fabs(covariance(noise, lag)) < 5.0 / 6 / std::sqrt(static_cast<double>(many)));
    }
}

TEST_CASE("shape: dither is the same each time, and leaves alone what needs no rounding")
{
    CHECK(errors(abi::format_s16, 300, 1000, 77) == errors(abi::format_s16, 300, 1000, 77));
    CHECK(errors(abi::format_s16, 300, 1000, 77) != errors(abi::format_s16, 300, 1000, 78));
    for (const std::uint32_t format : integer_formats)
        for (const double error : errors(format, 0, 1000, 5))
            REQUIRE(error == 0);
}

TEST_CASE("shape: FLOAT alone on a FLOAT device is exact from -48 dB to full scale")
{
    Dice dice(46);
    constexpr std::uint32_t edges[] = {0x3f800000, 0x3f7fffff, 0x3b800000, 0x3b800001};
    each_variant([&](const Table& k) {
        constexpr std::size_t samples = 50000;
        std::vector<std::uint32_t> lane(samples), out(samples);
        for (std::uint32_t& sample : lane) {
            const std::uint32_t between = dice.between(edges[2], edges[0]);
            sample = dice.once_in(8) ? edges[dice.below(std::size(edges))] : between;
            sample = dice.once_in(9) ? 0 : dice.once_in(2) ? sample | 0x80000000 : sample;
        }
        const Source source{reinterpret_cast<const std::byte*>(lane.data()), abi::unity_gain};
        std::vector<std::int64_t> wide(samples);
        const std::vector<std::int32_t> narrow(samples);
        k.add_wide[abi::format_float](wide.data(), &source, 1, samples);
        k.finalize[abi::format_float](reinterpret_cast<std::byte*>(out.data()), narrow.data(), wide.data(), samples);
        CHECK(out == lane);
    });
}

// The programs that the plugin is loaded into set such things.
TEST_CASE("shape: FLOAT samples do not depend on the program's rounding mode and traps")
{
    Dice dice(45);
    for (const int mode : {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO})
        each_variant([&](const Table& k) {
            for (int round = 0; round < 100; ++round) {
                const std::size_t samples = dice.below(150);
                std::vector<std::int32_t> narrow(samples);
                std::vector<std::int64_t> wide(samples);
                for (std::size_t i = 0; i < samples; ++i) {
                    narrow[i] = static_cast<std::int32_t>(dice.word()) >> (1 + dice.below(31));
                    wide[i] = some_sum(dice) >> 2;
                }
                std::vector<std::int32_t> alone(samples), both(samples);
                std::fesetround(mode);
#if defined(__SSE__)
                const unsigned before = _mm_getcsr();
                constexpr unsigned all_masks_and_flags = 0x1fbf;
                constexpr unsigned flush_denormals = 0x8040;
                _mm_setcsr((before & ~all_masks_and_flags) | flush_denormals);
#endif
                k.finalize[abi::format_float](reinterpret_cast<std::byte*>(alone.data()), narrow.data(), nullptr,
                                              samples);
                k.finalize[abi::format_float](reinterpret_cast<std::byte*>(both.data()), narrow.data(), wide.data(),
                                              samples);
#if defined(__SSE__)
                _mm_setcsr(before);
#endif
                std::fesetround(FE_TONEAREST);
                for (std::size_t i = 0; i < samples; ++i) {
                    const Exact small = Exact{narrow[i]} << 30;
                    REQUIRE(alone[i] == test::device_sample(small, abi::format_float));
                    REQUIRE(both[i] == test::device_sample(small + wide[i], abi::format_float));
                }
            }
        });
}
