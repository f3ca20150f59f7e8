// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The kernel's pointer as programs of both sizes see it, against a kernel that counts in 64 bits.
#include "core/pointer.h"
#include "tests/kernels/dice.h"

#include <doctest/doctest.h>

#include <vector>

using namespace ringmix;
using namespace ringmix::core;
using test::Dice;

namespace {

constexpr std::uint32_t rates[] = {8000, 44100, 48000, 96000, 192000, 384000};
constexpr std::uint32_t rings[] = {128, 1000, 8192, 8190, 16384, 24000, 65536, 1048576 - 64, 1048576};

// What the kernel does for a stream of this ring (sound/core/pcm_native.c, pcm_compat.c).
std::uint64_t kernel_boundary(std::uint64_t ring, std::uint64_t long_max)
{
    std::uint64_t boundary = ring;
    while (boundary * 2 <= long_max - ring)
        boundary *= 2;
    return boundary;
}

// A stream that has been running: where its pointer is, in frames since it was prepared.
struct Kernel {
    std::uint32_t rate;
    std::uint32_t ring;
    std::uint64_t epoch;  // absolute frame at pointer 0: a multiple of the ring
    std::uint64_t played; // since then
    std::int64_t time_ns;

    SyncSnapshot published(std::uint64_t boundary) const
    {
        SyncSnapshot s;
        s.frame = epoch + played;
        s.hw_ptr = played % boundary;
        s.time_ns = time_ns;
        s.frame_ns = frame_duration(rate);
        return s;
    }
    // Goes on for a time by a clock that is wrong by some millionths.
    void run(std::int64_t ns, std::int64_t wrong)
    {
        __extension__ using Wide = __int128;
        const Wide frames = Wide{ns} * rate * (1'000'000 + wrong) / 1'000'000 / 1'000'000'000;
        played += static_cast<std::uint64_t>(frames);
        time_ns += ns;
    }
};

Kernel any_kernel(Dice& dice)
{
    const std::uint32_t ring = rings[dice.below(std::size(rings))];
    return {rates[dice.below(std::size(rates))], ring, std::uint64_t{ring} * dice.below(1'000'000),
            dice.word() >> (20 + dice.below(44)), static_cast<std::int64_t>(dice.word() >> 8)};
}

abi::Geometry geometry_of(const Kernel& kernel, std::uint64_t boundary)
{
    abi::Geometry g{};
    g.ring_frames = kernel.ring;
    g.rate = kernel.rate;
    g.boundary = boundary;
    return g;
}

constexpr std::int64_t second = 1'000'000'000;

} // namespace

TEST_CASE("pointer: the boundary of a program is the kernel's for longs of its size")
{
    for (const std::uint32_t ring : rings) {
        CAPTURE(ring);
        const std::uint64_t in32 = kernel_boundary(ring, 0x7fffffff);
        const std::uint64_t in64 = kernel_boundary(ring, 0x7fffffffffffffff);
        CHECK(boundary_of(ring, 32) == in32);
        CHECK(boundary_of(ring, 64) == in64);
        CHECK(in64 % in32 == 0);
        // Whoever of the two is the server.
        for (const std::uint64_t told : {in32, in64}) {
            CHECK(pointer_wrap(geometry_of({48000, ring, 0, 0, 0}, told), 32) == in32);
            CHECK(pointer_wrap(geometry_of({48000, ring, 0, 0, 0}, told), 64) == told);
        }
    }
}

TEST_CASE("pointer: the frame is exact over any time and any number of wraps, in 32 and in 64 bits")
{
    Dice dice(71);
    for (int round = 0; round < 200'000; ++round) {
        Kernel kernel = any_kernel(dice);
        const unsigned server_bits = dice.once_in(2) ? 32 : 64, own_bits = dice.once_in(2) ? 32 : 64;
        const abi::Geometry g = geometry_of(kernel, boundary_of(kernel.ring, server_bits));
        const SyncSnapshot last = kernel.published(g.boundary);
        // From nothing to two days, by which a 32-bit pointer has wrapped many times.
        kernel.run(static_cast<std::int64_t>(dice.word() >> (17 + dice.below(40))),
                   std::int64_t{dice.below(600)} - 300);
        const std::uint64_t seen = kernel.played % boundary_of(kernel.ring, own_bits);
        const PointerStep step = frame_after(last, seen, kernel.time_ns, pointer_wrap(g, own_bits));
        CAPTURE(server_bits);
        CAPTURE(own_bits);
        CAPTURE(kernel.time_ns - last.time_ns);
        REQUIRE_FALSE(step.prepared_anew);
        REQUIRE(step.frame == kernel.epoch + kernel.played);
    }
}

TEST_CASE("pointer: a clock that is wrong by a fifth, and stamps that are late by a second")
{
    Dice dice(72);
    for (int round = 0; round < 100'000; ++round) {
        Kernel kernel = any_kernel(dice);
        const unsigned bits = dice.once_in(2) ? 32 : 64;
        const abi::Geometry g = geometry_of(kernel, boundary_of(kernel.ring, 64));
        const SyncSnapshot last = kernel.published(g.boundary);
        kernel.run(dice.below(600) * second, std::int64_t{dice.below(400'000)} - 200'000);
        const std::int64_t stamp = kernel.time_ns - dice.below(second);
        const PointerStep step =
            frame_after(last, kernel.played % boundary_of(kernel.ring, bits), stamp, pointer_wrap(g, bits));
        REQUIRE_FALSE(step.prepared_anew);
        REQUIRE(step.frame == kernel.epoch + kernel.played);
    }
}

TEST_CASE("pointer: a device that stood still and went on is where it says")
{
    Dice dice(73);
    for (int round = 0; round < 100'000; ++round) {
        Kernel kernel = any_kernel(dice);
        const unsigned bits = dice.once_in(2) ? 32 : 64;
        const abi::Geometry g = geometry_of(kernel, boundary_of(kernel.ring, 64));
        const SyncSnapshot last = kernel.published(g.boundary);
        kernel.time_ns += dice.below(600) * second; // below half a wrap in 32 bits
        kernel.run(dice.below(1000) * (second / 1000), 0);
        const PointerStep step =
            frame_after(last, kernel.played % boundary_of(kernel.ring, bits), kernel.time_ns, pointer_wrap(g, bits));
        REQUIRE_FALSE(step.prepared_anew);
        REQUIRE(step.frame == kernel.epoch + kernel.played);
    }
}

TEST_CASE("pointer: a stream that was prepared anew is told from one that goes on")
{
    Dice dice(74);
    unsigned anew = 0;
    for (int round = 0; round < 200'000; ++round) {
        Kernel kernel = any_kernel(dice);
        const unsigned bits = dice.once_in(2) ? 32 : 64;
        const std::uint64_t wrap = boundary_of(kernel.ring, bits);
        const abi::Geometry g = geometry_of(kernel, boundary_of(kernel.ring, 64));
        const SyncSnapshot last = kernel.published(g.boundary);
        // Stopped for up to ten minutes, prepared, and running again for less than it ran before.
        kernel.time_ns += dice.below(600) * second;
        const std::int64_t again = dice.below(60'000) * (second / 1000);
        const std::uint64_t before = kernel.played;
        kernel.played = 0;
        kernel.run(again, 0);
        const std::uint64_t seen = kernel.played % wrap;
        const std::uint64_t back = before % wrap - seen;
        const std::uint64_t minutes = 20 * 60 * std::uint64_t{kernel.rate};
        if (seen >= before % wrap || back > wrap - minutes)
            continue; // not a step back, or one that looks like a wrap
        const PointerStep step = frame_after(last, seen, kernel.time_ns, pointer_wrap(g, bits));
        CAPTURE(before);
        CAPTURE(seen);
        REQUIRE(step.prepared_anew);
        REQUIRE(step.frame == last.frame);
        anew++;
    }
    CHECK(anew > 50'000);
}

TEST_CASE("pointer: what is taken for a step forwards keeps its place in the ring")
{
    Dice dice(75);
    for (int round = 0; round < 100'000; ++round) {
        const Kernel kernel = any_kernel(dice);
        const unsigned bits = dice.once_in(2) ? 32 : 64;
        const abi::Geometry g = geometry_of(kernel, boundary_of(kernel.ring, 64));
        const SyncSnapshot last = kernel.published(g.boundary);
        const std::uint64_t seen = dice.skewed() % boundary_of(kernel.ring, bits);
        const auto later = static_cast<std::int64_t>(dice.word() >> (10 + dice.below(50)));
        const PointerStep step = frame_after(last, seen, last.time_ns + later, pointer_wrap(g, bits));
        REQUIRE(step.frame >= last.frame);
        if (!step.prepared_anew)
            REQUIRE(step.frame % kernel.ring == seen % kernel.ring);
    }
}

TEST_CASE("pointer: any numbers give a frame that is not before the last")
{
    Dice dice(76);
    for (int round = 0; round < 200'000; ++round) {
        SyncSnapshot last;
        last.frame = dice.skewed() >> 2;
        last.hw_ptr = dice.skewed();
        last.time_ns = static_cast<std::int64_t>(dice.skewed());
        last.frame_ns = dice.skewed();
        const std::uint64_t wrap = std::max<std::uint64_t>(dice.skewed() >> 1, 1);
        const auto time_ns = static_cast<std::int64_t>(dice.skewed());
        REQUIRE(frame_after(last, dice.skewed(), time_ns, wrap).frame >= last.frame);
    }
}
