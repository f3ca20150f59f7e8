// SPDX-License-Identifier: LGPL-2.1-or-later
//
// log.h: messages for people: to stderr, or to syslog once detached. Control and butler threads only.

#pragma once

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

} // namespace ringmix::server
