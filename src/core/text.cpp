// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/text.h"

#include <cstdint>
#include <cstring>

namespace ringmix::core {

std::size_t utf8_length(std::string_view text) noexcept
{
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
    const std::uint8_t lead = byte(0);
    if (lead < 0x80)
        return 1;
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || length > text.size())
        return 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xc0) != 0x80)
            return 0;
    // The second byte alone tells overlong forms, surrogates and what is beyond U+10FFFF.
    const std::uint8_t second = byte(1);
    const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
    const bool outside = (lead == 0xed && second > 0x9f) || (lead == 0xf4 && second > 0x8f);
    return overlong || outside ? 0 : length;
}

std::size_t printable_text(char* out, std::size_t size, std::string_view text) noexcept
{
    constexpr char hex[] = "0123456789abcdef";
    std::size_t used = 0;
    while (!text.empty()) {
        const auto lead = static_cast<std::uint8_t>(text[0]);
        const std::size_t length = utf8_length(text);
        const bool control =
            lead < 0x20 || lead == 0x7f || (lead == 0xc2 && length == 2 && static_cast<std::uint8_t>(text[1]) < 0xa0);
        if (length == 0 || control) {
            if (size - used < 4)
                break;
            const char escape[] = {'\\', 'x', hex[lead >> 4], hex[lead & 15]};
            std::memcpy(out + used, escape, sizeof escape);
            used += sizeof escape;
            text.remove_prefix(1); // what follows in a sequence of two is no valid one by itself
            continue;
        }
        if (size - used < length)
            break;
        std::memcpy(out + used, text.data(), length);
        used += length;
        text.remove_prefix(length);
    }
    return used;
}

} // namespace ringmix::core
