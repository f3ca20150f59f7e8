// SPDX-License-Identifier: LGPL-2.1-or-later

#include "os/socket.h"

#include "os/error.h"
#include "os/paths.h"
#include "os/timer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>

namespace ringmix::os {
namespace {

constexpr int connect_timeout_s = 5;

// The most that one packet can carry (SCM_MAX_FD). All are received: the kernel would close those that find no
// room, and closing can block (see receive_packet()).
constexpr std::size_t most_received = 253;

// Room for the descriptors of one packet, aligned for the header in front of them.
template <std::size_t count> struct alignas(cmsghdr) ControlBuffer {
    std::byte bytes[CMSG_SPACE(count * sizeof(int))];
};

sockaddr_un to_address(const std::string& path)
{
    // An empty path or one that starts with 0 would be an abstract address, open to everybody.
    if (path.empty() || path.find('\0') != std::string::npos)
        fail(EINVAL, "socket path '", path, "'");
    if (path.size() > max_socket_path)
        fail(ENAMETOOLONG, "socket path ", path, " has ", std::to_string(path.size()), " bytes, and at most ",
             std::to_string(max_socket_path), " bytes fit: choose a shorter one with --socket");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

int connect_once(int socket, const sockaddr_un& address) noexcept
{
    return ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

Descriptor make_socket(int flags)
{
    Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0));
    if (!socket)
        fail(errno, "create a Unix socket");
    return socket;
}

void set_send_timeout(int socket, int seconds)
{
    const timeval time{seconds, 0};
    if (::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)) < 0)
        fail(errno, "setsockopt SO_SNDTIMEO");
}

void refuse_other_file(const std::string& path, const struct stat& status)
{
    if (!S_ISSOCK(status.st_mode))
        fail(EEXIST, "listen on ", path, ": it is no socket and is left alone; remove it or choose another --socket");
}

// Removes a socket file that nobody answers. Two servers cannot do it to each other: the caller
// holds the lock that goes with the path.
void remove_stale(const std::string& path, const sockaddr_un& address)
{
    struct stat status;
    if (::lstat(path.c_str(), &status) < 0)
        return; // nothing there, or bind() tells what is wrong
    refuse_other_file(path, status);
    // Non-blocking: the owner of a full queue is alive (EAGAIN), however slow.
    const Descriptor probe = make_socket(SOCK_NONBLOCK);
    const int error = connect_once(probe.get(), address) == 0 ? EADDRINUSE : errno;
    if (error == EADDRINUSE || error == EAGAIN || error == EPROTOTYPE)
        fail(EADDRINUSE, "listen on ", path, ": a server is there already");
    if (error != ECONNREFUSED && error != ENOENT)
        fail(error, "listen on ", path, ": find out whether somebody uses it");
    if (::unlink(path.c_str()) < 0 && errno != ENOENT)
        fail(errno, "remove the stale socket ", path);
}

void bind_to(int socket, const std::string& path, const sockaddr_un& address)
{
    if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0)
        fail(errno, "bind ", path);
}

// The file gets the socket's mode less the umask: never too much. Give back what the umask took.
void complete_mode(const std::string& path, mode_t mode)
{
    struct stat status;
    if (::lstat(path.c_str(), &status) < 0)
        fail(errno, "lstat ", path);
    if ((status.st_mode & 07777) != mode && ::chmod(path.c_str(), mode) < 0)
        fail(errno, "chmod ", path);
}

// False when the time (CLOCK_MONOTONIC, negative: for ever) is up.
bool wait_readable(int socket, std::int64_t deadline_ns)
{
    for (;;) {
        int timeout_ms = -1;
        if (deadline_ns >= 0) {
            const std::int64_t left = deadline_ns - monotonic_ns();
            timeout_ms = left <= 0 ? 0 : static_cast<int>((left + ns_per_ms - 1) / ns_per_ms);
        }
        pollfd fd{socket, POLLIN, 0};
        const int ready = ::poll(&fd, 1, timeout_ms);
        if (ready >= 0)
            return ready > 0;
        if (errno != EINTR)
            fail(errno, "poll a socket");
    }
}

// Takes over every descriptor that came along. `into` has room: none is lost to a failing allocation.
void take_descriptors(msghdr& message, std::vector<Descriptor>& into)
{
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd;
            std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            into.emplace_back(fd);
        }
    }
}

// One recvmsg() that does not wait; false with errno on errors.
bool receive_now(int socket, std::span<std::byte> buffer, Packet& packet)
{
    ControlBuffer<most_received> control;
    iovec data{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof(control.bytes);
    packet.descriptors.reserve(most_received);
    const ssize_t bytes = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (bytes < 0)
        return false;
    take_descriptors(message, packet.descriptors);
    packet.bytes = static_cast<std::size_t>(bytes);
    packet.truncated = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
    return true;
}

} // namespace

std::string directory_of(const std::string& path)
{
    const auto slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, std::max<std::size_t>(slash, 1));
}

void require_socket_place(const std::string& path)
{
    to_address(path);
    make_directories_for(path);
    const std::string directory = directory_of(path);
    struct stat status;
    if (::stat(directory.c_str(), &status) == 0 && !S_ISDIR(status.st_mode))
        fail(ENOTDIR, "listen on ", path, ": ", directory, " is no directory; choose another --socket");
    if (::faccessat(AT_FDCWD, directory.c_str(), W_OK | X_OK, AT_EACCESS) < 0)
        fail(errno, "listen on ", path, ": directory ", directory,
             " is not writable for this user; choose another --socket");
    if (::lstat(path.c_str(), &status) == 0)
        refuse_other_file(path, status);
}

Descriptor connect_to(const std::string& path)
{
    const sockaddr_un address = to_address(path);
    Descriptor socket = make_socket(0);
    // A stopped server whose queue is full would hold its clients for ever.
    const std::int64_t deadline = monotonic_ns() + connect_timeout_s * 1000 * ns_per_ms;
    set_send_timeout(socket.get(), connect_timeout_s);
    while (connect_once(socket.get(), address) < 0) {
        const int error = errno;
        if (error != EINTR || monotonic_ns() >= deadline)
            fail(error == EAGAIN || error == EINTR ? ETIMEDOUT : error, "connect ", path);
    }
    set_send_timeout(socket.get(), 0);
    return socket;
}

Descriptor listen_at(const std::string& path, mode_t mode)
{
    const sockaddr_un address = to_address(path);
    require_socket_place(path);
    remove_stale(path, address);
    Descriptor socket = make_socket(SOCK_NONBLOCK);
    // Before bind(), so that the file is never more open than asked, whatever the umask.
    if (::fchmod(socket.get(), mode) < 0)
        fail(errno, "fchmod the socket for ", path);
    bind_to(socket.get(), path, address);
    try {
        complete_mode(path, mode);
        if (::listen(socket.get(), SOMAXCONN) < 0)
            fail(errno, "listen on ", path);
    } catch (...) {
        ::unlink(path.c_str());
        throw;
    }
    return socket;
}

Descriptor accept_from(int listener)
{
    for (;;) {
        Descriptor connection(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
        if (connection || errno == EAGAIN || errno == ECONNABORTED)
            return connection;
        if (errno != EINTR)
            fail(errno, "accept a connection");
    }
}

void send_packet(int socket, std::span<const std::byte> packet, std::span<const int> descriptors, bool wait)
{
    // An empty packet would look like the end of the connection.
    if (packet.empty() || descriptors.size() > max_passed_descriptors)
        fail(EINVAL, "send a packet of ", std::to_string(packet.size()), " bytes and ",
             std::to_string(descriptors.size()), " descriptors");
    iovec data{const_cast<std::byte*>(packet.data()), packet.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    ControlBuffer<max_passed_descriptors> control{};
    if (!descriptors.empty()) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
    }
    while (::sendmsg(socket, &message, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT)) < 0)
        if (errno != EINTR)
            fail(errno, "send a packet");
}

Packet receive_packet(int socket, std::span<std::byte> buffer, int timeout_ms)
{
    const std::int64_t deadline = timeout_ms < 0 ? -1 : monotonic_ns() + timeout_ms * ns_per_ms;
    Packet packet;
    bool was_reset = false;
    while (!receive_now(socket, buffer, packet)) {
        if (errno == ECONNRESET) {
            // The peer closed with something of ours unread. Its last words may still be queued
            // behind this error, which is reported once.
            if (std::exchange(was_reset, true))
                return packet;
        } else if (errno == EAGAIN) {
            if (!wait_readable(socket, deadline)) {
                packet.nothing = true;
                return packet;
            }
        } else if (errno != EINTR) {
            fail(errno, "receive a packet");
        }
    }
    return packet;
}

bool peer_closed(int socket) noexcept
{
    pollfd fd{socket, POLLRDHUP, 0};
    int ready;
    do
        ready = ::poll(&fd, 1, 0);
    while (ready < 0 && errno == EINTR);
    return ready > 0 || socket < 0; // poll() passes over negative ones
}

void hang_up(int socket) noexcept { ::shutdown(socket, SHUT_RDWR); }

PeerCredentials peer_credentials(int socket)
{
    ucred peer{};
    socklen_t size = sizeof(peer);
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        fail(errno, "getsockopt SO_PEERCRED");
    return {peer.pid, peer.uid, peer.gid};
}

} // namespace ringmix::os
