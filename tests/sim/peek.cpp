// SPDX-License-Identifier: LGPL-2.1-or-later

#include "tests/sim/peek.h"

#include "tests/sim/machine.h"

namespace ringmix::sim::peek {

namespace {

constexpr unsigned end_bits = 40;
constexpr unsigned length_bits = 24;

Extent unpacked(std::uint64_t word, std::uint64_t near)
{
    const std::uint64_t length = word & ((1u << length_bits) - 1);
    if (length == 0)
        return {};
    const std::uint64_t turn = std::uint64_t{1} << end_bits;
    std::uint64_t end = (near & ~(turn - 1)) | (word >> length_bits);
    if (end + turn / 2 < near)
        end += turn;
    else if (end > near + turn / 2 && end >= turn)
        end -= turn;
    return {end > length ? end - length : 0, end};
}

const abi::Slot& slot_of(std::uint32_t slot) { return board()->slots[slot]; }

} // namespace

const abi::Board* board()
{
    const Block* block = machine().board;
    return block != nullptr ? reinterpret_cast<const abi::Board*>(block->data) : nullptr;
}

Snapshot newest()
{
    if (board() == nullptr)
        return {};
    const abi::SyncRing& ring = board()->sync;
    std::uint64_t number = ring.newest.peek();
    if (number == 0)
        return {};
    const abi::SyncEntry& entry = ring.entries[number % abi::sync_entries];
    if (entry.sequence.peek() != 2 * number)
        return {};
    const std::uint64_t device = entry.device.peek();
    return {true,
            entry.frame.peek(),
            entry.hw_ptr.peek(),
            device >> abi::device_state_bits,
            static_cast<std::int64_t>(entry.time_ns.peek()),
            static_cast<std::uint32_t>(device & ((1u << abi::device_state_bits) - 1))};
}

std::uint64_t range_word(std::uint32_t slot) { return slot_of(slot).stream.range.peek(); }

Extent range(std::uint32_t slot, std::uint64_t near) { return unpacked(range_word(slot), near); }

Tail tail(std::uint32_t slot, std::uint64_t near)
{
    const abi::SlotTail& tail = slot_of(slot).tail;
    const std::uint64_t word = tail.range.peek();
    return {word, unpacked(word, near), tail.fade_frames.peek()};
}

Gain gain(std::uint32_t slot)
{
    const std::uint64_t word = slot_of(slot).config.gain.peek();
    Gain gain{word, (word & abi::gain_flat) != 0, static_cast<std::uint32_t>(word), 0};
    if (!gain.flat) {
        const abi::GainTable& table = slot_of(slot).gains[(word & abi::gain_second_table) != 0 ? 1 : 0];
        gain.target = static_cast<std::uint32_t>(table.gains[abi::gain_points - 1].peek());
        gain.end = table.frames[abi::gain_points - 1].peek();
    }
    return gain;
}

bool tail_shown(std::uint32_t slot) { return (slot_of(slot).stream.phase.peek() & abi::tail_flag) != 0; }

bool retiring(std::uint32_t slot) { return slot_of(slot).config.state.peek() == abi::slot_retiring; }

bool active(std::uint32_t slot) { return (board()->engine.active.peek() >> slot & 1) != 0; }

std::uint64_t late_frames(std::uint32_t slot) { return slot_of(slot).stream.late_frames.peek(); }

} // namespace ringmix::sim::peek
