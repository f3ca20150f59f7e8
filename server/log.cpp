// SPDX-License-Identifier: LGPL-2.1-or-later
#include "server/log.h"

#include "core/text.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <poll.h>
#include <syslog.h>
#include <unistd.h>
#include <utility>

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

std::mutex stderr_mutex;
std::uint64_t lines_lost = 0; // since the last one that was written

bool writable(int fd) noexcept
{
    pollfd entry{fd, POLLOUT, 0};
    return ::poll(&entry, 1, 0) != 0;
}

// One write, so that lines of several threads and processes do not mix. Where nobody reads on, a line is lost
// rather than waited for: a pipe that polls writable takes a page at once.
void write_stderr(std::string text) noexcept
{
    constexpr std::size_t most = 2048;
    const std::lock_guard guard(stderr_mutex);
    if (!writable(STDERR_FILENO)) {
        lines_lost++;
        return;
    }
    if (const std::uint64_t lost = std::exchange(lines_lost, 0); lost != 0)
        text = fmt::format("ringmixd: {} lines were lost here: nobody read on\n", lost) + text;
    if (text.size() > most)
        text.replace(most - 1, std::string::npos, "\n");
    while (::write(STDERR_FILENO, text.data(), text.size()) < 0 && errno == EINTR) {
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
    // Clients choose their names: nothing from them that a terminal would obey.
    std::string clean(4 * line.size(), '\0');
    clean.resize(core::printable_text(clean.data(), clean.size(), line));
    if (use_syslog) {
        ::syslog(names.priority, "%s", clean.c_str());
        return;
    }
    write_stderr(std::string(names.prefix) + clean + '\n');
} catch (...) {
    // No memory for a log line: the server goes on without it.
}

bool LineLimit::pass(std::int64_t now_ns, std::uint64_t& left_out) noexcept
{
    if (now_ns - start_ns_ >= window_ns) {
        start_ns_ = now_ns;
        lines_ = 0;
    }
    if (lines_ == most_lines) {
        left_out_++;
        return false;
    }
    lines_++;
    left_out = std::exchange(left_out_, 0);
    return true;
}

} // namespace ringmix::server
