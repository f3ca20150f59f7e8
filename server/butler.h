// SPDX-License-Identifier: LGPL-2.1-or-later
//
// butler.h: the thread that does everything slow for the engine: writes --output and its event log,
// formats trace records, resets a stopped device, and tells the control thread which slots of dead
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
#include <vector>

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

// Slots whose audio has been played out: from the butler to the control thread.
class Retired {
public:
    Retired();                                       // throws std::system_error
    int fd() const noexcept { return event_.get(); } // readable when there are some
    void put(std::uint32_t slot);
    std::vector<std::uint32_t> take();

private:
    os::Descriptor event_;
    std::mutex mutex_;
    std::vector<std::uint32_t> slots_;
};

class Butler {
public:
    // `output`: the file of --output; its event log is written beside it.
    Butler(Device& device, ClientNames& names, Retired& retired, const std::string& output);
    ~Butler();
    Butler(const Butler&) = delete;
    Butler& operator=(const Butler&) = delete;

    TraceRing& trace() noexcept { return trace_; }
    sem_t& semaphore() noexcept { return semaphore_; }
    void start(Engine& engine);
    void stop() noexcept; // after the engine has stopped; writes out what is left

private:
    void run() noexcept;
    void serve() noexcept;
    void reset_device() noexcept;
    void read_trace();
    void handle(const TraceRecord& record);

    Device& device_;
    ClientNames& names_;
    Retired& retired_;
    EventLog events_;
    TraceRing trace_;
    sem_t semaphore_;
    Engine* engine_ = nullptr;
    std::thread thread_;
    std::atomic<bool> stop_{false};
};

} // namespace ringmix::server
