// SPDX-License-Identifier: LGPL-2.1-or-later
//
// track.h: what a program plays on: a stream in the program's own frames, at its own rate.
//
// At the device's rate a track is its stream, bit for bit, unless it has more channels than the device: then the stream
// has sums of them (core/downmix.h). At any other the program's sound is converted into
// the stream (docs/rates.md); positions, times and delays are in the program's frames all the same. What is too late
// to be changed stays as it is, in whole frames of the program: what is heard is always the conversion of one
// sound, whatever was written, rewound and lost on the way.
//
// After configure() all functions are noexcept, take no lock, allocate nothing and make no system call. One
// thread at a time, but for the questions at the end.

#pragma once

#include "client/conversion.h"
#include "client/stream.h"

#include <atomic>
#include <memory>

namespace ringmix::client {

class Track {
public:
    explicit Track(Seat& seat) noexcept : seat_(&seat), stream_(seat) {}

    // As Stream's, for frames at `rate`, with these channels. Blocks; throws ClientError, std::bad_alloc.
    void configure(std::uint32_t format, std::uint32_t channels, std::uint32_t rate, std::uint64_t buffer_frames,
                   const core::ChannelMap& map, const core::Downmix& downmix = {});
    void release() noexcept;

    void prepare() noexcept;
    std::uint64_t write(std::uint64_t position, std::span<const ChannelArea> areas, std::uint64_t frames) noexcept;
    void end_at(std::uint64_t position) noexcept { write(position, {}, 0); }
    void start() noexcept { stream_.start(); }
    void pause() noexcept { stream_.pause(); }
    void resume() noexcept { stream_.resume(); }
    // Until drained(position).
    void drain(std::uint64_t position) noexcept;
    void drop() noexcept { stream_.drop(); }
    // What is queued and can still be changed is not played; what was before it rings out.
    void xrun() noexcept;
    void tend() noexcept { stream_.tend(); }

    // Any thread from here on.
    bool running() const noexcept { return stream_.running(); }
    std::uint64_t written() const noexcept;
    // The first position that can still be changed, and the one that is heard now: further behind by the filter's
    // latency and the device's.
    std::int64_t horizon_position() const noexcept;
    std::int64_t heard_position() const noexcept;
    // Whether a sound that ends at `position` has been heard, to the last that its filter makes of it.
    bool drained(std::uint64_t position) const noexcept;
    // When `position` will be the horizon, and when drained(position) will be true (ns, CLOCK_MONOTONIC); only while
    // running.
    std::int64_t time_of_horizon(std::uint64_t position) const noexcept;
    std::int64_t time_drained(std::uint64_t position) const noexcept;
    // Whether the sound is converted, and by how much it is later for it, in frames of the program.
    bool converted() const noexcept { return conversion_ != nullptr; }
    std::uint32_t conversion_latency() const noexcept { return converted() ? conversion_->map().taps() / 2 : 0; }

private:
    std::uint64_t convert(std::int64_t begin, std::span<const ChannelArea> areas, std::int64_t frames) noexcept;
    std::int64_t changeable() const noexcept;

    Seat* seat_;
    Stream stream_;
    std::uint32_t format_ = 0;
    core::Downmix downmix_;
    std::unique_ptr<Conversion> conversion_; // null: the device's own rate
    std::atomic<std::int64_t> written_{0};   // only while converted
};

} // namespace ringmix::client
