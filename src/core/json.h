// SPDX-License-Identifier: LGPL-2.1-or-later
//
// json.h: text as a JSON string. Pure; any thread.

#pragma once

#include <cstddef>
#include <string_view>

namespace ringmix::core {

// Writes `text` between double quotes, escaped as RFC 8259 asks (bytes that are not valid UTF-8
// become U+FFFD), into `out` of `size` bytes; returns the bytes written. Cut so that it always
// fits and stays valid JSON; needs at least 2 bytes.
std::size_t json_string(char* out, std::size_t size, std::string_view text) noexcept;

} // namespace ringmix::core
