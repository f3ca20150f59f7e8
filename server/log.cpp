// SPDX-License-Identifier: LGPL-2.1-or-later
#include "server/log.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <syslog.h>
#include <unistd.h>

namespace ringmix::server {
namespace {

struct LevelNames {
    std::string_view name;   // --log-level
    std::string_view prefix; // on stderr
    int priority;            // syslog's
};

// In the order of LogLevel. Plain information needs no label.
constexpr std::array<LevelNames, 4> levels{{{"error", "ringmixd: error: ", LOG_ERR},
                                            {"warning", "ringmixd: warning: ", LOG_WARNING},
                                            {"info", "ringmixd: ", LOG_INFO},
                                            {"debug", "ringmixd: debug: ", LOG_DEBUG}}};

std::atomic<LogLevel> log_limit{LogLevel::info};
std::atomic<bool> use_syslog{false};

// One write, so that lines of several threads and processes do not mix.
void write_stderr(const std::string& text) noexcept
{
    const char* data = text.data();
    std::size_t left = text.size();
    while (left > 0) {
        const ssize_t written = ::write(STDERR_FILENO, data, left);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return; // nobody to tell
        data += written;
        left -= static_cast<std::size_t>(written);
    }
}

} // namespace

void set_log_level(LogLevel level) noexcept { log_limit = level; }

bool log_level_from_name(std::string_view name, LogLevel& level) noexcept
{
    for (std::size_t index = 0; index < levels.size(); ++index)
        if (levels[index].name == name) {
            level = static_cast<LogLevel>(index);
            return true;
        }
    return false;
}

void log_to_syslog() noexcept
{
    ::openlog("ringmixd", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    use_syslog = true;
}

void log_line(LogLevel level, const std::string& line) noexcept
try {
    if (level > log_limit)
        return;
    const LevelNames& names = levels[static_cast<std::size_t>(level)];
    // Clients choose their names: no control characters from them on a terminal or in a log.
    std::string clean = line;
    std::replace_if(
        clean.begin(), clean.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
    if (use_syslog) {
        ::syslog(names.priority, "%s", clean.c_str());
        return;
    }
    write_stderr(std::string(names.prefix) + clean + '\n');
} catch (...) {
    // No memory for a log line: the server goes on without it.
}

} // namespace ringmix::server
