// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Fuzzes what a process does with a board that others write: attach, look at lanes, mix, repair.
// With clang: -fsanitize=fuzzer,address,undefined -DRINGMIX_LIBFUZZER. Any other build runs the given
// files, or without any a fixed number of random inputs.
//
// An input is a byte that chooses the device's format, clipping and dither, and then a series of records
// of ten bytes, {where, what}: `where` below the number of the board's words puts `what` into that word,
// any other is an operation with `what` as argument. The board is valid at first; it is attached to at the
// first operation.
#include "tests/core/lanes.h"

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace {

using namespace ringmix;
using test::Guarded;

constexpr std::uint32_t board_words = sizeof(abi::Board) / 8;
constexpr std::uint32_t max_frames = 2000; // larger rings are only slower

enum Operation : std::uint16_t { post, long_post, repair, recombine, set_published, set_now, operations };

void require(bool condition)
{
    if (!condition)
        std::abort();
}

// All valid ones: five formats, of which FLOAT has no dither.
abi::Geometry geometry(std::uint32_t kind)
{
    const std::uint32_t format = abi::format_s16 + kind % 5;
    const std::uint32_t dither = format == abi::format_float ? abi::dither_none : kind / 10 % 2;
    return test::shaped(test::geometry(format, 2, 300, 6000), kind / 5 % 2, dither);
}

class Target {
public:
    explicit Target(std::uint8_t kind) : fake_(geometry(kind)), posting_(&fake_.slot(3).stream.posting)
    {
        for (std::uint32_t i = 0; i < 6; ++i) {
            test::Lane lane;
            lane.format = abi::format_u8 + i;
            lane.offset = 1000 * i;
            lane.frames = 100;
            lane.range = {0, 250 + 20 * i};
            test::install(fake_, i, lane);
        }
    }

    void record(std::uint16_t where, std::uint64_t what)
    {
        if (where < board_words)
            std::memcpy(fake_.memory() + where * 8, &what, 8);
        else if (attached())
            operate(static_cast<Operation>((where - board_words) % operations), what);
    }

    void end() const { require(fake_.intact() && (!ring_ || ring_->intact()) && (!arena_ || arena_->intact())); }

private:
    bool attached()
    {
        if (view_.board != nullptr || refused_)
            return !refused_;
        const char* fault = core::validate_board(fake_.memory(), fake_.memory_bytes(), view_);
        require((fault == nullptr) == (view_.board != nullptr));
        const abi::Geometry& g = view_.geometry;
        refused_ = fault != nullptr || g.ring_frames > max_frames || g.arena_bytes > 1'000'000;
        if (refused_)
            return false;
        require(core::board_bytes(g) <= fake_.memory_bytes());
        ring_ = std::make_unique<Guarded>(g.ring_bytes);
        arena_ = std::make_unique<Guarded>(g.arena_bytes);
        view_.ring = ring_->data();
        view_.arena = arena_->data();
        poster_ = std::make_unique<core::Poster>(view_, *posting_, playhead());
        return true;
    }

    core::Playhead playhead() const
    {
        return {[](const void* self) noexcept { return static_cast<const Target*>(self)->published_; },
                [](const void* self) noexcept { return static_cast<const Target*>(self)->now_; }, this};
    }

    void operate(Operation operation, std::uint64_t what)
    {
        switch (operation) {
        case post:
            return poster_->post({what, what + 70});
        case long_post:
            return poster_->post({what >> 16, (what >> 16) + (what & 0xffff)});
        case repair:
            poster_->repair();
            poster_->repair();
            return;
        case recombine:
            return core::recombine(view_, what >> 8, static_cast<std::uint32_t>(what & 0xff) << (what & 15));
        case set_published:
            published_ = what;
            return;
        default:
            now_ = what;
        }
    }

    test::FakeBoard fake_;
    abi::Word64* posting_;
    bool refused_ = false;
    core::BoardView view_;
    std::unique_ptr<Guarded> ring_, arena_;
    std::unique_ptr<core::Poster> poster_;
    std::uint64_t published_ = 0, now_ = 0;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0)
        return 0;
    Target target(data[0]);
    for (++data, --size; size >= 10; data += 10, size -= 10) {
        std::uint16_t where;
        std::uint64_t what;
        std::memcpy(&where, data, 2);
        std::memcpy(&what, data + 2, 8);
        target.record(where, what);
    }
    target.end();
    return 0;
}

#ifndef RINGMIX_LIBFUZZER

#include "run_target.h"

namespace {

void append(std::vector<std::uint8_t>& input, std::uint16_t where, std::uint64_t what)
{
    const std::size_t at = input.size();
    input.resize(at + 10);
    std::memcpy(input.data() + at, &where, 2);
    std::memcpy(input.data() + at + 2, &what, 8);
}

// Mostly damage that leaves the board valid, or the attempt would end there.
std::vector<std::uint8_t> random_input(test::Dice& dice)
{
    constexpr std::uint32_t engine = offsetof(abi::Board, engine) / 8, slots = offsetof(abi::Board, slots) / 8;
    std::vector<std::uint8_t> input{static_cast<std::uint8_t>(dice.below(20))};
    const auto damage = [&](std::uint32_t first, std::uint32_t end) {
        append(input, static_cast<std::uint16_t>(first + dice.below(end - first)), dice.skewed());
    };
    if (dice.once_in(3))
        damage(0, engine);
    for (auto rounds = dice.below(6); rounds > 0; --rounds) {
        for (auto changes = dice.below(20); changes > 0; --changes)
            damage(engine, dice.once_in(2) ? board_words : slots + 8 * sizeof(abi::Slot) / 8);
        append(input, static_cast<std::uint16_t>(board_words + dice.below(operations)),
               dice.once_in(2) ? dice.below(1000) : dice.skewed());
        if (dice.once_in(4))
            damage(0, engine);
    }
    return input;
}

} // namespace

int main(int argc, char** argv)
{
    test::Dice dice(1);
    return run_target(argc, argv, [&] {
        const auto input = random_input(dice);
        LLVMFuzzerTestOneInput(input.data(), input.size());
    });
}

#endif
