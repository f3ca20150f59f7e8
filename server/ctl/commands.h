// SPDX-License-Identifier: LGPL-2.1-or-later
//
// commands.h: what ringmixctl can do: one function and one file per command.
//
// A command asks the server over `connection` and returns all that goes to standard output, for
// people or (`json`) as one JSON document; its keys are an interface. Throws client::ClientError.

#pragma once

#include "client/connection.h"

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace ringmix::ctl {

// A command's own words, as given.
using Words = std::span<char* const>;

// What was said is no sense; the process ends with status 2.
struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

std::string status(client::Connection& connection, bool json, Words words);
std::string clients(client::Connection& connection, bool json, Words words);
std::string gain(client::Connection& connection, bool json, Words words);   // CLIENT DB|+DB|-DB|=DB
std::string mute(client::Connection& connection, bool json, Words words);   // CLIENT
std::string unmute(client::Connection& connection, bool json, Words words); // CLIENT

// Helpers of the commands (text.cpp).
std::string quoted(std::string_view text);                           // a JSON string
std::string json_format(std::uint32_t format);                       // ALSA's name as a JSON string, null for none
std::string printable(std::string_view text);                        // without control characters, for a terminal
std::string milliseconds(std::uint64_t frames, std::uint32_t rate);  // "42.7 ms"
std::string frames_text(std::uint64_t frames, std::uint32_t rate);   // "2048 frames (42.7 ms)"
std::string bytes_text(std::uint64_t bytes);                         // "4.0 MiB"
std::string duration_text(std::uint64_t frames, std::uint32_t rate); // "1:02:03.4"
double gain_db(std::uint32_t gain);                                  // 20 log10(gain / unity), -inf for 0
std::string_view format_or_dash(std::uint32_t format);               // ALSA's name, "-" for none

} // namespace ringmix::ctl
