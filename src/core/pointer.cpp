// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/pointer.h"

#include <algorithm>

namespace ringmix::core {

namespace {
// The stamps of the pointer are those of the interrupt before it at worst, or of the start.
constexpr std::uint64_t slack_ns = 2'000'000'000;
constexpr std::uint64_t most_frames = std::uint64_t{1} << 60; // of nonsense: sums stay below 2^64

std::uint64_t frames_until(const SyncSnapshot& last, std::int64_t time_ns) noexcept
{
    SyncSnapshot running = last; // it does now
    running.state = abi::device_running;
    return std::min(frame_at(running, time_ns) - last.frame, most_frames);
}
} // namespace

PointerStep frame_after(const SyncSnapshot& last, std::uint64_t hw_ptr, std::int64_t time_ns,
                        std::uint64_t wrap) noexcept
{
    const std::uint64_t expected = frames_until(last, time_ns);
    const auto slack_end = static_cast<std::uint64_t>(last.time_ns) + slack_ns;
    const std::uint64_t slack = frames_until(last, static_cast<std::int64_t>(slack_end));
    const std::uint64_t here = hw_ptr % wrap;
    const std::uint64_t there = last.hw_ptr % wrap;
    std::uint64_t passed = here >= there ? here - there : here + (wrap - there);
    if (passed < expected) // as many wraps as come nearest to the time that has passed
        passed += (expected - passed + wrap / 2) / wrap * wrap;
    if (passed > expected + expected / 4 + slack)
        return {last.frame, true};
    return {last.frame + passed, false};
}

} // namespace ringmix::core
