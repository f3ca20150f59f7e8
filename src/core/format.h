// SPDX-License-Identifier: LGPL-2.1-or-later
//
// format.h: the sample formats of lanes and devices (abi::format_*). Pure, noexcept, any thread.

#pragma once

#include "ringmix/abi.h"

#include <cstdint>
#include <string_view>

namespace ringmix::core {

// Bytes that one sample takes in memory; 0 for a value that is no format.
constexpr std::uint32_t sample_bytes(std::uint32_t format) noexcept
{
    switch (format) {
    case abi::format_u8:
        return 1;
    case abi::format_s16:
        return 2;
    case abi::format_s24_3:
        return 3;
    case abi::format_s24:
    case abi::format_s32:
    case abi::format_float:
    case abi::format_s32_high:
        return 4;
    default:
        return 0;
    }
}

// The byte that silence consists of.
constexpr std::uint8_t silence_byte(std::uint32_t format) noexcept { return format == abi::format_u8 ? 0x80 : 0; }

// True for the formats that a device's ring may have.
constexpr bool device_format(std::uint32_t format) noexcept
{
    return format >= abi::format_s16 && format <= abi::format_float;
}

// ALSA's names ("S16_LE", ...); "?" for a value that is no format, 0 for a name that is none.
std::string_view format_name(std::uint32_t format) noexcept;
std::uint32_t format_from_name(std::string_view name) noexcept;

// The values of --clip and --dither (abi::clip_*, abi::dither_*); "?" for a value that is none.
std::string_view clip_name(std::uint32_t clip) noexcept;
std::string_view dither_name(std::uint32_t dither) noexcept;

} // namespace ringmix::core
