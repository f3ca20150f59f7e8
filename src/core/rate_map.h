// SPDX-License-Identifier: LGPL-2.1-or-later
//
// rate_map.h: where the frames of a converted stream lie in the client's sound, and back.
//
// A stream is counted in frames at the device's rate, the client's sound in frames at the client's. Stream
// frame f is made of the `taps` client frames around its own time, which is the exact fraction
// (f - anchor) * step / phases: nothing is ever accumulated, so that frame f is the same however one got
// there. Exact in integers, without 128-bit arithmetic, for positions up to 2^61 on either side of the
// anchor (both in stream frames and in client frames) and rates up to 2^30 Hz.
//
// Pure, noexcept, any thread.

#pragma once

#include <compare>
#include <cstdint>

namespace ringmix::core {

// A frame's number. The two kinds do not mix: `Side` tells at whose rate is counted. Negative: before the
// stream's beginning.
template <class Side> struct FrameAt {
    std::int64_t number = 0;

    friend constexpr auto operator<=>(const FrameAt&, const FrameAt&) = default;
    constexpr FrameAt operator+(std::int64_t frames) const noexcept { return {number + frames}; }
    constexpr FrameAt operator-(std::int64_t frames) const noexcept { return {number - frames}; }
    constexpr std::int64_t operator-(FrameAt other) const noexcept { return number - other.number; }
};
using StreamFrame = FrameAt<struct StreamSide>; // at the device's rate
using ClientFrame = FrameAt<struct ClientSide>; // at the client's rate

// Client rate / device rate in lowest terms: from one stream frame to the next, the client's sound goes
// on by step / phases frames.
struct RateRatio {
    std::uint32_t step = 1;
    std::uint32_t phases = 1;

    friend constexpr bool operator==(const RateRatio&, const RateRatio&) = default;
};
RateRatio rate_ratio(std::uint32_t client_rate, std::uint32_t device_rate) noexcept; // both > 0

class RateMap {
public:
    // A moment: client frame `frame` and phase / phases of the way to the next one.
    struct Moment {
        ClientFrame frame;
        std::uint32_t phase = 0; // below RateRatio::phases

        friend constexpr bool operator==(const Moment&, const Moment&) = default;
    };
    // Stream frame `stream` lies at `client`.
    struct Anchor {
        StreamFrame stream;
        Moment client;
    };

    RateMap() noexcept = default; // every stream frame is the client frame of the same number
    // `taps` is even. Each stream frame is made of the taps / 2 client frames up to its moment, that one
    // included, and of the taps / 2 behind.
    RateMap(RateRatio ratio, std::uint32_t taps, Anchor anchor) noexcept;

    // The map in which client frame 0 is stream frame `lead`, so that stream frame 0 is the first that has
    // anything of client frame 0 in it (or, where the rates do not meet there, the one before it).
    static RateMap from_start(RateRatio ratio, std::uint32_t taps) noexcept;
    // ceil(taps / 2 * phases / step): stream frames by which a sound is later than without a filter.
    static std::int64_t lead(RateRatio ratio, std::uint32_t taps) noexcept;

    RateRatio ratio() const noexcept { return ratio_; }
    std::uint32_t taps() const noexcept { return static_cast<std::uint32_t>(2 * half_taps_); }

    // The moment of a stream frame.
    Moment moment(StreamFrame frame) const noexcept;
    // The client frames that it is made of: the first one, and the one behind the last.
    ClientFrame first_tap(StreamFrame frame) const noexcept { return moment(frame).frame - half_taps_ + 1; }
    ClientFrame end_of_taps(StreamFrame frame) const noexcept { return moment(frame).frame + half_taps_ + 1; }

    // Stream frames before `horizon` cannot be changed any more: the first client frame that is in none of them.
    ClientFrame first_changeable(StreamFrame horizon) const noexcept { return end_of_taps(horizon - 1); }
    // Its inverse, for timers: the first horizon at which `first` is what can be changed, or more.
    StreamFrame horizon_at(ClientFrame first) const noexcept { return first_at(first - half_taps_ - 1) + 1; }

    // The first stream frame that has client frame `frame`, or a later one, in it: what must be made anew
    // when the sound changes there, and the first that cannot be made when the sound ends there.
    StreamFrame first_with(ClientFrame frame) const noexcept { return first_at(frame - half_taps_); }
    // The first stream frame from which on there is nothing of client frames before `frame`: where a sound
    // that ends there has rung out.
    StreamFrame end_without(ClientFrame frame) const noexcept { return first_at(frame + half_taps_ - 1); }
    // The first stream frame whose moment is not before client frame `frame`.
    StreamFrame first_at(ClientFrame frame) const noexcept;

private:
    RateRatio ratio_;
    std::int64_t half_taps_ = 0;
    Anchor anchor_;
};

} // namespace ringmix::core
