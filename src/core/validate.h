// SPDX-License-Identifier: LGPL-2.1-or-later
//
// validate.h: from mapped, untrusted bytes to a checked view of them. Pure, noexcept.
//
// A process checks the board once, when it attaches, and from then on uses its private copy of the
// geometry; whatever is read later from shared memory (lane offsets, lengths, formats) is checked
// at each use against that copy, so that no other process can make this one leave its mappings.

#pragma once

#include "core/frames.h"
#include "ringmix/abi.h"

#include <cstddef>
#include <cstdint>

namespace ringmix::core {

// One process' view of an instance. The pointers are to this process' mappings.
struct BoardView {
    abi::Board* board = nullptr;
    abi::BlockVersion* versions = nullptr; // geometry.blocks of them
    std::byte* arena = nullptr;
    std::byte* ring = nullptr;
    abi::Geometry geometry{};      // private copy
    std::uint32_t frame_bytes = 0; // of the device's ring
};

// Bytes of a board with these blocks, in whole lines, and of the largest one.
std::size_t board_bytes(const abi::Geometry& geometry) noexcept;
std::size_t max_board_bytes() noexcept;

// Checks identity, version, readiness and geometry of a board mapped with `mapped_bytes`. On success
// fills board, versions, geometry and frame_bytes of `view` and returns null; otherwise what is wrong.
const char* validate_board(std::byte* mapped, std::size_t mapped_bytes, BoardView& view) noexcept;

} // namespace ringmix::core
