// SPDX-License-Identifier: LGPL-2.1-or-later
//
// arena.h: the memory of the lanes: one sparse memory file, of which only those parts have memory that belong to
// a lane. Control thread only.

#pragma once

#include "os/descriptor.h"

#include <cstdint>
#include <map>
#include <optional>

namespace ringmix::server {

class Arena {
public:
    explicit Arena(std::uint64_t bytes); // throws std::system_error
    // One that another process has made; reserve() says which lanes there are.
    Arena(os::Descriptor memory, std::uint64_t bytes);
    // False: not a lane that allocate() could have given.
    bool reserve(std::uint64_t offset, std::uint64_t bytes);
    std::uint64_t length_of(std::uint64_t offset) const noexcept; // 0: there is none
    // First fit, in whole pages, all zeros; the offset in bytes, or nothing when no gap is large enough. Throws
    // std::system_error when there is no memory.
    std::optional<std::uint64_t> allocate(std::uint64_t bytes);
    // Its memory goes back at once. Unknown offsets are ignored.
    void release(std::uint64_t offset) noexcept;
    int fd() const noexcept { return memory_.get(); }
    std::uint64_t bytes() const noexcept { return bytes_; }
    std::uint64_t used() const noexcept { return used_; }
    std::uint64_t largest_gap() const noexcept;

private:
    std::uint64_t bytes_;
    std::uint64_t page_;
    os::Descriptor memory_;
    std::uint64_t used_ = 0;
    std::map<std::uint64_t, std::uint64_t> lanes_; // offset -> bytes
};

} // namespace ringmix::server
