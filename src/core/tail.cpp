// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/tail.h"

#include "core/gain.h"

namespace ringmix::core {

namespace {

// Moves the versions of the blocks of `frames` between two stores to a slot. Who sums one of them
// with what was there before the first store, and with what the second one shows, does it again.
void part_readers(const BoardView& view, Extent frames) noexcept
{
    const std::uint64_t ring = view.geometry.ring_frames;
    frames.end = std::min(frames.end, frames.start + ring);
    while (!frames.empty()) {
        const std::uint64_t offset = frames.start % ring;
        view.versions[offset / abi::block_frames].version.fetch_add(1, std::memory_order_acq_rel);
        frames.start += std::min(abi::block_frames - offset % abi::block_frames, ring - offset);
    }
    std::atomic_thread_fence(release); // tests/model: tail-without-fence-arm64
}

// For the engine's log. A reader of one of a newer record's words sees its serial, or none, next.
void note_end(abi::Slot& slot, std::uint64_t end, std::uint64_t fade_frames) noexcept
{
    const std::uint64_t serial = slot.stream.stream.load(relaxed) >> 32;
    abi::StreamRecord& record = slot.log.ended[serial % abi::stream_records];
    record.serial.store(0, relaxed);
    record.first.store(slot.tail.start.load(relaxed), release);
    record.end.store(end, release);
    record.fade_frames.store(fade_frames, release);
    record.serial.store(serial, release);
}

} // namespace

// Readers look at the range, then at the flag in phase, then at the tail. So at each moment there is a range
// and no flag, neither, or a flag and no range.
void leave_tail(const BoardView& view, abi::Slot& slot, Extent range, Ending ending, std::uint64_t now) noexcept
{
    abi::SlotStream& stream = slot.stream;
    abi::SlotTail& tail = slot.tail;
    const std::uint64_t phase = stream.phase.load(relaxed) & ~abi::tail_flag;
    if (ending.end <= range.start) {
        note_end(slot, ending.end, 0);
        return stream.range.store(0, release);
    }
    const Extent changing{now, std::max(ending.end, unpack(tail.range.load(relaxed), now).end)};

    stream.phase.store(phase, release); // the tail before this one gives way
    part_readers(view, changing);       // tests/model: tail-without-first-bump
    note_end(slot, ending.end, ending.end - ending.cut);
    tail.phase.store(phase, relaxed);
    tail.gain.store(read_gains(slot).at(ending.cut), relaxed);
    tail.fade_frames.store(ending.end - ending.cut, relaxed);
    tail.range.store(pack({std::min(range.start, ending.end), ending.end}), release);

    stream.range.store(0, release);
    part_readers(view, changing); // tests/model: tail-without-second-bump
    stream.phase.store(phase | abi::tail_flag, release);
}

Ending retire(const BoardView& view, abi::Slot& slot, Poster& poster, std::uint64_t now,
              std::uint64_t published) noexcept
{
    const std::uint64_t horizon = now + view.geometry.margin_frames;
    const Extent range = unpack(slot.stream.range.load(acquire), horizon);
    Ending ending = ending_at(range, horizon, fade_frames(view.geometry.rate));
    if (range.empty()) { // it may have died in leave_tail(), before it showed the tail
        slot.stream.phase.fetch_or(abi::tail_flag, release);
        ending.end = unpack(slot.tail.range.load(acquire), horizon).end;
        ending.cut = ending.end - std::min(slot.tail.fade_frames.load(relaxed), ending.end);
    } else {
        leave_tail(view, slot, range, ending, now);
    }
    poster.post({horizon, mixed_to(view, published)});
    slot.stream.posting.store(0, release); // not before: if this process dies as well, others repair by them
    slot.stream.tending.store(0, release);
    return ending;
}

} // namespace ringmix::core
