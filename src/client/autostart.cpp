// SPDX-License-Identifier: LGPL-2.1-or-later
#include "client/autostart.h"

#include "os/lock_file.h"
#include "os/process.h"
#include "os/timer.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <sys/auxv.h>
#include <system_error>
#include <thread>

namespace ringmix::client {
namespace {

constexpr std::chrono::milliseconds poll_interval{10};
constexpr int shortest_start_ms = 1000; // for the holder of the lock, however long it waited for it

// The last line that says anything: a program that fails says why at last.
std::string last_line(const std::string& text)
{
    const std::size_t end = text.find_last_not_of(" \t\r\n");
    if (end == std::string::npos)
        return {};
    const std::size_t before = text.find_last_of('\n', end);
    const std::size_t start = before == std::string::npos ? 0 : before + 1;
    return text.substr(start, end + 1 - start);
}

// The errno in what a server that failed has said; ENODEV if it said none.
int told_errno(const std::string& text)
{
    const std::size_t at = text.rfind(protocol::start_errno);
    if (at == std::string::npos)
        return ENODEV;
    const int error = std::atoi(text.c_str() + at + std::strlen(protocol::start_errno));
    return error > 0 && error < 4096 ? error : ENODEV;
}

os::Descriptor try_lock(const std::string& listen_path)
try {
    return os::try_lock_file(listen_path + ".start");
} catch (const std::system_error& error) {
    throw ClientError(error.code().value(), "cannot start a ringmix server for " + listen_path + ": " + error.what() +
                                                "; start one with `ringmixd`, or set XDG_RUNTIME_DIR to a "
                                                "directory of yours");
}

os::SpawnResult spawn(const std::vector<std::string>& command, int timeout_ms)
try {
    return os::spawn_detached(command, {}, timeout_ms);
} catch (const std::system_error& error) {
    throw ClientError(error.code().value(), "cannot start a ringmix server: " + std::string(error.what()) +
                                                "; install `" + command.front() +
                                                "`, or name it in RINGMIX_SERVER, or set autostart no");
}

[[noreturn]] void report(const os::SpawnResult& result, const std::string& server, const std::string& listen_path)
{
    const std::string line = last_line(result.diagnostics);
    if (result.timed_out)
        throw ClientError(ETIMEDOUT, "the ringmix server `" + server + "` was not ready in time" +
                                         (line.empty() ? std::string() : ": " + line));
    if (line.starts_with(protocol::start_ready))
        throw ClientError(ENODEV, "the ringmix server `" + server +
                                      "` started, but had ended again before this program "
                                      "could connect to " +
                                      listen_path + "; its log tells why (journalctl -t ringmixd)");
    if (!line.empty())
        throw ClientError(told_errno(result.diagnostics), "the ringmix server could not start: " + line);
    throw ClientError(ENODEV, "the ringmix server `" + server + "` was started but does not answer on " + listen_path +
                                  "; run it by hand to see why");
}

} // namespace

std::vector<std::string> server_command(const Address& address)
{
#ifdef RINGMIXD_PATH
    std::string server = RINGMIXD_PATH;
#else
    std::string server = "ringmixd";
#endif
    if (const char* const chosen = ::secure_getenv("RINGMIX_SERVER"); chosen != nullptr && *chosen != '\0')
        server = chosen;
    std::vector<std::string> command{server, "--autostarted", "--name", address.instance, "--device", address.slave};
    if (!address.socket.empty()) {
        command.emplace_back("--socket");
        command.push_back(address.socket);
    }
    return command;
}

void autostart(const Address& address, const std::string& listen_path, const std::function<Attempt()>& attempt)
{
    // A set-user-ID program would run the server, and all that the user's environment makes
    // libasound load there, with its privileges.
    if (::getauxval(AT_SECURE) != 0)
        throw ClientError(EPERM, "programs with raised privileges do not start a ringmix server; start one "
                                 "with `ringmixd`");
    const std::vector<std::string> command = server_command(address);
    const std::int64_t deadline = os::monotonic_ns() + std::int64_t{address.start_ms} * 1'000'000;
    bool closing = false; // an old server may still have held the device or the socket
    for (;;) {
        if (const os::Descriptor lock = try_lock(listen_path); lock) {
            // Somebody may have started it between our last attempt and the lock.
            const Attempt outcome = attempt();
            if (outcome == Attempt::connected)
                return;
            closing = closing || outcome == Attempt::closing;
            const auto left_ms = static_cast<int>(std::max<std::int64_t>(0, deadline - os::monotonic_ns()) / 1'000'000);
            const os::SpawnResult result = spawn(command, std::max(left_ms, shortest_start_ms));
            if (attempt() == Attempt::connected)
                return;
            if (!closing)
                report(result, command.front(), listen_path);
            closing = false; // once more
        }
        std::this_thread::sleep_for(poll_interval);
        if (attempt() == Attempt::connected)
            return;
        if (os::monotonic_ns() >= deadline)
            throw ClientError(ETIMEDOUT, "another program has been starting the ringmix server for " + listen_path +
                                             " for " + std::to_string(address.start_ms) +
                                             " ms, and it does not answer yet");
    }
}

} // namespace ringmix::client
