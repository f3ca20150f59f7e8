// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Positions and ALSA's pointers, where they wrap within hours (32-bit programs) and where they are reset.

#include "plugin/pointers.h"

#include <algorithm>
#include <doctest/doctest.h>
#include <random>

using ringmix::plugin::Pointers;

namespace {
constexpr std::uint64_t buffer = 480, boundary = buffer * 16;

// libasound's side: the pointers that programs see.
struct Ioplug {
    std::uint64_t hw = 0, appl = 0;
    void move_to(std::uint64_t told) { hw = told; }
    void write(std::uint64_t frames) { appl = (appl + frames) % boundary; }
    void reset() { hw = appl = 0; }
};
} // namespace

TEST_CASE("pointers that wrap are not taken for a reset")
{
    std::mt19937 dice(1);
    Pointers pointers;
    pointers.set_boundary(boundary);
    pointers.restart(0);
    Ioplug io;
    std::uint64_t written = 0, played = 0;
    unsigned at_the_boundary = 0;
    for (int i = 0; i < 20000; i++) {
        const std::uint64_t room = buffer - (written - played);
        const std::uint64_t frames = room - (dice() % 2 != 0 ? dice() % (room + 1) : 0);
        pointers.write(io.appl, frames);
        io.write(frames);
        written += frames;
        REQUIRE(pointers.written() == written);
        REQUIRE(pointers.position_of(io.appl) == written);
        // In steps of 16 frames, as a device's: it comes to stand on the boundary itself.
        played += std::min<std::uint64_t>((written - played) / 16, dice() % 20) * 16;
        io.move_to(pointers.tell(played));
        REQUIRE(io.hw == played % boundary);
        REQUIRE(!pointers.reset(io.hw, io.appl));
        at_the_boundary += io.hw == 0 && played != 0;
    }
    CHECK(at_the_boundary > 10);
}

TEST_CASE("a reset is one wherever the pointers are")
{
    Pointers pointers;
    pointers.set_boundary(boundary);
    pointers.restart(0);
    Ioplug io;
    pointers.write(io.appl, buffer);
    io.write(buffer);
    for (const std::uint64_t played : {0u, 1u, 100u, 480u}) {
        io.move_to(pointers.tell(pointers.base() + played));
        CHECK(!pointers.reset(io.hw, io.appl));
        io.reset();
        REQUIRE(pointers.reset(io.hw, io.appl));
        const std::uint64_t horizon = pointers.played() + 48;
        pointers.restart(horizon);
        CHECK(pointers.position_of(io.appl) == horizon);
        CHECK(pointers.tell(horizon) == 0);
        pointers.write(io.appl, buffer);
        io.write(buffer);
        CHECK(pointers.written() == horizon + buffer);
    }
}

TEST_CASE("rewinds are behind what was written, also across the boundary")
{
    Pointers pointers;
    pointers.set_boundary(boundary);
    pointers.restart(0);
    std::uint64_t appl = 0;
    for (std::uint64_t written = 0; written < boundary + 100; written += 100) {
        pointers.write(appl, 100);
        appl = (appl + 100) % boundary;
    }
    REQUIRE(appl < 300); // it has wrapped
    const std::uint64_t written = pointers.written();
    CHECK(pointers.position_of((appl + boundary - 300) % boundary) == written - 300);
    pointers.write((appl + boundary - 300) % boundary, 50);
    CHECK(pointers.written() == written - 250);
    CHECK(pointers.tell_one_more() == 1);
    CHECK(pointers.played() == 0);
}
