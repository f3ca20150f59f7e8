// SPDX-License-Identifier: LGPL-2.1-or-later
#include "server/trace.h"

namespace ringmix::server {

// The words are stored with release and loaded with acquire, in place of fences (which the thread
// sanitizer does not know): whoever reads one of a newer record's words sees its odd sequence next.

void TraceRing::write(const TraceRecord& record) noexcept
{
    const std::uint64_t number = next_.fetch_add(1, std::memory_order_relaxed);
    Cell& cell = cells_[number % size];
    const std::uint64_t writing = 2 * number + 1;

    // Taking the cell by exchange keeps out a second writer that is a whole round ahead or behind:
    // two at once would leave a mixture under a valid number.
    std::uint64_t before = cell.sequence.load(std::memory_order_relaxed);
    if (before % 2 == 1 || before > writing ||
        !cell.sequence.compare_exchange_strong(before, writing, std::memory_order_acquire)) {
        give_up(cell, number);
        return;
    }
    cell.words[0].store(std::uint64_t{record.kind} << 32 | record.slot, std::memory_order_release);
    cell.words[1].store(record.first, std::memory_order_release);
    cell.words[2].store(record.last, std::memory_order_release);
    cell.words[3].store(record.extra, std::memory_order_release);
    cell.sequence.store(writing + 1, std::memory_order_release);
}

// Tells the reader not to wait for the record. A few tries suffice: each failure means that another
// writer gave up on the same cell just now. Were all to fail, the reader would wait for the next round.
void TraceRing::give_up(Cell& cell, std::uint64_t number) noexcept
{
    std::uint64_t before = cell.given_up.load(std::memory_order_relaxed);
    for (int tries = 0; tries < 8 && before < number + 1; ++tries)
        if (cell.given_up.compare_exchange_strong(before, number + 1, std::memory_order_release))
            return;
}

bool TraceRing::read(TraceRecord& record, std::uint64_t& lost) noexcept
{
    for (;;) {
        const std::uint64_t next = next_.load(std::memory_order_acquire);
        if (read_ == next)
            return false;
        if (next - read_ > size) {
            lost += next - size - read_;
            read_ = next - size;
        }
        Cell& cell = cells_[read_ % size];
        const std::uint64_t complete = 2 * read_ + 2;
        const std::uint64_t sequence = cell.sequence.load(std::memory_order_acquire);
        if (sequence < complete) {
            // Not yet written, unless its writer has given up.
            if (cell.given_up.load(std::memory_order_acquire) <= read_)
                return false;
        } else if (sequence == complete) {
            const std::uint64_t head = cell.words[0].load(std::memory_order_acquire);
            const TraceRecord copy{static_cast<std::uint32_t>(head >> 32), static_cast<std::uint32_t>(head),
                                   cell.words[1].load(std::memory_order_acquire),
                                   cell.words[2].load(std::memory_order_acquire),
                                   cell.words[3].load(std::memory_order_acquire)};
            if (cell.sequence.load(std::memory_order_relaxed) == complete) {
                ++read_;
                record = copy;
                return true;
            }
        }
        ++read_; // overwritten, or never written
        ++lost;
    }
}

} // namespace ringmix::server
