// SPDX-License-Identifier: LGPL-2.1-or-later
//
// log.h: messages for people: to stderr, or to syslog once detached. Control and butler threads only. A line to
// a stderr that nobody reads is lost rather than waited for.

#pragma once

#include <cstdint>
#include <fmt/format.h>
#include <string>
#include <string_view>

namespace ringmix::server {

enum class LogLevel { error, warning, info, debug };

void set_log_level(LogLevel level) noexcept;
bool log_level_from_name(std::string_view name, LogLevel& level) noexcept; // error, warning, info, debug
// From now on to syslog (daemon facility, ident ringmixd) instead of stderr.
void log_to_syslog() noexcept;
void log_line(LogLevel level, const std::string& line) noexcept; // "ringmixd: warning: ..."

template <class... Args> void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args)
{
    log_line(level, fmt::format(format, std::forward<Args>(args)...));
}

// For lines that strangers can cause: at most 10 in 10 s. One thread.
class LineLimit {
public:
    // Whether a line may be written now; then, how many were left out since the last one.
    bool pass(std::int64_t now_ns, std::uint64_t& left_out) noexcept;

private:
    static constexpr std::int64_t window_ns = 10'000'000'000;
    static constexpr unsigned most_lines = 10;
    std::int64_t start_ns_ = -window_ns;
    unsigned lines_ = 0;
    std::uint64_t left_out_ = 0;
};

} // namespace ringmix::server
