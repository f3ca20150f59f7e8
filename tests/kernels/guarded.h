// SPDX-License-Identifier: LGPL-2.1-or-later
//
// guarded.h: memory of which every access outside is noticed.

#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstring>
#include <new>

namespace ringmix::test {

// Bytes between two pages that cannot be touched. They begin or end at one of the two; what is left
// of their pages is filled with canaries.
class Guarded {
public:
    explicit Guarded(std::size_t bytes, bool at_start = false) : bytes_(bytes), room_((bytes + page - 1) / page * page)
    {
        void* mapped = mmap(nullptr, room_ + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED)
            throw std::bad_alloc();
        mapped_ = static_cast<std::byte*>(mapped);
        if (mprotect(mapped_ + page, room_, PROT_READ | PROT_WRITE) != 0)
            throw std::bad_alloc();
        std::memset(mapped_ + page, canary, room_);
        data_ = mapped_ + page + (at_start ? 0 : room_ - bytes_);
        std::memset(data_, 0, bytes_);
    }
    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;
    ~Guarded() { munmap(mapped_, room_ + 2 * page); }

    std::byte* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return bytes_; }
    bool intact() const noexcept
    {
        for (const std::byte* at = mapped_ + page; at < mapped_ + page + room_; ++at)
            if ((at < data_ || at >= data_ + bytes_) && *at != static_cast<std::byte>(canary))
                return false;
        return true;
    }

private:
    static constexpr std::size_t page = 4096;
    static constexpr int canary = 0xa5;
    std::size_t bytes_;
    std::size_t room_;
    std::byte* mapped_;
    std::byte* data_;
};

} // namespace ringmix::test
