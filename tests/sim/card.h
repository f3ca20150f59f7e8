// SPDX-License-Identifier: LGPL-2.1-or-later
//
// card.h: a simulated sound card with the kernel's part of a PCM: a ring that is played round and round by the
// card's own clock, pointers that move at interrupts (late, by periods, those of 32-bit kernels),
// silence behind them before they are published, stops, restarts, jumps, unplugging.

#pragma once

#include "os/kernel_pcm.h"
#include "server/device.h"
#include "tests/sim/machine.h"

#include <cstdint>

namespace ringmix::sim {

struct CardHabits {
    std::int64_t ppm = 0;          // how much faster than its rate it is, in millionths
    std::int64_t jitter_ns = 0;    // an interrupt is late by this at most
    bool by_periods = false;       // the position is only known period by period
    std::uint32_t fifo_frames = 0; // frames that it has read ahead of its position
    bool has_timer = true;         // PCM timer: the engine wakes at interrupts
    unsigned boundary_bits = 62;   // the kernel's hw_ptr wraps below this
    std::int64_t publish_ns = 0;   // from silencing to publishing, at most
};

class Card final : public Object {
public:
    static constexpr Kind its_kind = Kind::card;
    enum class State { setup, prepared, running, stopped, suspended, gone };

    Card(const server::DeviceShape& shape, const CardHabits& habits);

    const server::DeviceShape& shape() const noexcept { return shape_; }
    const CardHabits& habits() const noexcept { return habits_; }
    const std::shared_ptr<Block>& block() const noexcept { return ring_; }
    State state() const noexcept { return state_; }
    std::uint64_t boundary() const noexcept { return boundary_; }
    std::uint32_t frame_bytes() const noexcept { return frame_bytes_; }

    // What the server does.
    void prepare();
    int start();
    void drop();

    // What befalls it.
    void stop(State state); // stopped or suspended: an xrun that the driver insists on
    void unplug();
    void jump(std::uint64_t frames); // its position leaps
    int start_error = 0;             // start() fails so
    void
    skip_to(std::int64_t time); // nobody looks until then, and its ring is silent: that is not played frame by frame

    // What everybody may read.
    os::KernelPcm::Position position() const noexcept;
    void update(); // asks the hardware (HWSYNC)

    // What is true. Frames are counted from the last prepare() on.
    std::uint64_t played() const noexcept;                  // now, without what has been read ahead
    std::uint64_t epoch() const noexcept { return epoch_; } // counts start()
    std::int64_t started_ns() const noexcept { return start_ns_; }
    // Reads what has become due; `heard` gets each frame.
    void advance();
    std::function<void(std::uint64_t frame, const std::byte* bytes)> heard;

    std::function<void()> restarted;

    // The engine's PCM timer.
    std::shared_ptr<Counter> ticks = std::make_shared<Counter>();

private:
    std::uint64_t position_at(std::int64_t time) const noexcept;
    std::int64_t time_of(std::uint64_t frame) const noexcept;
    std::uint64_t known_position() const noexcept;
    void silence_to(std::uint64_t frame);
    void publish(std::uint64_t frame, std::int64_t time);
    void arm();
    void interrupt();

    server::DeviceShape shape_;
    CardHabits habits_;
    std::uint32_t frame_bytes_;
    std::shared_ptr<Block> ring_;
    std::uint64_t boundary_;
    State state_ = State::setup;
    std::uint64_t epoch_ = 0;
    std::int64_t start_ns_ = 0;
    std::uint64_t base_ = 0;     // position at start_ns_
    std::uint64_t read_ = 0;     // frames that the card has taken out of the ring
    std::uint64_t silenced_ = 0; // before it the kernel has written silence
    std::uint64_t hw_ = 0;       // published, not wrapped
    std::int64_t stamp_ns_ = 0;  // its time
    std::int64_t skipping_until_ = 0;
    std::uint64_t arming_ = 0; // the interrupt that is awaited
};

// The card of this run, if its device is one.
extern std::shared_ptr<Card> card;

} // namespace ringmix::sim
