// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The protocols are sd_notify(3)'s and sd_listen_fds(3)'s, both documented as stable there.
#include "server/service_manager.h"

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>

namespace ringmix::server {
namespace {

constexpr int first_passed = 3; // SD_LISTEN_FDS_START
constexpr int most_passed = 64; // more than any service unit of ours has

std::optional<long> number_of(const char* text)
{
    long value = 0;
    const char* const end = text + std::strlen(text);
    const auto [rest, error] = std::from_chars(text, end, value);
    if (error != std::errc{} || rest != end || rest == text)
        return std::nullopt;
    return value;
}

int socket_option(int fd, int option, const char* what)
{
    int value = 0;
    socklen_t length = sizeof value;
    if (::getsockopt(fd, SOL_SOCKET, option, &value, &length) != 0)
        throw std::system_error(errno, std::system_category(),
                                std::string("descriptor 3 from the service manager ($LISTEN_FDS): ") + what);
    return value;
}

void require_listener(int fd)
{
    if (socket_option(fd, SO_DOMAIN, "getsockopt SO_DOMAIN") != AF_UNIX ||
        socket_option(fd, SO_TYPE, "getsockopt SO_TYPE") != SOCK_SEQPACKET ||
        socket_option(fd, SO_ACCEPTCONN, "getsockopt SO_ACCEPTCONN") == 0)
        throw std::runtime_error("descriptor 3 from the service manager ($LISTEN_FDS) is not a listening Unix "
                                 "socket of packets; in a systemd socket unit use ListenSequentialPacket=PATH");
}

struct PassedVariables {
    std::string pid;
    std::string count;
};

// Read and unset in one go, so that no child of ours takes them for its own.
PassedVariables take_variables()
{
    const char* const pid = std::getenv("LISTEN_PID");
    const char* const count = std::getenv("LISTEN_FDS");
    PassedVariables variables{pid == nullptr ? "" : pid, count == nullptr ? "" : count};
    for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"})
        ::unsetenv(name);
    return variables;
}

} // namespace

void notify_manager(const std::string& state) noexcept
{
    const char* const path = std::getenv("NOTIFY_SOCKET");
    if (path == nullptr || (path[0] != '/' && path[0] != '@'))
        return;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::size_t length = std::strlen(path);
    if (length < 2 || length >= sizeof address.sun_path)
        return;
    std::memcpy(address.sun_path, path, length);
    if (path[0] == '@')
        address.sun_path[0] = '\0'; // the abstract name space
    const os::Descriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket)
        return;
    const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
    // A manager that is busy gets some time; one that does not listen is no reason to stop playing.
    const timeval patience{1, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    const auto sent = ::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL,
                               reinterpret_cast<const sockaddr*>(&address), bytes);
    static_cast<void>(sent);
}

os::Descriptor passed_listener()
{
    const PassedVariables variables = take_variables();
    if (variables.pid.empty() || variables.count.empty())
        return {};
    if (number_of(variables.pid.c_str()) != static_cast<long>(::getpid()))
        return {}; // meant for another process
    const std::optional<long> count = number_of(variables.count.c_str());
    if (!count || *count < 0 || *count > most_passed)
        throw std::runtime_error("$LISTEN_FDS is '" + variables.count + "', not a count of descriptors");
    if (*count == 0)
        return {};
    for (int fd = first_passed; fd < first_passed + *count; ++fd)
        ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    require_listener(first_passed);
    const int flags = ::fcntl(first_passed, F_GETFL);
    if (flags < 0 || ::fcntl(first_passed, F_SETFL, flags | O_NONBLOCK) < 0)
        throw std::system_error(errno, std::system_category(), "fcntl O_NONBLOCK on the socket of $LISTEN_FDS");
    return os::Descriptor(first_passed);
}

} // namespace ringmix::server
