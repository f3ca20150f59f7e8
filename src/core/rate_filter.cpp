// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/rate_filter.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ringmix::core {

namespace {

constexpr double most_rows = 2048; // where the filter does not grow; then its slopes are as much flatter

// Lengths in frames of the lower rate, cut-off in parts of it.
struct Quality {
    std::uint32_t taps;
    double cutoff;
    double window;
};
constexpr Quality long_filter{96, 0.49, 13.5};
constexpr Quality short_filter{64, 0.48, 12.5};

// A row is made in pieces of so many taps, in loops that the compiler makes vectors of.
constexpr std::size_t piece = 32;

// The modified Bessel function I0 of sqrt(squares[i]), in place, by its power series: exact to some 1e-16 of
// I0(14) for squares up to 14^2.
class Bessel {
public:
    Bessel() noexcept
    {
        double factor = 1;
        for (int k = 0; k < terms; k++) {
            factors_[k] = factor;
            factor /= 4.0 * (k + 1) * (k + 1);
        }
    }
    void operator()(double (&squares)[piece]) const noexcept
    {
        double sums[piece] = {};
        for (int k = terms; k-- > 0;)
            for (std::size_t i = 0; i < piece; i++)
                sums[i] = sums[i] * squares[i] + factors_[k];
        std::copy(std::begin(sums), std::end(sums), squares);
    }

private:
    static constexpr int terms = 32;
    double factors_[terms];
};

// sin(angle * (start + i)) for the numbers i of a piece: turned from each to the next instead of computed; it
// is off by some 1e-15 at the end.
void sines(double angle, double start, double (&values)[piece]) noexcept
{
    const double turn_sine = std::sin(angle);
    const double turn_cosine = std::cos(angle);
    double sine = std::sin(angle * start);
    double cosine = std::cos(angle * start);
    for (double& value : values) {
        value = sine;
        sine = value * turn_cosine + cosine * turn_sine;
        cosine = cosine * turn_cosine - value * turn_sine;
    }
}

// A frame that lies `phase` frames behind tap taps / 2 - 1. Each row adds up to 1, so that silence is not
// modulated by the phases.
void design_row(const FilterShape& shape, const Bessel& bessel, double phase, float* row) noexcept
{
    static_assert(kernels::tap_multiple % piece == 0 || piece % kernels::tap_multiple == 0);
    const double angle = 2 * std::numbers::pi * shape.cutoff;
    const double per_half = 2 / shape.window_frames;
    double sum = 0;
    for (std::size_t from = 0; from < shape.taps; from += piece) {
        const double start = static_cast<double>(from) - (shape.taps / 2 - 1) - phase; // distance of the first tap
        double sine[piece];
        sines(angle, start, sine);
        double window[piece];
        for (std::size_t i = 0; i < piece; i++) {
            const double part = (start + static_cast<double>(i)) * per_half;
            window[i] = shape.window * shape.window * std::max(1 - part * part, 0.0);
        }
        bessel(window);
        for (std::size_t i = 0; i < piece && from + i < shape.taps; i++) {
            const double x = start + static_cast<double>(i);
            const double sinc = std::abs(x) < 1e-9 ? angle : sine[i] / x;
            const double value = std::abs(x) * per_half <= 1 ? sinc * window[i] : 0;
            sum += value;
            row[from + i] = static_cast<float>(value);
        }
    }
    for (std::size_t i = 0; i < shape.taps; i++)
        row[i] = static_cast<float>(row[i] / sum);
}

constexpr std::uint32_t multiple_above(double frames) noexcept
{
    return static_cast<std::uint32_t>(std::ceil(frames / kernels::tap_multiple)) * kernels::tap_multiple;
}

} // namespace

FilterShape filter_shape(std::uint32_t client_rate, std::uint32_t device_rate) noexcept
{
    const std::uint32_t lower = std::min(client_rate, device_rate);
    const Quality& quality = lower >= 32000 && lower < 48000 ? long_filter : short_filter;
    const double longer = std::max(1.0, static_cast<double>(client_rate) / device_rate);
    FilterShape shape;
    shape.ratio = rate_ratio(client_rate, device_rate);
    shape.window_frames = quality.taps * longer;
    shape.taps = multiple_above(shape.window_frames);
    shape.rows = std::min(shape.ratio.phases, static_cast<std::uint32_t>(most_rows / longer));
    shape.cutoff = quality.cutoff / longer;
    shape.window = quality.window;
    return shape;
}

// Phase 1 - p is phase p backwards.
void design_filter(const FilterShape& shape, std::span<float> numbers) noexcept
{
    const Bessel bessel;
    for (std::uint32_t r = 0; 2 * r <= shape.rows; r++) {
        float* row = numbers.data() + std::size_t{r} * shape.taps;
        design_row(shape, bessel, static_cast<double>(r) / shape.rows, row);
        std::reverse_copy(row, row + shape.taps, numbers.data() + std::size_t{shape.rows - r} * shape.taps);
    }
}

kernels::FilterRows filter_rows(const FilterShape& shape, const float* numbers) noexcept
{
    return {numbers, shape.taps, shape.rows, shape.exact() ? 1 : shape.ratio.phases};
}

// A frame's phase of `phases` is row phase * rows / phases, and what is left over of that division.
kernels::ResampleWalk resample_walk(const FilterShape& shape, std::uint32_t phase, std::size_t tap) noexcept
{
    const std::uint32_t step = shape.ratio.step / shape.ratio.phases;
    const std::uint32_t phase_step = shape.ratio.step % shape.ratio.phases;
    if (shape.exact())
        return {tap, phase, 0, step, phase_step, 0};
    const auto row = [&](std::uint32_t p) {
        return static_cast<std::uint32_t>(std::uint64_t{p} * shape.rows / shape.ratio.phases);
    };
    const auto rest = [&](std::uint32_t p) {
        return static_cast<std::uint32_t>(std::uint64_t{p} * shape.rows % shape.ratio.phases);
    };
    return {tap, row(phase), rest(phase), step, row(phase_step), rest(phase_step)};
}

} // namespace ringmix::core
