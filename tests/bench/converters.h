// SPDX-License-Identifier: LGPL-2.1-or-later
//
// converters.h: converters of rates to compare, all in the same clothes.

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ringmix::bench {

class Converter {
public:
    virtual ~Converter() = default;
    // All of a mono sound (full scale 1.0), from its beginning; what is left in the converter is not fetched.
    virtual std::vector<double> convert(const std::vector<float>& sound) = 0;
    // A function that converts one more piece of noise in stereo, of `frames` frames (about) of the device; null
    // if that says nothing.
    virtual std::function<void()> stereo(std::size_t frames) = 0;
    // Frames of the device between what goes in and what comes out of it; negative: not known.
    virtual double latency_frames() = 0;
};

struct Kind {
    std::string name; // as in the report
    bool ours;
    // Null where it cannot do these rates.
    std::function<std::unique_ptr<Converter>(unsigned client_rate, unsigned device_rate)> make;
};

// Those that this machine has. ringmix's come first, one for each instruction set, the best first.
std::vector<Kind> kinds();
std::vector<Kind> library_kinds();
std::vector<Kind> alsa_kinds();

std::vector<float> noise(std::size_t samples);

} // namespace ringmix::bench
