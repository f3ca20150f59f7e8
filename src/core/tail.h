// SPDX-License-Identifier: LGPL-2.1-or-later
//
// tail.h: how a stream ends: what is still to be heard of it becomes the slot's tail (abi::SlotTail). Used
// by a client that stops its stream, and by the server's engine for one that has died. Wait-free.

#pragma once

#include "core/post.h"

namespace ringmix::core {

// Frames of a fade at `rate` Hz.
constexpr std::uint64_t fade_frames(std::uint32_t rate) noexcept { return std::uint64_t{rate} * abi::fade_ms / 1000; }

// Where a stream ends: frames before `cut` are played as they are, those from there to `end` fade out. If
// that is its first frame, nothing of it is heard.
struct Ending {
    std::uint64_t cut;
    std::uint64_t end;
};

// The ending of a stream with the frames `range`, of which those before `horizon` cannot be changed. What
// was never heard need not fade.
constexpr Ending ending_at(Extent range, std::uint64_t horizon, std::uint64_t fade) noexcept
{
    const std::uint64_t cut = std::min(range.end, std::max(range.start, horizon));
    return {cut, cut > range.start ? std::min(range.end, cut + fade) : cut};
}

// What the slot's stream has before `ending` becomes its tail; its range becomes empty. A caller that is
// stopped at any instruction, and whoever recombines meanwhile, leaves no frame in the sum twice.
// `range`: the stream's, as published. `now`: frames before it are past changing.
// One that is not heard leaves the tail of the one before it as it is: there is only one. Afterwards the
// frames from `ending.cut` on must be posted.
void leave_tail(const BoardView& view, abi::Slot& slot, Extent range, Ending ending, std::uint64_t now) noexcept;

// The client of `slot` is dead and its lines are the caller's: ends its stream, wherever it was, and posts all from
// `now` to the reach, which does again what the dead poster was doing. `published`: see Playhead. Returns where it ended.
Ending retire(const BoardView& view, abi::Slot& slot, Poster& poster, std::uint64_t now,
              std::uint64_t published) noexcept;

} // namespace ringmix::core
