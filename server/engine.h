// SPDX-License-Identifier: LGPL-2.1-or-later
//
// engine.h: the realtime thread. Once per period (at least every 10 ms, or eighth of a shorter ring, while
// anybody has a lane) it looks where the device is, publishes the time, mixes what has come within reach of the
// ring, repairs what a stopped client left half done, and ends the streams of dead ones (retire). Clients learn by a
// timer, which it pushes ahead each time, that it does not (client/keeper.h).
//
// It never allocates, locks, logs or waits on anything but the device's timer. What cannot be done
// at once it leaves as bits in `post_work` for the butler (after Ardour's transport design).

#pragma once

#include "core/gain.h"
#include "core/post.h"
#include "core/sync_info.h"
#include "core/validate.h"
#include "os/timer.h"
#include "server/device.h"
#include "server/trace.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <semaphore.h>
#include <thread>

namespace ringmix::server {

// Work that the engine leaves to the butler.
enum PostWork : std::uint32_t {
    work_trace = 1,  // there are trace records
    work_output = 2, // frames were played: --output has something to write
    work_reset = 4,  // the device has stopped: reset it
    work_control = 8 // wake the control thread: slots have been retired, or the device is gone
};

class Engine {
public:
    // `view` is the server's own; `butler` is posted when there is work; `output`: what is played is
    // also written out. `silence`: expires when the engine has missed some cycles.
    Engine(Device& device, const core::BoardView& view, TraceRing& trace, sem_t& butler, os::Timer& silence,
           bool output);
    ~Engine(); // stops the thread
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    // Control thread. start() runs the first cycle itself, so that time is published when it returns.
    void start();
    void stop() noexcept;
    // While stopped: what it knows beyond the board, and, before start(), what the one before it in another process
    // knew, whose board this is.
    struct Knowledge {
        core::SyncSnapshot snapshot; // the newest that was published
        std::uint64_t mixed_to = 0;
        std::uint64_t xruns = 0, repairs = 0;
        std::uint64_t open = 0; // slots (a bit each) whose stream's start has been reported
        std::array<std::uint32_t, abi::max_slots> serials{};
    };
    Knowledge knowledge() const noexcept;
    void learn(const Knowledge& knowledge) noexcept;

    // One cycle. Only the engine's thread calls it, or a simulator that has not called start().
    void cycle() noexcept;

    // Control thread: the client of `slot` is dead; fade out and end what it has queued. When that has been
    // played its bit is in take_retired(), once, which is the butler's: it tells the control thread.
    void retire(std::uint32_t slot) noexcept { retire_requests_.fetch_or(abi::bit(slot)); }
    std::uint64_t take_retired() noexcept { return retired_.exchange(0); }
    // Control thread: ramps the gain of `slot` to `gain` (fixed point) within the next cycle, or the one after
    // the ramp before it.
    // Not for a slot after retire(): what was asked before that and not yet done is forgotten then.
    void set_gain(std::uint32_t slot, std::uint32_t gain) noexcept
    {
        gain_targets_[slot].store(gain);
        gain_requests_.fetch_or(abi::bit(slot));
    }

    // Control thread: somebody has got a lane now, and perhaps the engine still sleeps as long as it does with nobody
    // there: should it die meanwhile, that is noticed no later than else.
    void expect_soon() noexcept;

    // Butler: takes the bits that are set. work_reset is asked for again only after reset_done(), and only from
    // `next_ns` (CLOCK_MONOTONIC) on, if the device is still stopped then.
    std::uint32_t take_work() noexcept { return post_work_.exchange(0); }
    void reset_done(std::int64_t next_ns) noexcept
    {
        next_reset_ns_.store(next_ns);
        resetting_.store(false);
    }

    // Any thread.
    std::uint64_t frames_played() const noexcept { return played_.load(std::memory_order_relaxed); }
    std::uint64_t repairs() const noexcept { return repairs_.load(std::memory_order_relaxed); }
    std::uint64_t xruns() const noexcept { return xruns_.load(std::memory_order_relaxed); }
    bool gone() const noexcept { return gone_.load(std::memory_order_relaxed); }
    bool realtime() const noexcept { return realtime_.load(std::memory_order_relaxed); }

private:
    // What the engine knows of a slot's stream, for the log and for retiring.
    struct Watch {
        std::uint32_t serial = 0;
        std::uint64_t first = 0;
        std::uint64_t end = 0; // retiring: where it ends for good
    };

    // How a stream ended.
    struct Ended {
        std::uint64_t first;
        std::uint64_t end; // the frame after its last
        std::uint64_t fade_frames;
    };

    void run() noexcept;
    void publish(const DevicePosition& position) noexcept;
    void mix_within_reach(std::uint64_t reach) noexcept;
    void watch_slots() noexcept;
    void forget_played(std::uint32_t slot) noexcept;
    void watch(std::uint32_t slot) noexcept;
    void watch_ended(std::uint32_t slot, std::uint32_t last_serial) noexcept;
    void report_start(std::uint32_t slot) noexcept;
    void report_end(std::uint32_t slot, const Ended& ended) noexcept;
    void follow_state(const DevicePosition& position) noexcept;
    void bound_tail(abi::Slot& slot, std::uint64_t now) noexcept;
    void change_gains() noexcept;
    void begin_retiring(std::uint32_t slot) noexcept;
    void finish_retiring(std::uint32_t slot) noexcept;
    void report_retired(std::uint32_t slot) noexcept;
    void leave_work(std::uint32_t bits) noexcept;
    std::int64_t longest_sleep() const noexcept;
    std::uint64_t now() const noexcept;
    std::uint64_t published() const noexcept;

    Device& device_;
    const core::BoardView& view_;
    TraceRing& trace_;
    sem_t& butler_;
    os::Timer& silence_;
    core::Poster poster_;
    core::SyncSnapshot snapshot_;
    std::array<Watch, abi::max_slots> watches_{};
    std::uint64_t mixed_to_ = 0; // everything before it that was in reach is mixed
    std::uint64_t retiring_ = 0; // bits of slots
    std::uint64_t open_ = 0;     // bits of slots with an open watch
    bool output_;
    std::uint32_t state_ = DevicePosition::running; // the device's, when last looked at

    std::thread thread_;
    std::atomic<bool> stop_{false};
    std::atomic<std::uint64_t> retire_requests_{0};
    std::atomic<std::uint64_t> retired_{0};
    std::atomic<std::uint64_t> gain_requests_{0};
    std::array<std::atomic<std::uint32_t>, abi::max_slots> gain_targets_{};
    std::atomic<std::uint32_t> post_work_{0};
    std::atomic<bool> resetting_{false};
    std::atomic<std::int64_t> next_reset_ns_{0};
    std::atomic<std::uint64_t> played_{0};
    std::atomic<std::uint64_t> repairs_{0};
    std::atomic<std::uint64_t> xruns_{0};
    std::atomic<bool> gone_{false};
    std::atomic<bool> realtime_{false};
};

} // namespace ringmix::server
