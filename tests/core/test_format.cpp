// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/format.h"

#include <doctest/doctest.h>

#include <string>

using namespace ringmix;
using namespace ringmix::core;

TEST_CASE("format: names go both ways")
{
    for (std::uint32_t format = abi::format_u8; format <= abi::format_s32_high; ++format)
        CHECK(format_from_name(format_name(format)) == format);
    CHECK(std::string(format_name(abi::format_u8)) == "U8");
    CHECK(std::string(format_name(abi::format_s16)) == "S16_LE");
    CHECK(std::string(format_name(abi::format_s24)) == "S24_LE");
    CHECK(std::string(format_name(abi::format_s24_3)) == "S24_3LE");
    CHECK(std::string(format_name(abi::format_s32)) == "S32_LE");
    CHECK(std::string(format_name(abi::format_float)) == "FLOAT_LE");
    CHECK(std::string(format_name(abi::format_s32_high)) == "S32_HIGH");
}

TEST_CASE("format: names in any case, as libasound takes them")
{
    CHECK(format_from_name("s16_le") == abi::format_s16);
    CHECK(format_from_name("Float_LE") == abi::format_float);
}

TEST_CASE("format: what is no format")
{
    for (const std::uint32_t format : {0u, 8u, 0xffffffffu}) {
        CHECK(std::string(format_name(format)) == "?");
        CHECK(sample_bytes(format) == 0);
        CHECK_FALSE(device_format(format));
    }
    for (const char* name : {"", "?", "S16", "S16_L", "S16_LEE", "S16_BE", "FLOAT64_LE", "U8 "})
        CHECK(format_from_name(name) == 0);
}

TEST_CASE("format: names of clipping and dither")
{
    CHECK(clip_name(abi::clip_hard) == "hard");
    CHECK(clip_name(abi::clip_soft) == "soft");
    CHECK(dither_name(abi::dither_none) == "none");
    CHECK(dither_name(abi::dither_tpdf) == "tpdf");
    for (const std::uint32_t value : {2u, 0xffffffffu}) {
        CHECK(clip_name(value) == "?");
        CHECK(dither_name(value) == "?");
    }
}

TEST_CASE("format: sizes, silence, device formats")
{
    CHECK(sample_bytes(abi::format_u8) == 1);
    CHECK(sample_bytes(abi::format_s16) == 2);
    CHECK(sample_bytes(abi::format_s24_3) == 3);
    CHECK(sample_bytes(abi::format_s24) == 4);
    CHECK(sample_bytes(abi::format_s32) == 4);
    CHECK(sample_bytes(abi::format_float) == 4);
    CHECK(sample_bytes(abi::format_s32_high) == 4);
    CHECK(silence_byte(abi::format_u8) == 0x80);
    CHECK(silence_byte(abi::format_s16) == 0);
    CHECK(silence_byte(abi::format_s32_high) == 0);
    CHECK_FALSE(device_format(abi::format_u8));
    CHECK(device_format(abi::format_s16));
    CHECK(device_format(abi::format_s24));
    CHECK(device_format(abi::format_s24_3));
    CHECK(device_format(abi::format_s32));
    CHECK(device_format(abi::format_float));
    CHECK_FALSE(device_format(abi::format_s32_high));
}
