// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/control.h"

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
constexpr std::int64_t accept_rest_ns = 200'000'000;
constexpr int control_priority = 10; // below the engine's, and below kernel threads that serve devices
constexpr std::size_t max_connections = 4 * abi::max_slots;

// What an epoll event is about: a kind and a descriptor.
enum : std::uint64_t { about_listener = 1, about_directory, about_signal, about_bell, about_session, about_process };
constexpr std::uint64_t tag(std::uint64_t kind, int fd) { return kind << 32 | static_cast<std::uint32_t>(fd); }
constexpr std::uint64_t kind_of(std::uint64_t tag) { return tag >> 32; }
constexpr int fd_of(std::uint64_t tag) { return static_cast<int>(tag & 0xffffffff); }

void say(const std::string& line) { log_line(LogLevel::warning, line); }

} // namespace

bool Connection::send(std::span<const std::byte> message, std::span<const int> descriptors)
{
    try {
        os::send_packet(socket.get(), message, descriptors, false);
        return true;
    } catch (const std::system_error& error) {
        log(LogLevel::debug, "cannot answer {}: {}", name, error.what());
        return false;
    }
}

Control::Control(const Options& options, Listener listener, bool activated)
    : options_(options), listener_(std::move(listener)), epoll_(make_epoll()),
      requests_(options, names_, [this] { return open_instance(); })
{
    try {
        requests_.open();
    } catch (const std::exception& error) {
        if (!activated)
            throw;
        log_line(LogLevel::error, error.what()); // each client that comes tries again, and is told
    }
    watch_all();
}

os::Descriptor Control::make_epoll()
{
    os::Descriptor epoll(epoll_create1(EPOLL_CLOEXEC));
    if (!epoll)
        throw std::system_error(errno, std::generic_category(), "epoll_create1");
    return epoll;
}

void Control::watch_all()
{
    watch(listener_.fd(), tag(about_listener, listener_.fd()));
    if (listener_.watch_fd() >= 0)
        watch(listener_.watch_fd(), tag(about_directory, listener_.watch_fd()));
    watch(bell_.fd(), tag(about_bell, bell_.fd()));
    idle_since_ns_ = os::monotonic_ns();
}

Control::~Control()
{
    if (requests_.instance() != nullptr && (handed_over_ || requests_.players() != 0))
        requests_.instance()->device().leave_running(); // clients that hold the descriptor play on
    requests_.close(); // before the socket: who knocks meanwhile sees that this server is just ending
    for (auto& [fd, connection] : connections_)
        closer_.close(std::move(connection->socket));
    closer_.close(listener_.take_socket()); // some may have said something without being accepted yet
}

std::string Control::description() const { return requests_.description() + "; socket " + listener_.path(); }

std::unique_ptr<Instance> Control::open_instance()
{
    auto instance = std::make_unique<Instance>(open_device(options_.wishes, say), options_, say, names_, bell_);
    instance->start();
    return instance;
}

void Control::close_device()
{
    log_line(LogLevel::info, "no clients: closing " + requests_.instance()->device().name());
    requests_.close();
    notify_manager("STATUS=idle, device closed");
}

void Control::watch(int fd, std::uint64_t event_tag)
{
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = event_tag;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0)
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
}

void Control::unwatch(int fd) noexcept { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

// Where the engine may be realtime, so is this thread: a client's death is to be seen within ms also
// on a machine on which everybody is busy. What it starts is not (os/process.h).
void Control::follow_engine() noexcept
{
    if (!realtime_ && requests_.instance() != nullptr && requests_.instance()->engine().realtime())
        realtime_ = os::become_realtime(control_priority);
}

int Control::run(int signal_fd)
{
    watch(signal_fd, tag(about_signal, signal_fd));
    for (;;) {
        follow_engine();
        epoll_event events[16];
        const int count = epoll_wait(epoll_.get(), events, std::size(events), next_timeout());
        bool knocking = false, directory_changed = false;
        for (int i = 0; i < count; i++) {
            if (kind_of(events[i].data.u64) == about_listener)
                knocking = true;
            else if (kind_of(events[i].data.u64) == about_directory)
                directory_changed = true;
            else if (!handle_event(events[i].data.u64, signal_fd))
                return 0;
        }
        // Last: a new connection may get the descriptor of one that has just ended, and events of that one
        // would be taken for its own.
        if (knocking)
            accept_clients();
        if (directory_changed)
            restore_listener();
        if (requests_.instance() != nullptr && requests_.instance()->engine().gone()) {
            log_line(LogLevel::error, "the device is gone; ending");
            return 1;
        }
        accept_again();
        expire_silent();
        if (idle_is_over())
            return 0;
    }
}

// Without clients for --idle: closes the device. True: an autostarted server has had nobody for long enough.
bool Control::idle_is_over()
{
    if (requests_.players() != 0) {
        had_players_ = true;
        idle_since_ns_ = -1;
        return false;
    }
    const std::int64_t now = os::monotonic_ns();
    if (idle_since_ns_ < 0)
        idle_since_ns_ = now;
    if (requests_.instance() != nullptr && now >= idle_end_ns(close_seconds()))
        close_device();
    return now >= idle_end_ns(options_.end_seconds);
}

// The device is not closed under the first client, for whom an autostarted server opens it.
double Control::close_seconds() const noexcept
{
    return had_players_ ? options_.idle_seconds : std::max(options_.idle_seconds, options_.end_seconds);
}

// When an idle time of `seconds` that began when there was nobody any more is over. Negative: never.
std::int64_t Control::idle_end_ns(double seconds) const noexcept
{
    if (seconds < 0 || idle_since_ns_ < 0)
        return std::numeric_limits<std::int64_t>::max();
    return idle_since_ns_ + static_cast<std::int64_t>(seconds * 1e9);
}

// Until the next moment at which something ends by time.
int Control::next_timeout() const
{
    std::int64_t next = idle_end_ns(options_.end_seconds);
    if (requests_.instance() != nullptr)
        next = std::min(next, idle_end_ns(close_seconds()));
    if (accept_again_ns_ != 0)
        next = std::min(next, accept_again_ns_);
    for (const auto& [fd, connection] : connections_)
        if (!connection->greeted)
            next = std::min(next, connection->hello_deadline_ns);
    if (next == std::numeric_limits<std::int64_t>::max())
        return -1;
    const std::int64_t left_ms = std::max<std::int64_t>(next - os::monotonic_ns(), 0) / 1'000'000 + 1;
    return static_cast<int>(std::min<std::int64_t>(left_ms, std::numeric_limits<int>::max()));
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
    case about_bell:
        bell_.answer();
        requests_.free_retired();
        break;
    case about_session:
        return serve(fd_of(event_tag));
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
    try {
        while (os::Descriptor socket = os::accept_from(listener_.fd())) {
            accept_failed_ = false;
            accept_client(std::move(socket));
        }
    } catch (const std::system_error& error) {
        rest_from_accepting(error.what());
    }
}

void Control::accept_client(os::Descriptor socket)
{
    auto connection = std::make_unique<Connection>();
    connection->socket = std::move(socket);
    const int fd = connection->socket.get();
    try {
        connection->peer = os::peer_credentials(fd);
        connection->hello_deadline_ns = os::monotonic_ns() + hello_timeout_ns;
        if (connections_.size() >= max_connections) {
            requests_.refuse(*connection, EUSERS, "too many connections to this ringmix server");
            return take_down(std::move(connection));
        }
        if (connection->peer.pid > 0)
            connection->process = os::watch_process(connection->peer.pid);
        watch_connection(*connection);
        connections_.emplace(fd, std::move(connection));
    } catch (...) {
        take_down(std::move(connection));
        throw;
    }
}

void Control::watch_connection(const Connection& connection)
{
    const int fd = connection.socket.get();
    watch(fd, tag(about_session, fd));
    if (connection.process)
        watch(connection.process.get(), tag(about_process, fd));
}

// A connection that cannot be accepted (no descriptors left, mostly) keeps the listener readable: without a
// rest this thread would do nothing else.
void Control::rest_from_accepting(const char* why)
{
    if (!std::exchange(accept_failed_, true))
        log(LogLevel::warning, "cannot take a connection: {}; trying again until it can be", why);
    unwatch(listener_.fd());
    accept_again_ns_ = os::monotonic_ns() + accept_rest_ns;
}

void Control::accept_again()
{
    if (accept_again_ns_ == 0 || os::monotonic_ns() < accept_again_ns_)
        return;
    accept_again_ns_ = 0;
    watch(listener_.fd(), tag(about_listener, listener_.fd()));
}

// Somebody has removed the socket's file, and nobody would find this server any more.
void Control::restore_listener()
{
    os::Descriptor old;
    try {
        if (!listener_.restore(old))
            return;
        log(LogLevel::warning, "the socket {} was removed: made it anew", listener_.path());
        accept_again_ns_ = 0;
        watch(listener_.fd(), tag(about_listener, listener_.fd()));
        if (listener_.watch_fd() >= 0)
            watch(listener_.watch_fd(), tag(about_directory, listener_.watch_fd()));
    } catch (const std::exception& error) {
        log(LogLevel::error, "the socket {} was removed and cannot be made anew: {}", listener_.path(), error.what());
    }
    closer_.close(std::move(old));
}

// The peer sees the end at once, whenever the socket is closed.
void Control::take_down(std::unique_ptr<Connection> connection) noexcept
{
    if (!connection)
        return;
    os::hang_up(connection->socket.get());
    unwatch(connection->socket.get());
    if (connection->process)
        unwatch(connection->process.get());
    closer_.close(std::move(connection->socket));
}

// False: another server has taken this one's place.
bool Control::serve(int fd)
{
    const auto found = connections_.find(fd);
    if (found == connections_.end())
        return true; // forgotten by an event before this one
    alignas(8) std::byte buffer[protocol::max_message_bytes];
    try {
        os::Packet packet = os::receive_packet(fd, buffer, 0);
        const bool descriptors = !packet.descriptors.empty();
        for (os::Descriptor& descriptor : packet.descriptors)
            closer_.close(std::move(descriptor));
        if (packet.nothing)
            return true;
        const std::span<const std::byte> bytes(buffer, packet.bytes);
        if (packet.bytes == 0) {
            forget(fd, "it has closed");
        } else if (packet.truncated || descriptors) {
            requests_.refuse(*found->second, EMSGSIZE, "the message is too long, or carries descriptors");
            forget(fd, "it sent an oversized message");
        } else if (asks_to_succeed(*found->second, bytes)) {
            if (hand_over(*found->second))
                return false;
            forget(fd, "it has not taken over");
        } else if (!requests_.answer(*found->second, bytes)) {
            forget(fd, "its request was refused");
        }
    } catch (const std::exception& error) {
        forget(fd, error.what());
    }
    return true;
}

void Control::forget(int fd, const char* why)
{
    const auto found = connections_.find(fd);
    if (found == connections_.end())
        return;
    requests_.leave(*found->second, why);
    take_down(std::move(found->second));
    connections_.erase(found);
}

void Control::expire_silent()
{
    const std::int64_t now = os::monotonic_ns();
    for (auto i = connections_.begin(); i != connections_.end();) {
        const auto& [fd, connection] = *i++;
        if (connection->greeted || now < connection->hello_deadline_ns)
            continue;
        requests_.refuse(*connection, ETIMEDOUT, "nothing was said for 5 s after connecting");
        forget(fd, "it said nothing");
    }
}

} // namespace ringmix::server
