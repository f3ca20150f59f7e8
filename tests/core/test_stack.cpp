// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A post runs in the audio threads of other people's programs, whose stacks may be small.
#include "tests/core/lanes.h"

#include <doctest/doctest.h>

#include <ucontext.h>

#include <algorithm>
#include <functional>
#include <vector>

using namespace ringmix;
using namespace ringmix::core;
using test::Dice;
using test::FakeBoard;

namespace {

[[maybe_unused]] constexpr std::size_t most_bytes = 16384;

// What a call has on the stack: it runs on one that was painted before.
class Painted {
public:
    std::size_t used_by(std::function<void()> call)
    {
        std::fill(stack_.begin(), stack_.end(), paint);
        call_ = std::move(call);
        ucontext_t there;
        ::getcontext(&there);
        there.uc_stack.ss_sp = stack_.data();
        there.uc_stack.ss_size = stack_.size();
        there.uc_link = &here_;
        running = this;
        ::makecontext(
            &there, [] { running->call_(); }, 0);
        ::swapcontext(&here_, &there);
        const auto deepest = std::find_if(stack_.begin(), stack_.end(), [](std::byte byte) { return byte != paint; });
        return static_cast<std::size_t>(stack_.end() - deepest);
    }

private:
    static constexpr std::byte paint{0xa5};
    static inline Painted* running;
    std::vector<std::byte> stack_ = std::vector<std::byte>(std::size_t{1} << 20);
    std::function<void()> call_;
    ucontext_t here_{};
};

core::Playhead standing() noexcept
{
    const auto nothing = [](const void*) noexcept { return std::uint64_t{0}; };
    return {nothing, nothing, nullptr};
}

[[maybe_unused]] std::size_t used_by_post(Painted& stack, const FakeBoard& board, std::uint64_t frames)
{
    Poster poster(board.view(), board.slot(0).stream.posting, standing());
    return stack.used_by([&] { poster.post({0, frames}); });
}

} // namespace

// Sanitizers have frames of their own, and so has code that was not optimised.
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("stack: a post takes less than 16 KiB, whatever it mixes")
{
    Painted stack;
    Dice dice(81);
    std::size_t most = 0;
    for (const std::uint32_t channels : {1u, 2u, 8u, 32u})
        for (const std::uint32_t format : {abi::format_s16, abi::format_s32, abi::format_float})
            for (int round = 0; round < 30; ++round) {
                const std::uint32_t dither = format != abi::format_float && dice.once_in(2) ? abi::dither_tpdf : 0;
                const FakeBoard board(
                    test::shaped(test::geometry(format, channels, 4096, 1 << 20), dice.below(2), dither));
                for (std::uint32_t i = 0; i < abi::max_slots; ++i) {
                    test::Lane lane = test::random_lane(dice, board, i, abi::max_slots, 500);
                    if (dice.once_in(4)) { // as many channels as there can be, on a device of few
                        lane.format = abi::format_u8;
                        lane.channels = abi::max_channels;
                        lane.frames = 100;
                        lane.offset = i * 16384;
                    }
                    test::install(board, i, lane);
                    abi::Slot& slot = board.slot(i);
                    slot.tail.range.store(pack({100 + dice.below(200), 400 + dice.below(1000)}));
                    slot.tail.gain.store(dice.below(abi::unity_gain));
                    slot.tail.fade_frames.store(dice.below(500));
                    if (dice.once_in(2))
                        slot.stream.phase.fetch_or(abi::tail_flag);
                }
                most = std::max(most, used_by_post(stack, board, 4096));
            }
    MESSAGE("at most ", most, " bytes");
    CHECK(most > 1000); // it is measured at all
    CHECK(most < most_bytes);
}
#endif
