// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/format.h"

namespace ringmix::core {

namespace {

struct Name {
    std::uint32_t format;
    std::string_view text;
};

constexpr Name names[] = {
    {abi::format_u8, "U8"},
    {abi::format_s16, "S16_LE"},
    {abi::format_s24, "S24_LE"},
    {abi::format_s24_3, "S24_3LE"},
    {abi::format_s32, "S32_LE"},
    {abi::format_float, "FLOAT_LE"},
    {abi::format_s32_high, "S32_HIGH"},
};

constexpr char upper(char c) noexcept { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

// libasound takes format names in any case.
bool same_name(std::string_view a, std::string_view b) noexcept
{
    if (a.size() != b.size())
        return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (upper(a[i]) != upper(b[i]))
            return false;
    return true;
}

} // namespace

std::string_view format_name(std::uint32_t format) noexcept
{
    for (const Name& name : names)
        if (name.format == format)
            return name.text;
    return "?";
}

std::uint32_t format_from_name(std::string_view text) noexcept
{
    for (const Name& name : names)
        if (same_name(name.text, text))
            return name.format;
    return 0;
}

std::string_view clip_name(std::uint32_t clip) noexcept
{
    return clip == abi::clip_hard ? "hard" : clip == abi::clip_soft ? "soft" : "?";
}

std::string_view dither_name(std::uint32_t dither) noexcept
{
    return dither == abi::dither_none ? "none" : dither == abi::dither_tpdf ? "tpdf" : "?";
}

} // namespace ringmix::core
