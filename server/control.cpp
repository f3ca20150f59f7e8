// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/control.h"

#include "core/format.h"

#include "os/process.h"
#include "os/timer.h"
#include "server/log.h"
#include "server/service_manager.h"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <system_error>

namespace ringmix::server {

namespace {

constexpr std::int64_t hello_timeout_ns = 5'000'000'000;
constexpr int realtime_priority = 10; // below the engine's, and below kernel threads that serve devices
constexpr std::size_t max_sessions = 4 * abi::max_slots;

// What an epoll event is about: a kind and a descriptor.
enum : std::uint64_t { about_listener = 1, about_signal, about_retired, about_session, about_process };
constexpr std::uint64_t tag(std::uint64_t kind, int fd) { return kind << 32 | static_cast<std::uint32_t>(fd); }
constexpr std::uint64_t kind_of(std::uint64_t tag) { return tag >> 32; }
constexpr int fd_of(std::uint64_t tag) { return static_cast<int>(tag & 0xffffffff); }

void say(const std::string& line) { log_line(LogLevel::warning, line); }

} // namespace

Control::Control(const Options& options, os::Descriptor listener, std::string socket_path, bool activated)
    : options_(options), socket_path_(std::move(socket_path)), listener_(std::move(listener)),
      epoll_(epoll_create1(EPOLL_CLOEXEC))
{
    if (!epoll_)
        throw std::system_error(errno, std::generic_category(), "epoll_create1");
    try {
        open_instance();
    } catch (const std::exception& error) {
        if (!activated)
            throw;
        log_line(LogLevel::error, error.what()); // each client that comes tries again, and is told
    }
    watch(listener_.get(), tag(about_listener, listener_.get()));
    watch(retired_.fd(), tag(about_retired, retired_.fd()));
    idle_since_ns_ = os::monotonic_ns();
}

Control::~Control()
{
    if (instance_ && players() != 0)
        instance_->device().leave_running(); // clients that hold the descriptor play on
}

std::string Control::description() const
{
    if (!instance_)
        return "device closed; socket " + socket_path_;
    const abi::Geometry& g = instance_->view().geometry;
    return fmt::format("{}, {} Hz, {}, {} channel{}, period {}, ring {} frames; socket {}", instance_->device().name(),
                       g.rate, core::format_name(g.format), g.channels, g.channels == 1 ? "" : "s", g.period_frames,
                       g.ring_frames, socket_path_);
}

void Control::open_instance() { instance_ = std::make_unique<Instance>(options_, say, names_, retired_); }

void Control::close_instance()
{
    log_line(LogLevel::info, "no clients: closing " + instance_->device().name());
    instance_.reset();
    notify_manager("STATUS=idle, device closed");
}

std::uint32_t Control::players() const
{
    return static_cast<std::uint32_t>(
        std::count_if(owners_.begin(), owners_.end(), [](const SlotOwner& owner) { return owner.used; }));
}

void Control::watch(int fd, std::uint64_t event_tag)
{
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = event_tag;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0)
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
}

// Where the engine may be realtime, so is this thread: a client's death is to be seen within ms also
// on a machine on which everybody is busy. What it starts is not (os/process.h).
void Control::follow_engine() noexcept
{
    if (!realtime_ && instance_ && instance_->engine().realtime())
        realtime_ = os::become_realtime(realtime_priority);
}

int Control::run(int signal_fd)
{
    watch(signal_fd, tag(about_signal, signal_fd));
    for (;;) {
        follow_engine();
        epoll_event events[16];
        const int count = epoll_wait(epoll_.get(), events, std::size(events), next_timeout());
        bool knocking = false;
        for (int i = 0; i < count; i++) {
            if (kind_of(events[i].data.u64) == about_listener)
                knocking = true;
            else if (!handle_event(events[i].data.u64, signal_fd))
                return 0;
        }
        // Last: a new connection may get the descriptor of one that has just ended, and events of that one
        // would be taken for its own.
        if (knocking)
            accept_clients();
        if (instance_ && instance_->engine().gone()) {
            log_line(LogLevel::error, "the device is gone; ending");
            return 1;
        }
        expire_silent();
        if (players() != 0) {
            idle_since_ns_ = os::monotonic_ns();
        } else if (instance_ && options_.idle_seconds >= 0 &&
                   static_cast<double>(os::monotonic_ns() - idle_since_ns_) >= options_.idle_seconds * 1e9) {
            if (options_.autostarted)
                return 0;
            close_instance();
        }
    }
}

// Until the next moment at which something ends by time: at most a second while there is a device,
// so that its loss is noticed.
int Control::next_timeout() const
{
    std::int64_t next = std::numeric_limits<std::int64_t>::max();
    const std::int64_t now = os::monotonic_ns();
    if (instance_)
        next = now + 1'000'000'000;
    for (const auto& [fd, session] : sessions_)
        if (session.hello_deadline_ns != 0)
            next = std::min(next, session.hello_deadline_ns);
    if (instance_ && options_.idle_seconds >= 0 && players() == 0)
        next = std::min(next, idle_since_ns_ + static_cast<std::int64_t>(options_.idle_seconds * 1e9));
    if (next == std::numeric_limits<std::int64_t>::max())
        return -1;
    return static_cast<int>(std::max<std::int64_t>(next - now, 0) / 1'000'000 + 1);
}

bool Control::handle_event(std::uint64_t event_tag, int signal_fd)
{
    switch (kind_of(event_tag)) {
    case about_signal: {
        signalfd_siginfo info;
        if (read(signal_fd, &info, sizeof info) == sizeof info)
            log(LogLevel::info, "signal {}: ending", info.ssi_signo);
        return false;
    }
    case about_retired:
        free_retired();
        break;
    case about_session:
        serve(fd_of(event_tag));
        break;
    case about_process: // tagged with the session's socket: a forked child may hold that open
        forget(fd_of(event_tag), "its process has died");
        break;
    default:
        break;
    }
    return true;
}

void Control::accept_clients()
{
    for (;;) {
        Session session;
        try {
            session.socket = os::accept_from(listener_.get());
            if (!session.socket)
                return;
            if (sessions_.size() >= max_sessions) {
                refuse(session, EUSERS, "too many connections to this ringmix server");
                continue;
            }
            session.peer = os::peer_credentials(session.socket.get());
            session.hello_deadline_ns = os::monotonic_ns() + hello_timeout_ns;
            const int fd = session.socket.get();
            watch(fd, tag(about_session, fd));
            if (session.peer.pid > 0)
                session.process = os::watch_process(session.peer.pid);
            if (session.process)
                watch(session.process.get(), tag(about_process, fd));
            sessions_.emplace(fd, std::move(session));
        } catch (const std::system_error& error) {
            log(LogLevel::warning, "cannot take a connection: {}", error.what());
            return;
        }
    }
}

void Control::serve(int fd)
{
    const auto found = sessions_.find(fd);
    if (found == sessions_.end())
        return; // forgotten by an event before this one
    alignas(8) std::byte buffer[protocol::max_message_bytes];
    try {
        const os::Packet packet = os::receive_packet(fd, buffer, 0);
        if (packet.nothing)
            return;
        if (packet.bytes == 0)
            return forget(fd, "it has closed");
        if (packet.truncated) {
            refuse(found->second, EMSGSIZE, "the message is too long, or carries descriptors");
            return forget(fd, "it sent an oversized message");
        }
        if (!answer(found->second, std::span(buffer, packet.bytes)))
            forget(fd, "its request was refused");
    } catch (const std::exception& error) {
        forget(fd, error.what());
    }
}

// The connection is over. What its player has queued is faded out by the engine; the slot and its
// lane are freed when that has been played.
void Control::forget(int fd, const char* why)
{
    const auto found = sessions_.find(fd);
    if (found == sessions_.end())
        return;
    Session& session = found->second;
    if (session.slot != protocol::no_slot) {
        log(LogLevel::debug, "client {} ({}) leaves: {}", session.slot, session.name, why);
        if (owners_[session.slot].heard)
            instance_->engine().retire(session.slot);
        else
            free_slot(session.slot);
    }
    sessions_.erase(found);
}

void Control::free_retired()
{
    for (const std::uint32_t slot : retired_.take()) {
        if (instance_ && slot < owners_.size() && owners_[slot].used)
            free_slot(slot);
    }
}

void Control::free_slot(std::uint32_t slot)
{
    give_up_lane(slot);
    instance_->slot(slot).config.state.store(abi::slot_free, std::memory_order_release);
    owners_[slot] = {};
    idle_since_ns_ = os::monotonic_ns();
}

void Control::expire_silent()
{
    const std::int64_t now = os::monotonic_ns();
    for (auto i = sessions_.begin(); i != sessions_.end();) {
        const int fd = i->first;
        Session& session = i->second;
        ++i;
        if (session.hello_deadline_ns == 0 || now < session.hello_deadline_ns)
            continue;
        refuse(session, ETIMEDOUT, "nothing was said for 5 s after connecting");
        forget(fd, "it said nothing");
    }
}

} // namespace ringmix::server
