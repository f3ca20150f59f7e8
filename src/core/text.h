// SPDX-License-Identifier: LGPL-2.1-or-later
//
// text.h: text of strangers (names of clients) for people's eyes. Pure; any thread.

#pragma once

#include <cstddef>
#include <string_view>

namespace ringmix::core {

// Length of the valid UTF-8 sequence at the start of `text` (not empty), 0 if there is none.
std::size_t utf8_length(std::string_view text) noexcept;

// Writes `text` so that a terminal shows it and does nothing else: control characters, also those of two bytes
// (U+0080 to U+009F), and bytes that are not valid UTF-8 become \xNN. `out` has `size` bytes; returns the
// bytes written, at most four for each of `text`; cut where no more fits.
std::size_t printable_text(char* out, std::size_t size, std::string_view text) noexcept;

} // namespace ringmix::core
