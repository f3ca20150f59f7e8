// SPDX-License-Identifier: LGPL-2.1-or-later
//
// stream.h: one client's playback stream: a lane, and its place in time.
//
// Positions are counted in frames from the stream's preparation on (as ALSA's appl_ptr and hw_ptr,
// but never wrapping). What is written goes into the lane at once; once started, position p is
// played at absolute frame origin + p. After configure() all functions are noexcept, take no lock,
// allocate nothing and make no system call. One thread at a time, but for the questions at the end.

#pragma once

#include "client/attachment.h"
#include "core/channel_map.h"
#include "core/post.h"

#include <array>
#include <cstdint>
#include <span>

namespace ringmix::client {

// Where an application's samples of one channel lie (as ALSA's snd_pcm_channel_area_t): sample i is
// at base + i * step, in bytes.
struct ChannelArea {
    const std::byte* base;
    std::size_t step;
};

class Stream {
public:
    explicit Stream(Attachment& attachment) noexcept;

    // Gets a lane for `buffer_frames` frames of the application's buffer. Asks the server (blocks);
    // throws ClientError. The stream is idle afterwards.
    void configure(std::uint32_t format, std::uint32_t channels, std::uint64_t buffer_frames,
                   const core::ChannelMap& map);
    // Gives the lane back; does not throw, a dead server is ignored.
    void release() noexcept;

    // Forgets all audio and begins again at position 0 (state prepared).
    void prepare() noexcept;
    // Puts `frames` frames at `position`; the stream ends behind them. Behind the last written frame:
    // the gap becomes silence. Before it (the application has rewound): what was written from there
    // on is replaced. Running: what is too late to be changed stays as it is; returns how many of the
    // frames were too late.
    std::uint64_t write(std::uint64_t position, std::span<const ChannelArea> areas, std::uint64_t frames) noexcept;
    // The stream ends at `position`: later frames are taken back, as far as they can still be
    // changed; a gap before it becomes silence.
    void end_at(std::uint64_t position) noexcept { write(position, {}, 0); }
    // Lets position `position` (0, or where it paused) be played as soon as possible.
    void start() noexcept;
    void pause() noexcept;
    void resume() noexcept { start(); }
    // The stream is to end at `position`; starts it if it was only prepared. Call again until that is heard.
    void drain(std::uint64_t position) noexcept;
    // Ends the stream: what cannot be changed any more (the safety margin) is still played, and what
    // was queued behind it fades out, so that it does not click.
    void drop() noexcept { stop(abi::stream_idle, true); }
    void xrun() noexcept;
    // Brings frames that have come within reach into the ring, and repairs for stopped posters.
    void tend() noexcept;

    // Any thread from here on.
    bool running() const noexcept { return running_; }
    std::uint64_t written() const noexcept { return written_; }
    // Running: the first position that can still be changed, and the one that is heard now
    // (negative before the start, device latency included); otherwise where it stands.
    std::int64_t horizon_position() const noexcept;
    std::int64_t heard_position() const noexcept;
    // When `position` will be the horizon (ns, CLOCK_MONOTONIC); only while running.
    std::int64_t time_of_horizon(std::uint64_t position) const noexcept;
    // When `position` will have been heard.
    std::int64_t time_heard(std::uint64_t position) const noexcept;

private:
    std::uint64_t start_slack() const noexcept;
    std::uint64_t horizon() const noexcept;
    void set_state(std::uint32_t state, bool new_serial) noexcept;
    void copy_in(std::uint64_t position, std::span<const ChannelArea> areas, std::uint64_t frames) noexcept;
    void silence(std::uint64_t position, std::uint64_t frames) noexcept;
    void stop(std::uint32_t state, bool fade) noexcept;
    std::uint64_t reach_after_change() const noexcept;
    void wait_for_tail() noexcept;
    std::uint64_t cell_of(std::uint64_t position) const noexcept { return (base_cell_ + position) % lane_frames_; }
    std::uint64_t too_late(std::uint64_t position, std::uint64_t frames) const noexcept;
    void commit(std::uint64_t changed, std::uint64_t end) noexcept;
    void publish_range() noexcept;
    void post_reachable(std::uint64_t end) noexcept;
    void repair_others() noexcept;
    bool place(std::uint64_t slack) noexcept;

    Attachment* attachment_;
    core::Poster poster_;
    std::byte* lane_ = nullptr;
    std::uint64_t lane_frames_ = 0;
    std::uint64_t buffer_frames_ = 0;
    std::uint32_t frame_bytes_ = 0;
    std::uint32_t sample_bytes_ = 0;
    std::uint32_t channels_ = 0;
    std::uint8_t silence_ = 0;

    std::atomic<bool> running_{false};
    std::atomic<std::uint64_t> origin_{0};   // absolute frame of position 0, while running
    std::atomic<std::uint64_t> written_{0};  // position behind the last written frame
    std::atomic<std::uint64_t> standing_{0}; // position at which a stream that does not run stands
    std::uint32_t serial_ = 0;
    std::uint64_t base_cell_ = 0;   // of position 0
    std::uint64_t phase_ = 0;       // as published, while running
    std::uint64_t tail_end_ = 0;    // absolute: the stream before this one is played until then,
    std::uint64_t tail_cell_ = 0;   // and this is the cell behind its last frame
    std::uint64_t range_start_ = 0; // absolute
    std::uint64_t posted_ = 0;      // absolute: all before it is in the ring
    std::int64_t next_repair_ns_ = 0;
};

} // namespace ringmix::client
