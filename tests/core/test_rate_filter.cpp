// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The filter as such: what it lets through and what not, and that its rows are found. Sounds through it are
// test_rate_quality.cpp's business.
#include "core/rate_filter.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

using namespace ringmix::core;
using ringmix::kernels::FilterRows;
using ringmix::kernels::ResampleWalk;

namespace {

struct Rates {
    std::uint32_t client;
    std::uint32_t device;
};
constexpr Rates rates[] = {{44100, 48000},  {48000, 44100}, {96000, 48000},  {48000, 96000}, {88200, 48000},
                           {192000, 48000}, {32000, 48000}, {22050, 48000},  {16000, 48000}, {11025, 48000},
                           {8000, 48000},   {44100, 96000}, {192000, 44100}, {48000, 8000},  {8000, 44100}};
constexpr Rates between_rows[] = {{44099, 48000}, {48000, 44099}, {22255, 44100}, {11025, 192000}, {191999, 48000}};

std::vector<float> designed(const FilterShape& shape)
{
    std::vector<float> numbers(shape.numbers());
    design_filter(shape, numbers);
    return numbers;
}

// What the filter as a whole makes of `frequency` (in parts of the client's rate), in dB: all rows are one long
// filter at `rows` times the client's rate.
double response(const FilterShape& shape, const std::vector<float>& numbers, double frequency)
{
    double real = 0;
    double imaginary = 0;
    for (std::uint32_t r = 0; r < shape.rows; r++)
        for (std::uint32_t t = 0; t < shape.taps; t++) {
            const double x = t - (shape.taps / 2.0 - 1) - static_cast<double>(r) / shape.rows;
            const double angle = 2 * std::numbers::pi * frequency * x;
            real += numbers[std::size_t{r} * shape.taps + t] * std::cos(angle);
            imaginary += numbers[std::size_t{r} * shape.taps + t] * std::sin(angle);
        }
    return 20 * std::log10(std::hypot(real, imaginary) / shape.rows + 1e-12);
}

// As the kernels walk.
void walk_on(const FilterRows& filter, ResampleWalk& walk)
{
    walk.tap += walk.tap_step;
    walk.row += walk.row_step;
    walk.rest += walk.rest_step;
    if (walk.rest >= filter.parts) {
        walk.rest -= filter.parts;
        walk.row++;
    }
    if (walk.row >= filter.count) {
        walk.row -= filter.count;
        walk.tap++;
    }
}

} // namespace

TEST_CASE("rate filter: short where that is enough, longer to lower rates, in whole vectors")
{
    CHECK(filter_shape(44100, 48000).taps == 96);
    CHECK(filter_shape(48000, 44100).taps == 112); // 96 * 160 / 147 = 104.5
    CHECK(filter_shape(8000, 48000).taps == 64);
    CHECK(filter_shape(96000, 48000).taps == 128);
    CHECK(filter_shape(192000, 48000).taps == 256);
    CHECK(filter_shape(44100, 48000).rows == 160);
    CHECK(filter_shape(44100, 48000).exact());
    CHECK(filter_shape(44099, 48000).rows == 2048);
    CHECK_FALSE(filter_shape(44099, 48000).exact());
    CHECK(filter_shape(384000, 4000).taps == 96 * 64);
}

TEST_CASE("rate filter: each row adds up to 1, and is that of the opposite phase backwards")
{
    for (const Rates& r : rates) {
        CAPTURE(r.client);
        CAPTURE(r.device);
        const FilterShape shape = filter_shape(r.client, r.device);
        const std::vector<float> numbers = designed(shape);
        for (std::uint32_t row = 0; row <= shape.rows; row++) {
            double sum = 0;
            for (std::uint32_t t = 0; t < shape.taps; t++) {
                sum += numbers[std::size_t{row} * shape.taps + t];
                REQUIRE(numbers[std::size_t{row} * shape.taps + t] ==
                        numbers[(std::size_t{shape.rows - row} + 1) * shape.taps - 1 - t]);
            }
            REQUIRE(sum == doctest::Approx(1).epsilon(3e-7));
        }
    }
}

TEST_CASE("rate filter: no sample counts for more than 12 dB of headroom allow")
{
    for (const Rates& r : rates) {
        const FilterShape shape = filter_shape(r.client, r.device);
        const std::vector<float> numbers = designed(shape);
        for (std::uint32_t row = 0; row <= shape.rows; row++) {
            double most = 0; // of a sound at full scale
            for (std::uint32_t t = 0; t < shape.taps; t++)
                most += std::abs(numbers[std::size_t{row} * shape.taps + t]);
            REQUIRE(most < 3);
        }
    }
}

TEST_CASE("rate filter: flat to 0.41 of the lower rate, and what would land below 0.45 of it is gone")
{
    for (const Rates& r : rates) {
        CAPTURE(r.client);
        CAPTURE(r.device);
        const FilterShape shape = filter_shape(r.client, r.device);
        const std::vector<float> numbers = designed(shape);
        const double lower = std::min(1.0, static_cast<double>(r.device) / r.client);
        for (const double part : {0.0, 0.05, 0.1, 0.2, 0.3, 0.37, 0.4, 0.41})
            CHECK(std::abs(response(shape, numbers, part * lower)) < 0.001);
        for (const double part :
             {0.55, 0.553, 0.557, 0.56, 0.565, 0.57, 0.58, 0.59, 0.6, 0.65, 0.7, 0.81, 1.0, 1.23, 1.5, 2.1})
            if (part * lower < shape.rows * 0.5)
                CHECK(response(shape, numbers, part * lower) < -118);
    }
}

TEST_CASE("rate filter: music at 44.1 kHz keeps its 20 kHz")
{
    for (const Rates& r : {Rates{44100, 48000}, Rates{48000, 44100}, Rates{44100, 96000}}) {
        const FilterShape shape = filter_shape(r.client, r.device);
        CHECK(std::abs(response(shape, designed(shape), 20000.0 / r.client)) < 0.01);
    }
}

TEST_CASE("rate filter: a row is what its phase says, alone and between others")
{
    // At phase 0 of a filter without a change of the cut-off there is one tap at the frame itself.
    const FilterShape shape = filter_shape(44100, 48000);
    const std::vector<float> numbers = designed(shape);
    const auto most = std::max_element(numbers.begin(), numbers.begin() + shape.taps);
    CHECK(most - numbers.begin() == shape.taps / 2 - 1);
    const auto last = numbers.end() - shape.taps;
    CHECK(std::max_element(last, numbers.end()) - last == shape.taps / 2);
}

TEST_CASE("rate filter: walking from frame to frame gives what the map says of each")
{
    for (const auto& list : {std::vector<Rates>(std::begin(rates), std::end(rates)),
                             std::vector<Rates>(std::begin(between_rows), std::end(between_rows))})
        for (const Rates& r : list) {
            CAPTURE(r.client);
            CAPTURE(r.device);
            const FilterShape shape = filter_shape(r.client, r.device);
            const FilterRows filter = filter_rows(shape, nullptr);
            const RateMap map = RateMap::from_start(shape.ratio, shape.taps);
            const StreamFrame from{1'234'567'890'123};
            const ClientFrame first = map.first_tap(from);
            ResampleWalk walk = resample_walk(shape, map.moment(from).phase, 0);
            for (std::int64_t i = 0; i < 5000; i++) {
                const StreamFrame f = from + i;
                const std::uint64_t scaled = std::uint64_t{map.moment(f).phase} * shape.rows;
                REQUIRE(static_cast<std::int64_t>(walk.tap) == map.first_tap(f) - first);
                REQUIRE(walk.row == scaled / shape.ratio.phases);
                REQUIRE(walk.rest * std::uint64_t{shape.exact() ? 0u : 1u} ==
                        (shape.exact() ? 0 : scaled % shape.ratio.phases));
                REQUIRE(walk.row < filter.count);
                REQUIRE(walk.rest < filter.parts);
                walk_on(filter, walk);
            }
        }
}
