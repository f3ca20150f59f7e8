// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/validate.h"

#include "core/format.h"
#include "tests/core/fake_board.h"
#include "tests/kernels/dice.h"

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <string>

using namespace ringmix;
using namespace ringmix::core;
using test::FakeBoard;

namespace {

constexpr std::uint32_t huge32 = 0xffffffff;
constexpr std::uint64_t huge64 = ~std::uint64_t{0};

abi::Geometry good() { return test::geometry(abi::format_s16, 2, 1000, 8192); }

// What validate_board() says after `damage`; "" if it accepts the board.
std::string fault_after(const std::function<void(abi::Board&)>& damage)
{
    const FakeBoard fake(good());
    damage(fake.board());
    BoardView view;
    const char* fault = validate_board(fake.memory(), fake.memory_bytes(), view);
    CHECK((fault != nullptr) == (view.board == nullptr)); // a refused board leaves no way to use it
    return fault != nullptr ? fault : "";
}

// The same for a field of the geometry that gets each of `values`.
template <class Field>
void refuses(Field abi::Geometry::*field, std::initializer_list<std::uint64_t> values, const std::string& fault)
{
    for (const std::uint64_t value : values) {
        CAPTURE(value);
        CHECK(fault_after([=](abi::Board& board) { board.geometry.*field = static_cast<Field>(value); }) == fault);
    }
}

} // namespace

TEST_CASE("validate: a good board is accepted and its geometry copied")
{
    const FakeBoard fake(good());
    BoardView view;
    REQUIRE(validate_board(fake.memory(), fake.memory_bytes(), view) == nullptr);
    CHECK(view.board == &fake.board());
    CHECK(reinterpret_cast<std::byte*>(view.versions) == fake.memory() + sizeof(abi::Board));
    CHECK(view.frame_bytes == 4);
    CHECK(view.geometry.ring_frames == 1000);
    fake.board().geometry.ring_frames = 5; // the copy does not follow
    CHECK(view.geometry.ring_frames == 1000);
    CHECK(fake.memory_bytes() == sizeof(abi::Board) + 16 * sizeof(abi::BlockVersion));
}

TEST_CASE("validate: identity")
{
    CHECK(fault_after([](abi::Board&) {}) == "");
    CHECK(fault_after([](abi::Board& b) { b.identity.magic ^= 1; }) == "this is no ringmix board");
    CHECK(fault_after([](abi::Board& b) { b.identity.major++; }) == "the board has another version");
    CHECK(fault_after([](abi::Board& b) { b.identity.major = 0; }) == "the board has another version");
    CHECK(fault_after([](abi::Board& b) { b.identity.minor++; }) == ""); // fields were added at the end
    for (const std::uint32_t ready : {0u, 2u, huge32})
        CHECK(fault_after([=](abi::Board& b) { b.identity.ready.store(ready); }) ==
              "the server has not finished setting up");
}

TEST_CASE("validate: a mapping that is too small")
{
    const FakeBoard fake(good());
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, sizeof(abi::Identity), sizeof(abi::Board) - 1,
                                    sizeof(abi::Board), fake.memory_bytes() - 1}) {
        BoardView view;
        CAPTURE(bytes);
        CHECK(validate_board(fake.memory(), bytes, view) != nullptr);
        CHECK(view.board == nullptr);
    }
    BoardView view;
    CHECK(validate_board(nullptr, huge64, view) != nullptr);
    // A geometry that asks for more versions than are mapped.
    CHECK(fault_after([](abi::Board& b) { b.geometry = test::geometry(abi::format_s16, 2, 1025, 8192); }) ==
          "the board is smaller than its geometry says");
}

TEST_CASE("validate: every hostile field of the geometry is refused")
{
    using G = abi::Geometry;
    refuses(&G::device_kind, {0, 3, huge32}, "unknown kind of device");
    refuses(&G::format, {0, abi::format_u8, 7, huge32}, "unknown sample format");
    refuses(&G::channels, {0, 33, huge32}, "impossible number of channels");
    refuses(&G::rate, {0, 1, 999, 1000001, huge32}, "impossible rate");
    refuses(&G::ring_frames, {0, 1, 127, abi::max_blocks * abi::block_frames + 1, 0x80000000, huge32},
            "impossible ring size");
    refuses(&G::blocks, {0, 15, 17, huge32}, "ring size and number of blocks disagree");
    refuses(&G::ring_bytes, {0, 1, 3999, 4001, 4000 + (std::uint64_t{1} << 32), huge64},
            "ring size in frames and in bytes disagree");
    refuses(&G::period_frames, {0, 1001, huge32}, "impossible period");
    refuses(&G::reach_frames, {0, 1001, huge32}, "impossible margin or reach");
    refuses(&G::margin_frames, {good().reach_frames, 1000, huge32}, "impossible margin or reach");
    refuses(&G::clip, {2, huge32}, "unknown kind of clipping");
    refuses(&G::dither, {2, huge32}, "unknown kind of dither");
    refuses(&G::arena_bytes, {0, 4095, (std::uint64_t{1} << 31) + 1, huge64}, "impossible arena size");
    // Fields that disagree with others.
    refuses(&G::channels, {1, 3, 32}, "ring size in frames and in bytes disagree");
    refuses(&G::format, {abi::format_s24, abi::format_s24_3, abi::format_s32},
            "ring size in frames and in bytes disagree");
    refuses(&G::ring_frames, {961, 1024}, "ring size in frames and in bytes disagree");
    refuses(&G::ring_frames, {128, 1025}, "ring size and number of blocks disagree");
}

TEST_CASE("validate: clipping and dither")
{
    const auto fault = [](std::uint32_t format, std::uint32_t clip, std::uint32_t dither) {
        return fault_after(
            [=](abi::Board& b) { b.geometry = test::shaped(test::geometry(format, 2, 1000, 8192), clip, dither); });
    };
    CHECK(fault(abi::format_s16, abi::clip_soft, abi::dither_tpdf) == "");
    CHECK(fault(abi::format_s32, abi::clip_hard, abi::dither_tpdf) == "");
    CHECK(fault(abi::format_float, abi::clip_soft, abi::dither_none) == "");
    CHECK(fault(abi::format_float, abi::clip_hard, abi::dither_tpdf) == "FLOAT samples cannot be dithered");
}

TEST_CASE("validate: a kernel's pointer wraps beyond the ring")
{
    const auto fault = [](std::uint64_t boundary) {
        return fault_after([=](abi::Board& b) {
            b.geometry.device_kind = abi::device_kernel;
            b.geometry.boundary = boundary;
        });
    };
    CHECK(fault(0) == "impossible boundary");
    CHECK(fault(999) == "impossible boundary");
    CHECK(fault(1000) == "");
    CHECK(fault(1500) == "impossible boundary"); // the ring, doubled some times
    CHECK(fault(3000) == "impossible boundary");
    CHECK(fault(huge64) == "impossible boundary");
    CHECK(fault(std::uint64_t{1000} << 53) == "");
}

TEST_CASE("validate: sizes whose products overflow are refused")
{
    for (const std::uint32_t frames : {0x40000000u, 0x80000000u, 0xffffffc0u, 0xffffffc1u, huge32})
        for (const std::uint32_t channels : {1u, 4u, 32u, 0x40000000u})
            CHECK(fault_after([=](abi::Board& b) {
                      b.geometry.ring_frames = frames;
                      b.geometry.channels = channels;
                      b.geometry.blocks = (frames + 63) / 64;
                      b.geometry.ring_bytes = static_cast<std::uint32_t>(frames * channels * 2);
                  }) != "");
}

TEST_CASE("validate: the largest and the smallest ring")
{
    for (const std::uint32_t frames : {2 * abi::block_frames, abi::max_blocks * abi::block_frames}) {
        const FakeBoard fake(test::geometry(abi::format_s16, 1, frames, 4096));
        BoardView view;
        CHECK(validate_board(fake.memory(), fake.memory_bytes(), view) == nullptr);
    }
}

TEST_CASE("validate: random geometries are refused or consistent")
{
    const FakeBoard fake(good());
    test::Dice dice(11);
    int accepted = 0;
    for (int i = 0; i < 200000; ++i) {
        fake.board().geometry = good();
        auto* words = reinterpret_cast<std::byte*>(&fake.board().geometry);
        for (auto changes = dice.between(1, 4); changes > 0; --changes) {
            const std::uint64_t value = dice.skewed();
            std::memcpy(words + dice.below(sizeof(abi::Geometry) / 4) * 4, &value, 4);
        }
        BoardView view;
        if (validate_board(fake.memory(), fake.memory_bytes(), view) != nullptr)
            continue;
        ++accepted;
        const abi::Geometry& g = view.geometry;
        REQUIRE(view.frame_bytes == g.channels * sample_bytes(g.format));
        REQUIRE(g.ring_bytes == std::uint64_t{g.ring_frames} * view.frame_bytes);
        REQUIRE(sizeof(abi::Board) + g.blocks * sizeof(abi::BlockVersion) <= fake.memory_bytes());
        REQUIRE(std::uint64_t{g.blocks} * abi::block_frames >= g.ring_frames);
    }
    CHECK(accepted > 100); // it is not all refused for one reason
}
