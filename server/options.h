// SPDX-License-Identifier: LGPL-2.1-or-later
//
// options.h: ringmixd's command line.

#pragma once

#include "server/device.h"
#include "server/log.h"

#include <stdexcept>
#include <string>

namespace ringmix::server {

struct Options {
    DeviceWishes wishes;
    std::string name = "default";
    std::string socket; // empty: from the name (os/paths.h)
    unsigned socket_mode = 0600;
    double idle_seconds = -1;      // without clients, until the device is closed; < 0: never
    double end_seconds = -1;       // without clients, until the server ends; < 0: never
    bool replace = false;          // --replace: takes the place of the server that runs
    bool autostarted = false;      // --autostarted: detach, end when idle (used by the plugin)
    std::uint64_t arena_bytes = 0; // 0: by the device's rate (instance.cpp)
    std::uint32_t clip = abi::clip_hard;
    std::uint32_t dither = abi::dither_none;
    LogLevel log_level = LogLevel::info;
    enum class Action { run, help, version } action = Action::run;
};

struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Parses with getopt_long; throws UsageError naming the option, its value and what it takes.
Options parse_options(int argc, char** argv);
std::string usage_text();

} // namespace ringmix::server
