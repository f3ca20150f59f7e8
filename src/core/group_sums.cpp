// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/group_sums.h"

#include "core/kernels.h"
#include "core/pieces.h"
#include "core/post.h"
#include "core/sums.h"
#include "core/test_hooks.h"

#include <bit>

namespace ringmix::core {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;

// So many lanes cost as much as a group and the sums of the others.
constexpr int lanes_that_pay = 20;

constexpr std::uint64_t group_bits = (std::uint64_t{1} << abi::group_slots) - 1;

std::uint64_t active_of_group(std::uint64_t active, std::uint32_t group) noexcept
{
    return active & group_bits << (group * abi::group_slots);
}

// Whole blocks of the ring, in one turn.
struct Chunk {
    std::uint64_t from; // absolute frame
    std::uint32_t frames;
    std::uint32_t first_block; // of the ring
    std::uint32_t blocks;
    std::uint64_t first_number; // counted over all turns
};

// Where the sums of a block are.
struct Place {
    abi::SumHead* head;
    std::byte* samples; // of group 0

    std::byte* of_group(std::uint32_t group, std::size_t bytes) const noexcept { return samples + group * bytes; }
};

Place place_of(const BoardView& view, std::uint64_t number) noexcept
{
    const std::uint32_t place = static_cast<std::uint32_t>(number) & (view.geometry.sum_blocks - 1);
    return {view.sums + place, view.sum_samples + place * abi::groups * sum_bytes(view.geometry.channels)};
}

constexpr std::uint64_t tag_of(std::uint64_t number, std::uint32_t changed) noexcept
{
    constexpr std::uint64_t number_mask = (std::uint64_t{1} << 38) - 1;
    constexpr std::uint32_t changed_mask = (1u << 24) - 1;
    return (number & number_mask) << 26 | std::uint64_t{changed & changed_mask} << 2;
}

// The sums that others have left for a chunk. They are used first and checked afterwards.
class Kept {
public:
    // Looks for the sums of `groups` (a bit each).
    Kept(const BoardView& view, const Chunk& chunk, const GroupSight& sight, std::uint32_t groups) noexcept;

    // Those of them that are there, for all blocks of the chunk.
    std::uint32_t groups() const noexcept { return groups_; }
    void add_to(Sums& total) const noexcept;
    // False: somebody has begun to write another sum in the place of one that was used.
    bool unchanged() const noexcept;

private:
    struct Row {
        Place place;
        std::array<std::uint64_t, abi::groups> tags;
        std::uint32_t narrow; // groups
        std::uint32_t wide;
    };

    const Chunk& chunk_;
    std::uint32_t channels_;
    std::uint32_t groups_;
    std::array<Row, max_batch_blocks> rows_;
};

Kept::Kept(const BoardView& view, const Chunk& chunk, const GroupSight& sight, std::uint32_t groups) noexcept
    : chunk_(chunk), channels_(view.geometry.channels), groups_(groups)
{
    for (std::uint32_t b = 0; b < chunk.blocks; ++b) {
        Row& row = rows_[b];
        row.place = place_of(view, chunk.first_number + b);
        const BlockSight& block = sight.blocks[chunk.first_block + b - sight.first_block];
        std::uint32_t silent = 0;
        row.narrow = row.wide = 0;
        for (std::uint32_t left = groups_; left != 0; left &= left - 1) {
            const auto group = static_cast<std::uint32_t>(std::countr_zero(left));
            row.tags[group] = row.place.head->tags[group].load(acquire);
            const std::uint64_t kind = row.tags[group] ^ tag_of(chunk.first_number + b, block.changed[group]);
            silent |= (kind == abi::sum_silent ? 1u : 0u) << group;
            row.narrow |= (kind == abi::sum_narrow ? 1u : 0u) << group;
            row.wide |= (kind == abi::sum_wide ? 1u : 0u) << group;
        }
        groups_ &= silent | row.narrow | row.wide;
    }
}

void Kept::add_to(Sums& total) const noexcept
{
    const std::size_t bytes = sum_bytes(channels_);
    for (std::uint32_t b = 0; b < chunk_.blocks; ++b) {
        const Row& row = rows_[b];
        const auto take = [&](std::uint32_t left, auto add) {
            std::array<Source, abi::groups> sums;
            std::size_t count = 0;
            for (; left != 0; left &= left - 1)
                sums[count++] = {row.place.of_group(static_cast<std::uint32_t>(std::countr_zero(left)), bytes), 0};
            const std::uint32_t start = b * abi::block_frames;
            const std::uint32_t frames = std::min(abi::block_frames, chunk_.frames - start); // the ring's end
            if (count != 0)
                add(sums.data(), count, std::size_t{start} * channels_, std::size_t{frames} * channels_);
        };
        take(row.narrow & groups_, [&](auto... list) { total.add_narrow(list...); });
        take(row.wide & groups_, [&](auto... list) { total.add_wide(list...); });
    }
}

bool Kept::unchanged() const noexcept
{
    std::atomic_thread_fence(acquire);
    for (std::uint32_t b = 0; b < chunk_.blocks; ++b)
        for (std::uint32_t left = groups_; left != 0; left &= left - 1) {
            const auto group = static_cast<std::uint32_t>(std::countr_zero(left));
            if (rows_[b].place.head->tags[group].load(relaxed) != rows_[b].tags[group])
                return false;
        }
    return true;
}

// Writes the sums of one group in a chunk, where nobody else does. The lanes must be read after the claims
// are taken and `changed` is read: so a place never holds older sums than before, nor ones that know less
// than their tag says.
class Writer {
public:
    Writer(const BoardView& view, const Chunk& chunk, std::uint32_t group, std::uint32_t claimant) noexcept
        : view_(view), chunk_(chunk), group_(group)
    {
        if (claimant == 0)
            return;
        for (std::uint32_t b = 0; b < chunk.blocks; ++b) {
            abi::SumHead& head = *place_of(view, chunk.first_number + b).head;
            std::uint32_t nobody = 0;
            if (head.claims[group].load(relaxed) != 0 ||
                !head.claims[group].compare_exchange_strong(nobody, claimant, acquire, relaxed))
                continue;
            claimed_ |= 1u << b;
            changed_[b] = view.versions[chunk.first_block + b].changed[group].load(acquire);
            head.tags[group].store(abi::sum_none, relaxed);
        }
        std::atomic_thread_fence(release);
    }
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;
    ~Writer() // gives the claims back
    {
        for (std::uint32_t b = 0; b < chunk_.blocks; ++b)
            if ((claimed_ >> b & 1) != 0)
                place_of(view_, chunk_.first_number + b).head->claims[group_].store(0, release);
    }

    // `sums`: of the whole chunk, `sample_bytes` each, not looked at if silent.
    void write(std::uint64_t kind, const void* sums, std::size_t sample_bytes) noexcept
    {
        const std::size_t block_bytes = abi::block_frames * view_.geometry.channels * sample_bytes;
        const std::size_t bytes = chunk_.frames * view_.geometry.channels * sample_bytes;
        for (std::uint32_t b = 0; b < chunk_.blocks; ++b) {
            if ((claimed_ >> b & 1) == 0)
                continue;
            const Place place = place_of(view_, chunk_.first_number + b);
            if (kind != abi::sum_silent)
                kernels().copy(place.of_group(group_, sum_bytes(view_.geometry.channels)),
                               static_cast<const std::byte*>(sums) + b * block_bytes,
                               std::min(block_bytes, bytes - b * block_bytes));
            place.head->tags[group_].store(tag_of(chunk_.first_number + b, changed_[b]) | kind, release);
        }
    }

private:
    const BoardView& view_;
    const Chunk& chunk_;
    std::uint32_t group_;
    std::uint32_t claimed_ = 0; // bits of the chunk's blocks
    std::array<std::uint32_t, max_batch_blocks> changed_{};
};

// Sums a group's lanes, and keeps the result. False: nonsense.
bool sum_lanes(const BoardView& view, const Chunk& chunk, std::uint32_t group, std::uint32_t claimant,
               Sums& sums) noexcept
{
    Writer writer(view, chunk, group, claimant);
    // Not before `changed`: a slot that has become active says so there, with its first post.
    const std::uint64_t slots = active_of_group(view.board->engine.active.load(acquire), group);
    Pieces pieces;
    if (!gather(view, slots, chunk.from, chunk.frames, pieces))
        return false;
    RINGMIX_TEST_HOOK(test_gathered, chunk.from, chunk.frames);
    sums.add(pieces);
    sums.unite();
    if (sums.wide() != nullptr)
        writer.write(abi::sum_wide, sums.wide(), sizeof(std::int64_t));
    else if (sums.narrow() != nullptr)
        writer.write(abi::sum_narrow, sums.narrow(), sizeof(std::int32_t));
    else
        writer.write(abi::sum_silent, nullptr, 0);
    return true;
}

// The same, onto the sums of others. (Usually all but one group are kept: that one is summed in place.)
bool add_lanes(const BoardView& view, const Chunk& chunk, std::uint32_t group, std::uint32_t claimant,
               Sums& total) noexcept
{
    Sums sums(view, {0, chunk.frames});
    if (!sum_lanes(view, chunk, group, claimant, sums))
        return false;
    total.add(sums);
    return true;
}

std::uint32_t active_groups(const BoardView& view) noexcept
{
    const std::uint64_t active = view.board->engine.active.load(acquire);
    std::uint32_t groups = 0;
    for (std::uint32_t group = 0; group < abi::groups; ++group)
        groups |= (active_of_group(active, group) != 0 ? 1u : 0u) << group;
    return groups;
}

// `part` of a chunk to `out`.
bool mix_chunk(const BoardView& view, const Chunk& chunk, const GroupSight& sight, Span part, std::byte* out) noexcept
{
    const std::uint32_t groups = active_groups(view);
    const std::uint32_t own = sight.claimant == 0 ? 0 : group_of(sight.claimant - 1);
    const Kept kept(view, chunk, sight, groups & ~own);
    Sums total(view, {0, chunk.frames});
    bool first = true;
    for (std::uint32_t left = groups & ~kept.groups(); left != 0; left &= left - 1) {
        const auto group = static_cast<std::uint32_t>(std::countr_zero(left));
        if (!(first ? sum_lanes : add_lanes)(view, chunk, group, sight.claimant, total))
            return false;
        first = false;
    }
    kept.add_to(total);
    RINGMIX_TEST_HOOK(test_gathered, chunk.from, chunk.frames);
    if (!kept.unchanged())
        return false;
    total.finalize(out, part, chunk.from);
    return true;
}

} // namespace

std::uint32_t bump(abi::BlockVersion& block, std::uint32_t groups) noexcept
{
    const std::uint32_t version = block.version.fetch_add(1, std::memory_order_acq_rel) + 1;
    for (; groups != 0; groups &= groups - 1)
        block.changed[std::countr_zero(groups)].store(version, release);
    return version;
}

bool sums_pay(const BoardView& view) noexcept
{
    return view.geometry.sum_blocks != 0 && std::popcount(view.board->engine.active.load(relaxed)) > lanes_that_pay;
}

bool mix_by_groups(const BoardView& view, std::uint64_t from, std::uint32_t frames, const GroupSight& sight,
                   std::byte* out) noexcept
{
    const std::uint32_t ring = view.geometry.ring_frames;
    const std::uint64_t turn = from / ring;
    const auto offset = static_cast<std::uint32_t>(from % ring);
    const std::uint32_t end = offset + frames;
    const std::uint32_t most_blocks =
        std::min(max_batch_blocks, chunk_samples / (abi::block_frames * view.geometry.channels));
    Chunk chunk{};
    for (std::uint32_t block = offset / abi::block_frames; block * abi::block_frames < end; block += chunk.blocks) {
        const std::uint32_t start = block * abi::block_frames;
        const std::uint32_t blocks = (end - start + abi::block_frames - 1) / abi::block_frames;
        chunk.from = from - offset + start;
        chunk.first_block = block;
        chunk.blocks = std::min(blocks, most_blocks);
        chunk.frames = std::min(chunk.blocks * abi::block_frames, ring - start);
        chunk.first_number = turn * view.geometry.blocks + block;
        const Span part{std::max(offset, start) - start, std::min(end - start, chunk.frames)};
        if (!mix_chunk(view, chunk, sight, part, out))
            return false;
        out += std::size_t{part.frames()} * view.frame_bytes;
    }
    return true;
}

void release_claims(const BoardView& view, std::uint32_t slot) noexcept
{
    for (std::uint32_t place = 0; place < view.geometry.sum_blocks; ++place)
        for (abi::Word32& claim : view.sums[place].claims) {
            std::uint32_t holder = slot + 1;
            if (claim.load(relaxed) == holder)
                claim.compare_exchange_strong(holder, 0, release, relaxed);
        }
}

} // namespace ringmix::core
