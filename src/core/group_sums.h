// SPDX-License-Identifier: LGPL-2.1-or-later
//
// group_sums.h: recombining without looking at all lanes. Slots are in groups of 8; what the lanes of a
// group add up to in a block is kept on the board (abi::SumHead). Who posts for a lane sums its group anew
// and leaves the result there; of the other groups he takes what others have left. So the cost of a post
// is that of 8 lanes and 7 sums where there are 64 lanes.
//
// A kept sum is never relied upon to be there. It is used if its tag is of this very block and turn, and
// of the last change that was made to the group; otherwise the lanes are summed, and the result is kept
// unless somebody else is just writing there. Nobody waits. Who dies while he writes leaves his claim: the
// place is not used until the server has taken the claim back, and lanes are summed meanwhile.
//
// Why it is right: docs/mixing.md, and the model in tests/model.

#pragma once

#include "core/validate.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace ringmix::core {

// A block's versions, as a poster saw them before he looked at any lane or sum.
struct BlockSight {
    std::uint32_t version;
    std::array<std::uint32_t, abi::groups> changed;
};

struct GroupSight {
    const BlockSight* blocks; // of `first_block` and those behind it
    std::uint32_t first_block;
    std::uint32_t claimant; // slot + 1; 0: leaves no sums
};

// The group of a slot, as a bit.
constexpr std::uint32_t group_of(std::uint32_t slot) noexcept { return 1u << slot / abi::group_slots; }

// Tells everybody who sums this block, or has summed it, that lanes of `groups` have changed. Returns the
// version that it has now. A full fence must follow before the lanes are read.
std::uint32_t bump(abi::BlockVersion& block, std::uint32_t groups) noexcept;

// True if there are sums on this board, and enough active slots for them to be cheaper than the lanes. Must
// be asked before a BlockSight is taken.
bool sums_pay(const BoardView& view) noexcept;

// Stores the sum of all lanes over `frames` frames from absolute frame `from` to `out`. At most a batch, not
// across the end of the ring. False: nothing, or only a part, is stored, since sums moved or something was
// nonsense: sum the lanes instead.
bool mix_by_groups(const BoardView& view, std::uint64_t from, std::uint32_t frames, const GroupSight& sight,
                   std::byte* out) noexcept;

// The server's: takes back what the dead client of `slot` was writing.
void release_claims(const BoardView& view, std::uint32_t slot) noexcept;

} // namespace ringmix::core
