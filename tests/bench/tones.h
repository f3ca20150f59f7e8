// SPDX-License-Identifier: LGPL-2.1-or-later
//
// tones.h: what a converter has made of a sine: its level, its pitch, and what is beside it.

#pragma once

#include <cmath>
#include <complex>
#include <cstddef>
#include <numbers>
#include <span>
#include <vector>

namespace ringmix::bench {

inline constexpr double tone_level = 0.9; // of full scale

inline std::vector<float> sine(double hertz, double rate, std::size_t frames)
{
    std::vector<float> samples(frames);
    for (std::size_t i = 0; i < frames; ++i)
        samples[i] =
            static_cast<float>(tone_level * std::sin(2 * std::numbers::pi * hertz / rate * static_cast<double>(i)));
    return samples;
}

struct Tone {
    double level; // dB against the sine that went in
    double noise; // dB, all that is not the sine, below it
    double cents; // of its pitch against the right one
};

// The amplitude of the sine of `turn` radians a frame in the signal (least squares), and the power of the rest.
struct SineFit {
    std::complex<double> amplitude;
    double rest;
};
inline SineFit fit_sine(std::span<const double> signal, double turn)
{
    double ss = 0, cc = 0, sc = 0, sy = 0, cy = 0, yy = 0;
    for (std::size_t i = 0; i < signal.size(); ++i) {
        const double s = std::sin(turn * static_cast<double>(i));
        const double c = std::cos(turn * static_cast<double>(i));
        ss += s * s;
        cc += c * c;
        sc += s * c;
        sy += s * signal[i];
        cy += c * signal[i];
    }
    const double det = ss * cc - sc * sc;
    const double a = (sy * cc - cy * sc) / det;
    const double b = (cy * ss - sy * sc) / det;
    for (std::size_t i = 0; i < signal.size(); ++i) {
        const double rest =
            signal[i] - a * std::sin(turn * static_cast<double>(i)) - b * std::cos(turn * static_cast<double>(i));
        yy += rest * rest;
    }
    return {{b, -a}, yy / static_cast<double>(signal.size())}; // b cos + a sin = Re((b - ia) e^(i turn n))
}

// The turn per frame of the sine that is in the signal, near `turn`: from how its phase drifts from one stretch to
// the next, in stretches that get longer.
inline double find_turn(std::span<const double> signal, double turn)
{
    std::size_t shortest = 32; // a period and a half at least
    while (static_cast<double>(shortest) * turn < 3 * std::numbers::pi)
        shortest *= 2;
    for (std::size_t stretch = shortest; stretch * 2 <= signal.size(); stretch *= 2) {
        double drift = 0;
        double last = 0;
        std::size_t count = 0;
        for (std::size_t at = 0; at + stretch <= signal.size(); at += stretch, ++count) {
            const auto amplitude = fit_sine(signal.subspan(at, stretch), turn).amplitude;
            const double phase = std::arg(amplitude * std::polar(1.0, -turn * static_cast<double>(at)));
            if (count > 0)
                drift += std::remainder(phase - last, 2 * std::numbers::pi);
            last = phase;
        }
        turn += drift / (static_cast<double>(count - 1) * static_cast<double>(stretch));
    }
    return turn;
}

inline Tone measure_tone(std::span<const double> signal, double hertz, double rate)
{
    const double right = 2 * std::numbers::pi * hertz / rate;
    const double turn = find_turn(signal, right);
    const SineFit fit = fit_sine(signal, turn);
    const double power = std::norm(fit.amplitude) / 2;
    return {20 * std::log10(std::abs(fit.amplitude) / tone_level), 10 * std::log10(power / (fit.rest + 1e-22)),
            1200 * std::log2(turn / right)};
}

// dB against the sine that went in.
inline double level_of(std::span<const double> signal)
{
    double power = 0;
    for (const double x : signal)
        power += x * x;
    return 10 * std::log10(power / static_cast<double>(signal.size()) / (tone_level * tone_level / 2) + 1e-22);
}

} // namespace ringmix::bench
