// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/post.h"

#include "core/mix.h"

#include <bit>
#include <cstring>

namespace ringmix::core {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;
constexpr auto acq_rel = std::memory_order_acq_rel;

// A version that moves this often while one batch is recombined is not moved by honest posters.
constexpr int max_tries = 1000;

constexpr std::uint32_t max_gain = 4 * abi::unity_gain; // +12 dB; keeps the wide sum from overflowing

// The sums of one batch; `wide` is only cleared and used when a lane needs it.
struct Sums {
    alignas(64) std::int32_t narrow[batch_samples];
    alignas(64) std::int64_t wide[batch_samples];
    bool wide_used = false;
};

Gain gain_of(const abi::SlotConfig& config, std::uint64_t from) noexcept
{
    Gain gain;
    gain.value = std::min(config.gain.load(relaxed), max_gain);
    gain.fade_frames = config.fade_frames.load(relaxed);
    if (gain.fade_frames != 0)
        gain.fade_left = static_cast<std::int64_t>(config.fade_start.load(relaxed) + gain.fade_frames - from);
    return gain;
}

// Adds `frames` cells of the lane, from cell `cell` on, to the sums at frame `offset` of the batch.
void accumulate(Sums& sums, const LaneView& lane, std::uint64_t cell, std::uint32_t offset, std::uint32_t frames,
                std::uint32_t channels, const Gain& gain, std::size_t samples) noexcept
{
    const LaneShape shape{lane.format, lane.channels, channels, lane.map};
    const std::byte* cells = lane.cells + cell * lane.frame_bytes;
    const std::size_t at = std::size_t{offset} * channels;
    if (narrow_format(lane.format) && gain.value == abi::unity_gain && gain.fade_frames == 0) {
        accumulate_narrow(sums.narrow + at, cells, frames, shape);
        return;
    }
    if (!sums.wide_used) {
        std::memset(sums.wide, 0, samples * sizeof sums.wide[0]);
        sums.wide_used = true;
    }
    accumulate_wide(sums.wide + at, cells, frames, shape, gain);
}

// Adds what one slot has between `from` and from + frames.
void add_slot(const BoardView& view, const abi::Slot& slot, std::uint64_t from, std::uint32_t frames, Sums& sums,
              std::size_t samples) noexcept
{
    const Extent range = unpack(slot.stream.range.load(acquire), from);
    const Extent part = intersection(range, {from, from + frames});
    if (part.empty())
        return;
    const LaneView lane = checked_lane(view, slot.config);
    if (lane.cells == nullptr)
        return;
    std::uint64_t cell = (part.start - slot.stream.origin.load(relaxed)) % lane.frames;
    std::uint64_t at = part.start;
    while (at < part.end) { // twice where the lane wraps
        const std::uint64_t count = std::min(part.end - at, lane.frames - cell);
        accumulate(sums, lane, cell, static_cast<std::uint32_t>(at - from), static_cast<std::uint32_t>(count),
                   view.geometry.channels, gain_of(slot.config, at), samples);
        at += count;
        cell = 0;
    }
}

} // namespace

void recombine(const BoardView& view, std::uint64_t from, std::uint32_t frames) noexcept
{
    const std::size_t samples = std::size_t{frames} * view.geometry.channels;
    Sums sums;
    std::memset(sums.narrow, 0, samples * sizeof sums.narrow[0]);
    for (std::uint64_t active = view.board->engine.active.load(acquire); active != 0; active &= active - 1)
        add_slot(view, view.board->slots[std::countr_zero(active)], from, frames, sums, samples);
    std::byte* out = view.ring + from % view.geometry.ring_frames * view.frame_bytes;
    finalize(out, view.geometry.format, sums.narrow, sums.wide_used ? sums.wide : nullptr, samples);
}

// The first batch of `frames`: up to batch_frames(), ending at a block's end, not across the ring's.
Poster::Batch Poster::batch_at(Extent frames) const noexcept
{
    const std::uint32_t ring = view_->geometry.ring_frames;
    const auto offset = static_cast<std::uint32_t>(frames.start % ring);
    const std::uint32_t first = offset / abi::block_frames;
    const std::uint32_t end = std::min(first * abi::block_frames + batch_frames(*view_), ring);
    Batch batch{};
    batch.from = frames.start;
    batch.frames = static_cast<std::uint32_t>(std::min<std::uint64_t>(frames.length(), end - offset));
    batch.first_block = first;
    batch.blocks = (offset + batch.frames - 1) / abi::block_frames - first + 1;
    return batch;
}

void Poster::post(Extent frames) noexcept
{
    frames.end = std::min(frames.end, frames.start + view_->geometry.ring_frames);
    while (!frames.empty()) {
        Batch batch = batch_at(frames);
        posting_->store(pack({batch.from, batch.from + batch.frames}), release);
        for (std::uint32_t i = 0; i < batch.blocks; i++)
            batch.seen[i] = view_->versions[batch.first_block + i].version.fetch_add(1, acq_rel) + 1;
        std::atomic_thread_fence(std::memory_order_seq_cst);
        settle(batch);
        posting_->store(0, release);
        frames.start += batch.frames;
    }
}

// Whether somebody else has changed one of the blocks since they were last looked at.
bool Poster::moved(Batch& batch) const noexcept
{
    bool any = false;
    for (std::uint32_t i = 0; i < batch.blocks; i++) {
        const std::uint32_t version = view_->versions[batch.first_block + i].version.load(acquire);
        any |= version != batch.seen[i];
        batch.seen[i] = version;
    }
    return any;
}

// Recombines a batch until neither its versions nor the playback position says "again".
void Poster::settle(Batch& batch) noexcept
{
    const std::uint64_t ring = view_->geometry.ring_frames;
    std::uint64_t from = batch.from; // of the turn that the batch's last frame belongs to
    std::uint32_t late = 0;          // frames of the batch that belong to the turn after that
    for (int i = 0; i < max_tries; i++) {
        if (late > 0)
            recombine(*view_, from + ring, late);
        if (late < batch.frames)
            recombine(*view_, from + late, batch.frames - late);
        std::atomic_thread_fence(std::memory_order_seq_cst);

        const bool changed = moved(batch);
        // A frame just stored that has certainly been played: its place belongs to the next turn.
        // (One that is only probably played is silenced by the device or scrubbed by the engine.)
        const std::uint64_t played = playhead_.published(playhead_.context);
        const bool overtaken = played > from + late;
        if (overtaken) {
            from = next_turn(from + batch.frames - 1, played, ring) - (batch.frames - 1);
            late = static_cast<std::uint32_t>(played > from ? played - from : 0);
        }
        if (!overtaken && !changed)
            return;
    }
}

bool Poster::repair_word(const abi::Word64& posting, std::uint64_t& last) noexcept
{
    const std::uint64_t word = posting.load(acquire);
    const bool stuck = word != 0 && word == last;
    last = word;
    if (!stuck || &posting == posting_)
        return false;
    const std::uint64_t published = playhead_.published(playhead_.context);
    const std::uint64_t now = playhead_.now(playhead_.context);
    const std::uint64_t ring = view_->geometry.ring_frames;
    const Extent frames = unpack(word, now);
    const std::uint64_t length = std::min(frames.length(), ring);
    // The turn in which the last frame is still ahead; what has been played of it belongs to the next.
    const std::uint64_t from = next_turn(frames.end - 1, published, ring) - (length - 1);
    post({std::max(from, now), from + length});
    if (published > from)
        post({from + ring, published + ring});
    return true;
}

unsigned Poster::repair() noexcept
{
    unsigned repaired = repair_word(view_->board->engine.posting, last_postings_[abi::max_slots]) ? 1 : 0;
    for (std::uint64_t active = view_->board->engine.active.load(acquire); active != 0; active &= active - 1) {
        const int slot = std::countr_zero(active);
        repaired +=
            repair_word(view_->board->slots[slot].stream.posting, last_postings_[static_cast<std::size_t>(slot)]) ? 1
                                                                                                                  : 0;
    }
    return repaired;
}

} // namespace ringmix::core
