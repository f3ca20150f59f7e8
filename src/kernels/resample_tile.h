// SPDX-License-Identifier: LGPL-2.1-or-later
//
// resample_tile.h: the sums of resample.h with the vectors V of an instruction set. Everything is in an unnamed
// namespace: each file that includes this gets copies of its own, made for its instruction set.
//
// Four sums are made at a time, of two stereo frames or of four frames of one channel, each in two halves
// (even and odd vectors of the row): eight chains of additions, as many as processors work on at once. Where
// fewer frames are left, the last one is made several times and kept once.

#pragma once

#include "kernels/resample_load.h"

namespace ringmix::kernels {
namespace {

// What one frame is made of.
struct Reading {
    const float* row;
    const float* samples;
    float between;    // of the way to the next row
    std::size_t taps; // behind so many, a multiple of tap_multiple, there is silence
};

// Steps through the frames of a call.
class Walker {
public:
    Walker(const FilterRows& filter, const ResampleWalk& walk, const float* samples) noexcept
        : filter_(filter), walk_(walk), samples_(samples), per_part_(1.0f / static_cast<float>(filter.parts))
    {
    }

    Reading next() noexcept
    {
        const Reading reading{filter_.rows + std::size_t{walk_.row} * filter_.taps, samples_ + walk_.tap,
                              static_cast<float>(walk_.rest) * per_part_, sounding()};
        walk_.tap += walk_.tap_step;
        walk_.row += walk_.row_step;
        walk_.rest += walk_.rest_step;
        if (walk_.rest >= filter_.parts) {
            walk_.rest -= filter_.parts;
            walk_.row++;
        }
        if (walk_.row >= filter_.count) {
            walk_.row -= filter_.count;
            walk_.tap++;
        }
        return reading;
    }

private:
    // Products with 0 do not change a sum: leaving them out is the same to the bit.
    std::size_t sounding() const noexcept
    {
        if (walk_.tap + filter_.taps <= walk_.end)
            return filter_.taps;
        const std::size_t left = walk_.end > walk_.tap ? walk_.end - walk_.tap : 0;
        return (left + tap_multiple - 1) / tap_multiple * tap_multiple;
    }

    const FilterRows filter_;
    ResampleWalk walk_;
    const float* samples_;
    float per_part_;
};

template <class V, bool between>
typename V::Float row_part(const Reading& reading, std::size_t at, std::size_t taps) noexcept
{
    const auto part = V::load(reading.row + at);
    if constexpr (between)
        return V::add_product(part, V::fill(reading.between), V::sub(V::load(reading.row + taps + at), part));
    return part;
}

// The sums of `frames` frames and `channels` channels, four in all: channel by channel within a frame. The first one
// has the most that sounds.
template <class V, int frames, int channels, bool between>
typename V::Four sums_of(const Reading* readings, std::size_t taps, std::size_t plane) noexcept
{
    static_assert(frames * channels == 4 && tap_multiple % (2 * V::width) == 0);
    typename V::Float even[4];
    typename V::Float odd[4];
    for (int i = 0; i < 4; ++i)
        even[i] = odd[i] = V::zero();
    for (std::size_t at = 0; at < readings[0].taps; at += 2 * V::width) {
#pragma GCC unroll 4
        for (int f = 0; f < frames; ++f) {
            const auto first = row_part<V, between>(readings[f], at, taps);
            const auto second = row_part<V, between>(readings[f], at + V::width, taps);
#pragma GCC unroll 2
            for (int c = 0; c < channels; ++c) {
                const float* samples = readings[f].samples + static_cast<std::size_t>(c) * plane + at;
                const int i = f * channels + c;
                even[i] = V::add_product(even[i], first, V::load(samples));
                odd[i] = V::add_product(odd[i], second, V::load(samples + V::width));
            }
        }
    }
    for (int i = 0; i < 4; ++i)
        even[i] = V::add(even[i], odd[i]);
    return V::totals(even[0], even[1], even[2], even[3]);
}

// Channels c ... of all frames.
template <class V, int channels, bool between>
void resample_channels(std::int32_t* out, std::size_t out_step, std::size_t plane, const FilterRows& filter,
                       Walker walker, std::size_t frames) noexcept
{
    constexpr int at_once = 4 / channels;
    const std::size_t taps = filter.taps;
    while (frames > 0) {
        Reading readings[at_once];
        const int made = frames < at_once ? static_cast<int>(frames) : at_once;
        for (int f = 0; f < at_once; ++f)
            readings[f] = f < made ? walker.next() : readings[f - 1];
        const auto sums = V::to_ints(sums_of<V, at_once, channels, between>(readings, taps, plane));
        if (made == at_once && out_step == channels) {
            V::store(out, sums);
        } else {
            std::int32_t samples[4];
            V::store(samples, sums);
            for (int i = 0; i < made * channels; ++i)
                out[static_cast<std::size_t>(i / channels) * out_step + static_cast<std::size_t>(i % channels)] =
                    samples[i];
        }
        out += static_cast<std::size_t>(made) * out_step;
        frames -= static_cast<std::size_t>(made);
    }
}

template <class V, bool between>
void resample_all(std::int32_t* out, std::size_t channels, const float* samples, std::size_t plane,
                  const FilterRows& filter, const ResampleWalk& walk, std::size_t frames) noexcept
{
    std::size_t c = 0;
    for (; c + 2 <= channels; c += 2)
        resample_channels<V, 2, between>(out + c, channels, plane, filter, {filter, walk, samples + c * plane}, frames);
    if (c < channels)
        resample_channels<V, 1, between>(out + c, channels, plane, filter, {filter, walk, samples + c * plane}, frames);
}

template <class V>
void resample(std::int32_t* out, std::size_t channels, const float* samples, std::size_t plane,
              const FilterRows& filter, ResampleWalk walk, std::size_t frames) noexcept
{
    [[maybe_unused]] const typename V::FloatGuard guard;
    if (filter.parts > 1)
        return resample_all<V, true>(out, channels, samples, plane, filter, walk, frames);
    resample_all<V, false>(out, channels, samples, plane, filter, walk, frames);
}

template <class V> constexpr Resampling make_resampling() noexcept
{
    return {
        {nullptr, load<FromU8>, load<FromS16>, load<FromS24>, load<FromS24In3>, load<FromS32>, load<FromFloat>},
        {nullptr, load_pair<FromU8>, load_pair<FromS16>, load_pair<FromS24>, load_pair<FromS24In3>, load_pair<FromS32>,
         load_pair<FromFloat>},
        resample<V>,
    };
}

} // namespace
} // namespace ringmix::kernels
