// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/butler.h"

#include "os/process.h"
#include "os/timer.h"
#include "server/engine.h"
#include "server/log.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/eventfd.h>
#include <system_error>

namespace ringmix::server {

namespace {
// Between two tries to restart a device.
constexpr std::int64_t first_pause_ns = 100'000'000;
constexpr std::int64_t longest_pause_ns = 5'000'000'000;
} // namespace

void ClientNames::set(std::uint32_t slot, std::string name, std::uint32_t pid)
{
    const std::lock_guard guard(mutex_);
    names_[slot] = {std::move(name), pid};
}

ClientName ClientNames::get(std::uint32_t slot) const
{
    const std::lock_guard guard(mutex_);
    return slot < names_.size() ? names_[slot] : ClientName{};
}

Doorbell::Doorbell() : bell_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
{
    if (!bell_)
        throw std::system_error(errno, std::generic_category(), "eventfd");
}

void Doorbell::ring() noexcept { eventfd_write(bell_.get(), 1); }

void Doorbell::answer() noexcept
{
    eventfd_t count;
    eventfd_read(bell_.get(), &count);
}

Butler::Butler(Device& device, ClientNames& names, Doorbell& control, const std::string& output, bool append)
    : device_(device), names_(names), control_(control), events_(output, append)
{
    sem_init(&semaphore_, 0, 0);
}

Butler::~Butler()
{
    stop();
    sem_destroy(&semaphore_);
}

void Butler::start()
{
    stop_.store(false);
    thread_ = std::thread([this] { run(); });
}

void Butler::stop() noexcept
{
    stop_.store(true);
    sem_post(&semaphore_);
    if (!thread_.joinable())
        return;
    thread_.join();
    serve();
}

void Butler::run() noexcept
{
    os::name_thread("ringmix-butler");
    while (!stop_.load()) {
        while (sem_wait(&semaphore_) < 0 && errno == EINTR) {
        }
        serve();
    }
}

// One round: first what cannot wait, and again between blocks of output.
void Butler::serve() noexcept
{
    bool more_output = false;
    do {
        const std::uint32_t work = engine_->take_work();
        if ((work & work_reset) != 0 && !stop_.load())
            reset_device();
        // Before their streams' ends are read: a slot's next client has another name.
        const std::uint64_t retired = engine_->take_retired();
        try {
            read_trace();
        } catch (const std::exception& error) {
            log_line(LogLevel::error, error.what());
        }
        retired_.fetch_or(retired);
        if (retired != 0 || (work & work_control) != 0)
            control_.ring();
        if ((work & work_output) != 0 || more_output)
            more_output = device_.write_output();
    } while (more_output);
}

// A device that cannot be restarted is tried again, less and less often, and that is said once.
void Butler::reset_device() noexcept
{
    const int error = device_.reset();
    if (error < 0 && reset_pause_ns_ == 0)
        log_line(LogLevel::error,
                 "cannot restart " + device_.name() + ": " + std::strerror(-error) + "; trying again until it can be");
    if (error == 0 && reset_pause_ns_ != 0)
        log_line(LogLevel::info, device_.name() + " has been restarted");
    reset_pause_ns_ = error == 0 ? 0 : std::clamp(2 * reset_pause_ns_, first_pause_ns, longest_pause_ns);
    engine_->reset_done(os::monotonic_ns() + reset_pause_ns_); // the engine asks again if it is still stopped
}

void Butler::read_trace()
{
    TraceRecord record;
    while (trace_.read(record))
        handle(record);
    if (const std::uint64_t lost = trace_.take_lost(); lost != 0)
        log(LogLevel::warning, "{} trace records were lost", lost);
}

void Butler::handle(const TraceRecord& record)
{
    const ClientName who = names_.get(record.slot);
    switch (record.kind) {
    case trace_stream_start:
        log(LogLevel::debug, "client {} ({}, pid {}) starts at frame {}", record.slot, who.name, who.pid, record.first);
        events_.stream_start(record.slot, who, static_cast<std::uint32_t>(record.extra), record.first);
        break;
    case trace_stream_end:
        log(LogLevel::debug, "client {} ({}, pid {}) played frames {} to {}", record.slot, who.name, who.pid,
            record.first, record.last);
        events_.stream_end(record.slot, who, static_cast<std::uint32_t>(record.extra),
                           {record.first, record.last, record.extra >> 32});
        break;
    case trace_streams_missed:
        log(LogLevel::warning, "client {} ({}, pid {}) played {} streams whose ends were not seen", record.slot,
            who.name, who.pid, record.extra);
        events_.missed(record.slot, who, record.extra);
        break;
    case trace_gain:
        events_.gain(record.slot, who,
                     {record.first, record.last, static_cast<std::uint32_t>(record.extra >> 32),
                      static_cast<std::uint32_t>(record.extra)});
        break;
    case trace_device_stopped:
        log(LogLevel::warning, "{} has stopped at frame {}; restarting it", device_.name(), record.first);
        break;
    case trace_device_gone:
        log(LogLevel::error, "{} is gone (unplugged?) at frame {}", device_.name(), record.first);
        break;
    default:
        break;
    }
}

} // namespace ringmix::server
