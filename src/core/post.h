// SPDX-License-Identifier: LGPL-2.1-or-later
//
// post.h: the mixing protocol: how a process that has changed a lane brings the device's ring up to
// date, without a lock and without waiting for anybody. docs/mixing.md explains why it is right.
//
// Lanes are the truth; the device's ring is a cache of their sum. Bringing a block of the ring up
// to date means to *recombine* it: sum all lanes that have frames there, and store. That is a pure
// function of the lanes, so anybody may do it, twice, late, or for somebody else.
//
//   mark the frames in `posting` (intend); publish the change in the slot's range
//   for each batch: bump the versions of its blocks; full fence
//                   recombine; full fence
//                   a version moved meanwhile, or playback overtook a store: recombine again
//   clear `posting`
//
// All functions are noexcept, allocate nothing, make no system call, and take a bounded number of
// steps even if other processes write nonsense into the shared memory.

#pragma once

#include "core/frames.h"
#include "core/validate.h"

#include <array>
#include <cstdint>

namespace ringmix::core {

// Where playback is, as a poster sees it. Both wait-free.
struct Playhead {
    // Frames before it are played and silenced: their places belong to the next turn of the ring.
    std::uint64_t (*published)(const void* context) noexcept;
    // Extrapolated: frames before it are probably played, and not to be changed. Not before published.
    std::uint64_t (*now)(const void* context) noexcept;
    const void* context;
};

// Sums all active lanes over `frames` frames from absolute frame `from` and stores the result in the
// ring. At most batch_frames(view), not across the end of the ring. Pure in the sense above; takes no
// part in the protocol.
void recombine(const BoardView& view, std::uint64_t from, std::uint32_t frames) noexcept;

// Frames that are recombined at once: whole blocks, as many as fit `batch_samples` samples.
inline constexpr std::uint32_t batch_samples = 2048;
inline constexpr std::uint32_t max_batch_blocks = 4;
constexpr std::uint32_t batch_frames(const BoardView& view) noexcept
{
    const std::uint32_t blocks = batch_samples / (abi::block_frames * view.geometry.channels);
    return abi::block_frames * std::clamp(blocks, 1u, max_batch_blocks);
}
static_assert(abi::block_frames * abi::max_channels <= batch_samples);

// Whoever has extended the reach had seen that the frames before this are played. Any value, if somebody lies.
inline std::uint64_t played_by_others(const BoardView& view) noexcept
{
    const std::uint64_t told = view.board->reach.mixed_to.load(std::memory_order_relaxed);
    return told - std::min<std::uint64_t>(told, view.geometry.reach_frames);
}

// Up to where others may have mixed by what the board said before the caller's last store to it: a reach ahead of
// `published` (a Playhead's), or more where somebody has a newer position. A full fence is in it, so that who
// extends the reach sees that store, or this sees how far he does (tests/model: write-without-fence,
// drop-without-fence).
std::uint64_t mixed_to(const BoardView& view, std::uint64_t published) noexcept;

// One process' (thread's) hand in the protocol. Not shared between threads.
class Poster {
public:
    // `posting` is the word in which this poster shows what it works on; it alone writes it.
    Poster(const BoardView& view, abi::Word64& posting, Playhead playhead) noexcept;

    // Brings the ring up to date over `frames` (at most one ring is done, the earliest part).
    void post(Extent frames) noexcept;

    // Mixes what has come within reach, the end of `frames`, since somebody did so before, their start: what writers
    // have left in their lanes beyond the reach. Whoever is at it, the engine or a client in its place, says so
    // before it looks at the ranges (abi::Reach); two at a time do no harm. One that is stopped or dies here is
    // repaired like any poster.
    void extend(Extent frames) noexcept;

    // Says that `frames` are going to be posted: from now on others do it if this poster is stopped or killed.
    // To be called before the change is visible; post() ends it, or intend({}).
    void intend(Extent frames) noexcept;

    // Looks at everybody's `posting`; what has not moved since the last call may belong to a poster
    // that was stopped or killed: posts that in its place. Call at wake-ups, some ms apart. Returns the
    // number of posting words repaired. Only the engine and active slots are looked at: a client posts
    // only while it has a lane, and waits while the server takes that back.
    unsigned repair() noexcept;

private:
    // Frames of up to max_batch_blocks neighbouring blocks, and the versions of those.
    struct Batch {
        std::uint64_t from;
        std::uint32_t frames;
        std::uint32_t first_block;
        std::uint32_t blocks;
        std::uint32_t seen[max_batch_blocks];
    };

    Batch batch_at(Extent frames) const noexcept;
    void announce(Batch& batch, Extent frames) noexcept;
    void settle(Batch& batch) noexcept;
    bool moved(Batch& batch) const noexcept;
    bool repair_word(const abi::Word64& posting, std::uint64_t& last) noexcept;

    const BoardView* view_;
    abi::Word64* posting_;
    Playhead playhead_;
    // What the words of each slot said at the last look, and the engine's.
    std::array<std::uint64_t, abi::max_slots> last_postings_{};
    std::array<std::uint64_t, abi::max_slots> last_tendings_{};
    std::uint64_t last_engine_ = 0;
};

} // namespace ringmix::core
