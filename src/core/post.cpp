// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/post.h"

#include "core/mix.h"

#include <bit>
#include <cstring>

namespace ringmix::core
{

namespace
{

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;
constexpr auto acq_rel = std::memory_order_acq_rel;

// A version that moves this often while one block is recombined is not moved by honest posters.
constexpr int max_tries = 1000;

constexpr std::uint32_t max_gain = 4 * abi::unity_gain; // +12 dB; keeps the wide sum from overflowing

// The sums of one block; `wide` is only cleared and used when a lane needs it.
struct Sums {
    alignas(64) std::int32_t narrow[abi::block_frames * abi::max_channels];
    alignas(64) std::int64_t wide[abi::block_frames * abi::max_channels];
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

// Adds `frames` cells of the lane, from cell `cell` on, to the sums at frame `offset` of the block.
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

Poster::Piece Poster::piece_at(Extent frames) const noexcept
{
    const std::uint32_t ring = view_->geometry.ring_frames;
    const auto offset = static_cast<std::uint32_t>(frames.start % ring);
    const std::uint32_t block = offset / abi::block_frames;
    const std::uint32_t block_end = std::min((block + 1) * abi::block_frames, ring);
    return {frames.start, static_cast<std::uint32_t>(std::min<std::uint64_t>(frames.length(), block_end - offset)),
            block, 0};
}

void Poster::post(Extent frames) noexcept
{
    frames.end = std::min(frames.end, frames.start + view_->geometry.ring_frames);
    while (!frames.empty()) {
        Piece pieces[batch_blocks];
        unsigned count = 0;
        Extent rest = frames;
        while (count < batch_blocks && !rest.empty()) {
            pieces[count] = piece_at(rest);
            rest.start += pieces[count++].frames;
        }
        posting_->store(pack({frames.start, rest.start}), release);
        for (unsigned i = 0; i < count; i++)
            pieces[i].seen = view_->versions[pieces[i].block].version.fetch_add(1, acq_rel) + 1;
        std::atomic_thread_fence(std::memory_order_seq_cst);
        for (unsigned i = 0; i < count; i++)
            settle(pieces[i]);
        posting_->store(0, release);
        frames = rest;
    }
}

// Recombines one piece until neither its version nor the playback position says "again".
void Poster::settle(const Piece& piece) noexcept
{
    const std::uint64_t ring = view_->geometry.ring_frames;
    const abi::Word32& version = view_->versions[piece.block].version;
    std::uint32_t seen = piece.seen;
    std::uint64_t from = piece.from; // of the turn that the piece's last frame belongs to
    std::uint32_t late = 0;          // frames of the piece that belong to the turn after that
    for (int i = 0; i < max_tries; i++) {
        if (late > 0)
            recombine(*view_, from + ring, late);
        if (late < piece.frames)
            recombine(*view_, from + late, piece.frames - late);
        std::atomic_thread_fence(std::memory_order_seq_cst);

        const std::uint32_t version_now = version.load(acquire);
        // A frame just stored that has certainly been played: its place belongs to the next turn.
        // (One that is only probably played is silenced by the device or scrubbed by the engine.)
        const std::uint64_t played = playhead_().published;
        const bool overtaken = played > from + late;
        if (overtaken) {
            from = next_turn(from + piece.frames - 1, played, ring) - (piece.frames - 1);
            late = static_cast<std::uint32_t>(played > from ? played - from : 0);
        }
        if (!overtaken && version_now == seen)
            return;
        seen = version_now;
    }
}

bool Poster::repair_word(const abi::Word64& posting, std::uint64_t& last) noexcept
{
    const std::uint64_t word = posting.load(acquire);
    const bool stuck = word != 0 && word == last;
    last = word;
    if (!stuck || &posting == posting_)
        return false;
    const Playhead::At at = playhead_();
    const std::uint64_t ring = view_->geometry.ring_frames;
    const Extent frames = unpack(word, at.now);
    const std::uint64_t length = std::min(frames.length(), ring);
    // The turn in which the last frame is still ahead; what has been played of it belongs to the next.
    const std::uint64_t from = next_turn(frames.end - 1, at.published, ring) - (length - 1);
    post({std::max(from, at.now), from + length});
    if (at.published > from)
        post({from + ring, at.published + ring});
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
