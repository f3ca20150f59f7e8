// SPDX-License-Identifier: LGPL-2.1-or-later
//
// butler.h: the thread that does everything slow for the engine: writes --output and its event log,
// formats trace records, resets a stopped device, and wakes the control thread when slots of dead
// clients have been played out. Woken by a POSIX semaphore, which the realtime thread can post.

#pragma once

#include "os/descriptor.h"
#include "ringmix/abi.h"
#include "server/device.h"
#include "server/event_log.h"
#include "server/trace.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <semaphore.h>
#include <string>
#include <thread>

namespace ringmix::server {

class Engine;

// Who sits in which slot: written by the control thread, read by the butler for its logs.
class ClientNames {
public:
    void set(std::uint32_t slot, std::string name, std::uint32_t pid);
    ClientName get(std::uint32_t slot) const;

private:
    mutable std::mutex mutex_;
    std::array<ClientName, abi::max_slots> names_;
};

// Wakes the control thread: a descriptor that becomes readable when it is rung. Any thread.
class Doorbell {
public:
    Doorbell();                                     // throws std::system_error
    int fd() const noexcept { return bell_.get(); } // readable from ring() to answer()
    void ring() noexcept;
    void answer() noexcept;

private:
    os::Descriptor bell_;
};

class Butler {
public:
    // `output`: the file of --output; its event log is written beside it, or goes on (`append`).
    Butler(Device& device, ClientNames& names, Doorbell& control, const std::string& output, bool append);
    ~Butler();
    Butler(const Butler&) = delete;
    Butler& operator=(const Butler&) = delete;

    TraceRing& trace() noexcept { return trace_; }
    sem_t& semaphore() noexcept { return semaphore_; }
    void serve_for(Engine& engine) noexcept { engine_ = &engine; } // once, before any of the following
    void start();
    void stop() noexcept; // after the engine has stopped; writes out what is left
    // One round over everything that there is to do. The butler's thread, or a simulator in its place.
    void serve() noexcept;

    // Control thread: the slots (a bit each) of which everything has been played and logged; each is told once.
    std::uint64_t take_retired() noexcept { return retired_.exchange(0); }

private:
    void run() noexcept;
    void reset_device() noexcept;
    void read_trace();
    void handle(const TraceRecord& record);

    Device& device_;
    ClientNames& names_;
    Doorbell& control_;
    EventLog events_;
    TraceRing trace_;
    sem_t semaphore_;
    std::int64_t reset_pause_ns_ = 0; // before the next try; 0: the last one was a success
    Engine* engine_ = nullptr;
    std::thread thread_;
    std::atomic<bool> stop_{false};
    std::atomic<std::uint64_t> retired_{0};
};

} // namespace ringmix::server
