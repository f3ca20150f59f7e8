// SPDX-License-Identifier: LGPL-2.1-or-later
//
// fake_seat.h: a client's place in an instance without a server: board, arena and ring in private memory, a
// clock that a test sets, and a kernel that answers as it is told. The test plays the engine: it publishes.

#pragma once

#include "client/seat.h"
#include "client/timeline.h"
#include "core/channel_map.h"
#include "core/gain.h"
#include "tests/core/fake_board.h"

#include <atomic>
#include <cstring>
#include <vector>

namespace ringmix::test {

class FakeWorld final : public client::Surroundings {
public:
    std::int64_t now_ns = 1'000'000'000;
    bool gone = false;   // the server
    bool kernel = false; // there is a kernel's PCM behind it
    os::KernelPcm::Position position{0, 0, true, false};
    mutable std::atomic<int> questions{0}; // that the kernel was asked

    std::int64_t clock_ns() const noexcept override { return now_ns; }
    bool server_gone() const noexcept override { return gone; }
    bool has_kernel_pcm() const noexcept override { return kernel; }
    os::KernelPcm::Position last_position() const noexcept override { return questions++, position; }
    os::KernelPcm::Position fresh_position() const noexcept override { return questions++, position; }
};

class FakeSeat : public client::Seat {
public:
    explicit FakeSeat(const abi::Geometry& geometry) : board_(geometry), timeline_(board_.view(), world)
    {
        core::publish_gains(slot(), core::GainCurve::constant(abi::unity_gain));
        publish(0);
    }

    FakeWorld world;
    bool mine = true;
    std::uint64_t generation = 0;
    std::uint32_t state = abi::device_running;

    const core::BoardView& view() const noexcept override { return board_.view(); }
    std::uint32_t slot_number() const noexcept override { return 3; }
    const client::Timeline& timeline() const noexcept override { return timeline_; }
    bool held() const noexcept override { return mine; }

    protocol::Configured claim_lane(const protocol::Configure& wish) override
    {
        protocol::Configured lane{};
        lane.lane_frames = wish.lane_frames;
        slot().config.format = wish.format;
        slot().config.channels = wish.channels;
        slot().config.lane_offset = 0;
        slot().config.lane_frames = wish.lane_frames;
        core::store_map(slot().config, wish.map);
        board_.board().engine.active = std::uint64_t{1} << slot_number();
        return lane;
    }
    void give_lane_back() noexcept override { board_.board().engine.active = 0; }

    core::SyncSnapshot snapshot(std::uint64_t frame) const
    {
        core::SyncSnapshot snapshot;
        snapshot.frame = snapshot.hw_ptr = frame;
        snapshot.time_ns = world.now_ns;
        snapshot.frame_ns = core::frame_duration(geometry().rate);
        snapshot.generation = generation;
        snapshot.state = state;
        return snapshot;
    }
    // The device is at `frame` now.
    void publish(std::uint64_t frame) { core::publish(board_.board().sync, snapshot(frame)); }
    // It has gone on to `frame`, and the clock with it.
    void play_to(std::uint64_t frame)
    {
        const std::uint64_t ring = geometry().ring_frames;
        for (; played < frame; ++played) {
            std::int16_t* at = reinterpret_cast<std::int16_t*>(board_.ring()) + played % ring * geometry().channels;
            heard.push_back(*at);
            std::memset(at, 0, view().frame_bytes);
        }
        world.now_ns = 1'000'000'000 + static_cast<std::int64_t>(frame * 1'000'000'000 / geometry().rate);
        publish(frame);
    }

    std::uint64_t played = 0;
    std::vector<std::int16_t> heard; // the first channel of each frame

private:
    FakeBoard board_;
    client::Timeline timeline_;
};

// A virtual device at 48 kHz: S16, one channel, a ring of 4096 frames, a margin of 64.
inline abi::Geometry small_device()
{
    abi::Geometry g = geometry(abi::format_s16, 1, 4096, 1 << 20);
    g.period_frames = 256;
    g.margin_frames = 64;
    g.reach_frames = 3072;
    return g;
}

} // namespace ringmix::test
