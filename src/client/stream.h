// SPDX-License-Identifier: LGPL-2.1-or-later
//
// stream.h: one client's playback stream: a lane, and its place in time.
//
// Positions are counted in frames from the stream's preparation on (as ALSA's appl_ptr and hw_ptr, but never
// wrapping). What is written goes into the lane at once; once started, a position is played at an absolute
// frame (places.h). After configure() all functions are noexcept, take no lock, allocate nothing and make no
// system call. One thread at a time, but for the questions at the end.
//
// What holds between two calls:
//   - the samples of position p lie in cell (base_cell_ + p) mod lane_frames_, from one prepare to the next;
//   - while it runs, p is played at frame origin + p, and Slot::phase leads from that frame to that cell;
//   - no position before the floor is written any more: its cells may belong to the tail, which others still sum.
//     The floor is 0 after prepare; where it paused or ran dry; the first position of the present run;
//   - Slot::range covers at most lane_frames_ frames, from the run's first one on, and ends with the last written;
//   - frames before posted_ that were within reach are in the device's ring.

#pragma once

#include "client/frame_source.h"
#include "client/places.h"
#include "client/seat.h"
#include "client/standing.h"
#include "core/channel_map.h"
#include "core/post.h"

#include <cstdint>
#include <span>

namespace ringmix::client {

// What the program itself plays, where its stream is made of that; for lists. 0: it is not.
struct Original {
    std::uint32_t format = 0;
    std::uint32_t rate = 0;
    std::uint32_t channels = 0;
    std::uint32_t latency_frames = 0; // of the conversion, in frames at `rate`
};

class Stream {
public:
    explicit Stream(Seat& seat) noexcept;

    // Gets a lane for `buffer_frames` frames of the application's buffer. Asks the server (blocks);
    // throws ClientError. The stream is idle afterwards. `ring_out_frames`: what is queued when it runs dry, at most
    // that many frames behind the horizon, is still played to its end (see xrun()).
    void configure(std::uint32_t format, std::uint32_t channels, std::uint64_t buffer_frames,
                   const core::ChannelMap& map, std::uint64_t ring_out_frames = 0, const Original& original = {});
    // Gives the lane back; does not throw, a dead server is ignored.
    void release() noexcept;

    // Forgets all audio and begins again at position 0 (state prepared).
    void prepare() noexcept;
    // Puts `frames` frames at `position`; the stream ends behind them. Behind the last written frame:
    // the gap becomes silence. Before it (the application has rewound): what was written from there
    // on is replaced. What is too late to be changed stays as it is; returns how many of the frames were
    // too late. Of more frames than the lane holds, the last ones are kept.
    std::uint64_t write(std::uint64_t position, std::span<const ChannelArea> areas, std::uint64_t frames) noexcept;
    // The same with frames from anywhere; whoever calls it counts those that were late.
    std::uint64_t write_from(FrameSource& source, std::uint64_t position, std::uint64_t frames) noexcept;
    // The stream ends at `position`: later frames are taken back, as far as they can still be
    // changed; a gap before it becomes silence.
    void end_at(std::uint64_t position) noexcept { write(position, {}, 0); }
    // Lets the floor (position 0, or where it paused) be played as soon as possible.
    void start() noexcept;
    void pause() noexcept;
    void resume() noexcept { start(); }
    // The stream is to end at `position`; starts it if it was only prepared. Call again until that is heard.
    void drain(std::uint64_t position) noexcept;
    // Ends the stream: what cannot be changed any more (the safety margin) is still played, and what
    // was queued behind it fades out, so that it does not click.
    void drop() noexcept { stop(abi::stream_idle, Rest::fades); }
    // Ends it and counts an underrun. What is queued behind what cannot be changed any more is not played, but to
    // its end if it was configured to ring out.
    void xrun() noexcept;
    // Brings frames that have come within reach into the ring, and repairs for stopped posters.
    void tend() noexcept;

    // Any thread from here on.
    bool running() const noexcept { return standing_.read().running; }
    std::uint64_t written() const noexcept { return written_.load(std::memory_order_relaxed); }
    // The first position that can still be changed, and the one that is heard now (before the floor while the
    // run has not begun to be heard, device latency included; where it stands, if it does not run).
    std::int64_t horizon_position() const noexcept;
    std::int64_t heard_position() const noexcept;
    // When `position` will be the horizon (ns, CLOCK_MONOTONIC), not in the future if it is so already; only while
    // running.
    std::int64_t time_of_horizon(std::uint64_t position) const noexcept;
    // When `position` will have been heard; only while running.
    std::int64_t time_heard(std::uint64_t position) const noexcept;

private:
    const abi::Geometry& geometry() const noexcept { return seat_->geometry(); }
    std::uint64_t start_slack() const noexcept;
    Frame horizon(const Timeline::Reading& time) const noexcept;
    Frame horizon() const noexcept;
    Position changeable_from(const Standing& standing) const noexcept;
    void stand(const Standing& standing) noexcept;
    Cell cell_of(Position position) const noexcept { return {(base_cell_.value + position.value) % lane_frames_}; }
    void set_state(std::uint32_t state, bool new_serial) noexcept;
    void copy_in(FrameSource& source, std::uint64_t first, Position position, std::uint64_t frames) noexcept;
    void silence(Position position, std::uint64_t frames) noexcept;
    // What becomes of the frames that can still be changed when a stream stops.
    enum class Rest { is_cut, fades, rings_out };
    void stop(std::uint32_t state, Rest rest) noexcept;
    std::uint64_t longest_rest() const noexcept;
    void wait_for_tail() noexcept;
    void commit(Position changed, Position end) noexcept;
    void publish_range() noexcept;
    void post_reachable(Position end) noexcept;
    void repair_others() noexcept;
    bool place(std::uint64_t slack) noexcept;
    Frame first() const noexcept { return now_.frame_of(now_.floor); } // of the present run
    Frame end() const noexcept { return now_.frame_of({written()}); }

    Seat* seat_;
    core::Poster poster_;
    std::byte* lane_ = nullptr;
    std::uint64_t lane_frames_ = 0;
    std::uint64_t buffer_frames_ = 0;
    std::uint64_t ring_out_frames_ = 0;
    std::uint32_t frame_bytes_ = 0;
    std::uint32_t sample_bytes_ = 0;
    std::uint32_t channels_ = 0;
    std::uint8_t silence_ = 0;

    Standing now_{}; // this thread's; as published in standing_
    PublishedStanding standing_;
    std::atomic<std::uint64_t> written_{0}; // position behind the last written frame
    std::uint32_t serial_ = 0;
    Cell base_cell_{};                    // of position 0
    std::uint64_t phase_ = 0;             // as published, while running
    Frame range_start_{};                 // as published, while running
    Frame posted_{};                      // all before it is in the ring
    std::uint64_t posted_generation_ = 0; // of the device, when that was said
    Frame tail_end_{};                    // the stream before this one is played until then,
    Cell tail_cell_{};                    // and this is the cell behind its last frame
    std::int64_t next_repair_ns_ = 0;
};

} // namespace ringmix::client
