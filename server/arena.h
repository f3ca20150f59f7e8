// SPDX-License-Identifier: LGPL-2.1-or-later
//
// arena.h: which bytes of the arena belong to which lane. Plain bookkeeping, control thread only.

#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace ringmix::server {

class Arena {
public:
    static constexpr std::uint64_t alignment = 64; // bytes

    explicit Arena(std::uint64_t bytes) noexcept : bytes_(bytes) {}
    // First fit; the offset in bytes, or nothing when no gap is large enough.
    std::optional<std::uint64_t> allocate(std::uint64_t bytes);
    void release(std::uint64_t offset) noexcept; // unknown offsets are ignored
    std::uint64_t bytes() const noexcept { return bytes_; }
    std::uint64_t used() const noexcept { return used_; }
    std::uint64_t largest_gap() const noexcept;

private:
    std::uint64_t bytes_;
    std::uint64_t used_ = 0;
    std::map<std::uint64_t, std::uint64_t> lanes_; // offset -> bytes
};

} // namespace ringmix::server
