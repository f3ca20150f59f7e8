// SPDX-License-Identifier: LGPL-2.1-or-later
#include "server/arena.h"

#include "os/memory.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace ringmix::server {

Arena::Arena(std::uint64_t bytes)
    : bytes_(bytes), page_(os::page_bytes()),
      memory_(os::make_sealed_memory("ringmix-arena", static_cast<std::size_t>(bytes)))
{
}

Arena::Arena(os::Descriptor memory, std::uint64_t bytes)
    : bytes_(bytes), page_(os::page_bytes()), memory_(std::move(memory))
{
    os::require_sealed_memory(memory_.get(), static_cast<std::size_t>(bytes), "arena");
}

bool Arena::reserve(std::uint64_t offset, std::uint64_t bytes)
{
    if (bytes == 0 || offset % page_ != 0 || bytes % page_ != 0 || bytes > bytes_ || offset > bytes_ - bytes)
        return false;
    const auto next = lanes_.lower_bound(offset);
    if (next != lanes_.end() && next->first < offset + bytes)
        return false;
    if (next != lanes_.begin() && std::prev(next)->first + std::prev(next)->second > offset)
        return false;
    lanes_.emplace(offset, bytes);
    used_ += bytes;
    return true;
}

std::uint64_t Arena::length_of(std::uint64_t offset) const noexcept
{
    const auto lane = lanes_.find(offset);
    return lane == lanes_.end() ? 0 : lane->second;
}

std::optional<std::uint64_t> Arena::allocate(std::uint64_t bytes)
{
    if (bytes == 0 || bytes > bytes_)
        return std::nullopt;
    bytes = (bytes + page_ - 1) / page_ * page_;

    std::uint64_t gap = 0; // where the present gap starts
    for (const auto& [offset, length] : lanes_) {
        if (offset - gap >= bytes)
            break;
        gap = offset + length;
    }
    // The last gap is the only one that the loop has not measured; the others fit by now.
    if (bytes > bytes_ - gap)
        return std::nullopt;
    os::provide(memory_.get(), gap, bytes);
    lanes_.emplace(gap, bytes);
    used_ += bytes;
    return gap;
}

void Arena::release(std::uint64_t offset) noexcept
{
    const auto lane = lanes_.find(offset);
    if (lane == lanes_.end())
        return;
    used_ -= lane->second;
    os::give_back(memory_.get(), offset, lane->second);
    lanes_.erase(lane);
}

std::uint64_t Arena::largest_gap() const noexcept
{
    std::uint64_t largest = 0;
    std::uint64_t gap = 0;
    for (const auto& [offset, length] : lanes_) {
        largest = std::max(largest, offset - gap);
        gap = offset + length;
    }
    return std::max(largest, bytes_ - gap);
}

} // namespace ringmix::server
