// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Tones through filter and kernels: in tune, and with nothing beside them.
#include "core/rate_filter.h"
#include "kernels/kernels.h"
#include "tests/bench/tones.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

using namespace ringmix::core;
namespace kernels = ringmix::kernels;

namespace {

struct Rates {
    std::uint32_t client;
    std::uint32_t device;
};
constexpr Rates rates[] = {{44100, 48000},  {48000, 44100}, {96000, 48000}, {48000, 96000}, {88200, 48000},
                           {192000, 48000}, {32000, 48000}, {22050, 48000}, {16000, 48000}, {11025, 48000},
                           {8000, 48000},   {44099, 48000}, {48000, 44099}, {11025, 192000}};

// A sine of `hertz`, 0.9 of full scale, as the device gets it, in parts of full scale.
std::vector<double> converted_tone(const Rates& r, double hertz, std::size_t frames)
{
    const FilterShape shape = filter_shape(r.client, r.device);
    std::vector<float> numbers(shape.numbers());
    design_filter(shape, numbers);
    const std::size_t length = frames * r.client / r.device + shape.taps + 2;
    std::vector<float> samples(length);
    for (std::size_t i = 0; i < length; i++)
        samples[i] =
            static_cast<float>(0.9 * std::sin(2 * std::numbers::pi * hertz / r.client * static_cast<double>(i)));
    std::vector<std::int32_t> out(frames);
    kernels::chosen().resampling->resample(out.data(), 1, samples.data(), length, filter_rows(shape, numbers.data()),
                                           resample_walk(shape, 0, 0), frames);
    std::vector<double> result(frames);
    for (std::size_t i = 0; i < frames; i++)
        result[i] = out[i] * 0x1p-29;
    return result;
}

// What is left of a signal when the sine of exactly this frequency (in parts of the rate) is taken out: its level
// below that of the sine, in dB, and the sine's own.
struct Fit {
    double level;
    double noise;
};
Fit fit(const std::vector<double>& signal, double frequency)
{
    const ringmix::bench::SineFit sine = ringmix::bench::fit_sine(signal, 2 * std::numbers::pi * frequency);
    const double power = std::norm(sine.amplitude) / 2;
    return {10 * std::log10(power / 0.405), 10 * std::log10(power / (sine.rest + 1e-20))};
}

} // namespace

// A tone that is off by 0.001 cents turns by 2 pi * 1000 * 5.8e-7 in a second, and leaves 3.6e-3 behind (-52 dB)
// after one: with that taken out exactly here, 120 dB mean a pitch within 3e-7 cents.
TEST_CASE("rate quality: a tone is in tune, as loud as before, and nothing is beside it")
{
    for (const Rates& r : rates)
        for (const double hertz : {1000.0, 10000.0, 18000.0}) {
            const double lower = std::min(r.client, r.device);
            if (hertz > 0.41 * lower)
                continue;
            CAPTURE(r.client);
            CAPTURE(r.device);
            CAPTURE(hertz);
            const Fit f = fit(converted_tone(r, hertz, r.device), hertz / r.device);
            CHECK(f.noise > 120);
            CHECK(std::abs(f.level) < 0.001);
        }
}

TEST_CASE("rate quality: up to 0.41 of the lower rate")
{
    for (const Rates& r : rates) {
        CAPTURE(r.client);
        CAPTURE(r.device);
        const double hertz = 0.4099 * std::min(r.client, r.device);
        const Fit f = fit(converted_tone(r, hertz, 8000), hertz / r.device);
        CHECK(f.noise > 120);
        CHECK(std::abs(f.level) < 0.01);
    }
}

TEST_CASE("rate quality: what the lower rate cannot hold is gone where it would be heard")
{
    for (const Rates& r : rates) {
        if (r.client <= r.device)
            continue;
        CAPTURE(r.client);
        CAPTURE(r.device);
        for (const double part : {0.551, 0.6, 0.7, 0.9, 1.1, 1.9}) {
            if (part * r.device > r.client / 2.0)
                continue;
            double power = 0;
            const std::vector<double> left = converted_tone(r, part * r.device, 8000);
            for (const double x : left)
                power += x * x;
            CHECK(10 * std::log10(power / 8000 / 0.405 + 1e-20) < -110);
        }
    }
}
