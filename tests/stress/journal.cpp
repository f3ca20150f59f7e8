// SPDX-License-Identifier: LGPL-2.1-or-later

#include "journal.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace ringmix::stress {

std::int64_t now_ns() noexcept
{
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
}

Journal::Journal(const char* path)
{
    const int fd = ::open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    constexpr std::size_t bytes = header_bytes + records * sizeof(Record);
    void* map = MAP_FAILED;
    if (fd >= 0 && ::ftruncate(fd, bytes) == 0)
        map = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        std::perror(path);
        std::exit(2);
    }
    ::close(fd);
    map_ = static_cast<std::byte*>(map);
}

Record& Journal::begin(Kind kind, std::int64_t position, std::int64_t frames, std::uint64_t key) noexcept
{
    Record& record = *reinterpret_cast<Record*>(map_ + header_bytes + count_ * sizeof(Record));
    if (count_ + 1 < records)
        count_++;
    record.position = position;
    record.frames = frames;
    record.key = key;
    record.horizon_before = unknown;
    record.horizon_after = never;
    record.begin_ns = now_ns();
    record.kind.store(kind, std::memory_order_release);
    return record;
}

} // namespace ringmix::stress
