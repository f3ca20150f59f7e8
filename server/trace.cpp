// SPDX-License-Identifier: LGPL-2.1-or-later
#include "server/trace.h"

namespace ringmix::server {

void TraceRing::write(const TraceRecord& record) noexcept
{
    const std::uint64_t written = written_.load(std::memory_order_relaxed);
    if (written - read_.load(std::memory_order_acquire) == size) {
        lost_.fetch_add(1, std::memory_order_relaxed);
        return;
    }
    records_[written % size] = record;
    written_.store(written + 1, std::memory_order_release);
}

bool TraceRing::read(TraceRecord& record) noexcept
{
    const std::uint64_t read = read_.load(std::memory_order_relaxed);
    if (read == written_.load(std::memory_order_acquire))
        return false;
    record = records_[read % size];
    read_.store(read + 1, std::memory_order_release);
    return true;
}

} // namespace ringmix::server
