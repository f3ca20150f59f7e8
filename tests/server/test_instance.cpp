// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/instance.h"

#include <doctest/doctest.h>
#include <string>
#include <vector>

using namespace ringmix;
using namespace ringmix::server;

namespace {

std::vector<std::string> said;
void listen(const std::string& line) { said.push_back(line); }

// The geometry that clients of such a server see; what is said about it is in `said`.
abi::Geometry geometry_of(std::uint32_t format, std::uint32_t clip, std::uint32_t dither)
{
    said.clear();
    Options options;
    options.wishes.device = "virtual";
    options.wishes.format = format;
    options.clip = clip;
    options.dither = dither;
    ClientNames names;
    Doorbell bell;
    return Instance(open_device(options.wishes, listen), options, listen, names, bell).view().geometry;
}

} // namespace

TEST_CASE("clipping and dither reach the clients")
{
    const abi::Geometry usual = geometry_of(0, abi::clip_hard, abi::dither_none);
    CHECK(usual.clip == abi::clip_hard);
    CHECK(usual.dither == abi::dither_none);
    const abi::Geometry both = geometry_of(abi::format_s24, abi::clip_soft, abi::dither_tpdf);
    CHECK(both.clip == abi::clip_soft);
    CHECK(both.dither == abi::dither_tpdf);
    CHECK(said.empty());
}

// The command line refuses it as a wish, but hardware may have nothing else.
TEST_CASE("on a FLOAT device dither is left out, and that is said")
{
    const abi::Geometry floats = geometry_of(abi::format_float, abi::clip_soft, abi::dither_tpdf);
    CHECK(floats.format == abi::format_float);
    CHECK(floats.clip == abi::clip_soft);
    CHECK(floats.dither == abi::dither_none);
    REQUIRE(said.size() == 1);
    CHECK_MESSAGE(said[0].find("--dither tpdf is left out") != std::string::npos, said[0]);
    geometry_of(abi::format_float, abi::clip_hard, abi::dither_none);
    CHECK(said.empty());
}
