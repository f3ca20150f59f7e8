// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/post.h"

#include "core/test_hooks.h"

#include <bit>

namespace ringmix::core {

namespace {

// A version that moves this often while one batch is recombined is not moved by honest posters.
constexpr int max_tries = 1000;

} // namespace

std::uint64_t mixed_to(const BoardView& view, std::uint64_t published) noexcept
{
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const std::uint64_t told = view.board->reach.mixed_to.load(acquire);
    return std::max(published + view.geometry.reach_frames, std::min(told, published + view.geometry.ring_frames));
}

Poster::Poster(const BoardView& view, abi::Word64& posting, Playhead playhead) noexcept
    : view_(&view), posting_(&posting), playhead_(playhead)
{
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

// Tells everybody who sums these blocks, or has summed them, that they have changed. `frames`: those of the
// batch and what is posted after it.
void Poster::announce(Batch& batch, Extent frames) noexcept
{
    abi::BlockVersion* blocks = view_->versions + batch.first_block;
    posting_->store(pack(frames), release);
    RINGMIX_TEST_HOOK(test_posting, batch.from, batch.frames);
    for (std::uint32_t i = 0; i < batch.blocks; i++)
        batch.seen[i] = blocks[i].version.fetch_add(1, std::memory_order_acq_rel) + 1;
    // Without it (tests/model: no-bump-fence-arm64) stores to the ring overtake the bumps, and the engine reads
    // ranges before its position is out (engine-without-bump-fence-arm64).
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

void Poster::post(Extent frames) noexcept
{
    frames.end = std::min(frames.end, frames.start + view_->geometry.ring_frames);
    while (!frames.empty()) {
        Batch batch = batch_at(frames);
        announce(batch, frames);
        settle(batch);
        RINGMIX_TEST_HOOK(test_settled, batch.from, batch.frames);
        frames.start += batch.frames;
    }
    intend({});
}

void Poster::intend(Extent frames) noexcept
{
    frames.end = std::min(frames.end, frames.start + view_->geometry.ring_frames);
    posting_->store(pack(frames), release);
}

void Poster::extend(Extent frames) noexcept
{
    intend(frames); // before it is promised
    abi::Word64& mixed_to = view_->board->reach.mixed_to;
    std::uint64_t told = mixed_to.load(relaxed);
    while (told < frames.end && !mixed_to.compare_exchange_weak(told, frames.end, release, relaxed))
        ;
    post(frames); // the fence between the promise and the look at the ranges is the one behind the bumps
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
    // A frame that has certainly been played leaves its place to the next turn. (One that is only
    // probably played is silenced by the device, or replaced when its place comes within reach again.)
    const auto overtaken = [&] {
        const std::uint64_t played = playhead_.published(playhead_.context);
        if (played <= from + late)
            return false;
        from = next_turn(from + batch.frames - 1, played, ring) - (batch.frames - 1);
        late = played > from ? static_cast<std::uint32_t>(std::min<std::uint64_t>(played - from, batch.frames)) : 0;
        return true;
    };
    overtaken(); // a poster that was stopped for long must not even begin with old audio
    for (int i = 0; i < max_tries; i++) {
        if (late > 0)
            recombine(*view_, from + ring, late);
        if (late < batch.frames)
            recombine(*view_, from + late, batch.frames - late);
        RINGMIX_TEST_HOOK(test_stored, batch.from, batch.frames);
        // The stores are out before the versions are looked at (tests/model: no-fence).
        std::atomic_thread_fence(std::memory_order_seq_cst);

        const bool changed = moved(batch);
        if (!overtaken() && !changed)
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
    const Extent frames = unpack_old(word, now);
    if (frames.empty())
        return false; // nonsense
    const std::uint64_t length = std::min(frames.length(), ring);
    // The turn in which the last frame is still ahead; what has been played of it belongs to the next. What is nearer
    // than the margin may be right, and must not be wrong even for as long as it takes to sum it twice.
    const std::uint64_t from = next_turn(frames.end - 1, published, ring) - (length - 1);
    const std::uint64_t horizon = now + view_->geometry.margin_frames;
    post({std::max(from, horizon), std::min(from + length, published + view_->geometry.reach_frames)});
    if (published > from)
        post({from + ring, published + ring});
    return true;
}

unsigned Poster::repair() noexcept
{
    unsigned repaired = repair_word(view_->board->engine.posting, last_engine_) ? 1 : 0;
    for (std::uint64_t active = view_->board->engine.active.load(acquire); active != 0; active &= active - 1) {
        const auto slot = static_cast<std::uint32_t>(std::countr_zero(active));
        const abi::SlotStream& stream = view_->board->slots[slot].stream;
        repaired += repair_word(stream.posting, last_postings_[slot]) ? 1 : 0;
        repaired += repair_word(stream.tending, last_tendings_[slot]) ? 1 : 0;
    }
    return repaired;
}

} // namespace ringmix::core
