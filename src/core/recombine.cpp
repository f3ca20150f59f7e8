// SPDX-License-Identifier: LGPL-2.1-or-later
//
// recombine() of post.h: from the lanes of the active slots to the device's ring.
//
// First the lanes that have frames here are gathered; each number that comes from shared memory is
// checked against the private geometry on the way (as checked_lane of validate.h does, but this is
// done for each slot and each post, so it copies nothing and divides once). Lanes that are all alike,
// the usual case, then go to the device in one call of a kernel, without sums in memory. Otherwise
// groups of like lanes are added to sums, and those go to the device.

#include "core/format.h"
#include "core/kernels.h"
#include "core/mix.h"
#include "core/post.h"

#include <bit>
#include <cstring>

namespace ringmix::core {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;

constexpr std::uint32_t max_gain = 4 * abi::unity_gain; // +12 dB; keeps the wide sum from overflowing
constexpr std::uint32_t chunk_samples = 512;            // summed in memory at once
constexpr std::size_t max_pieces = 2 * abi::max_slots;  // a lane may wrap once
static_assert(chunk_samples % abi::max_channels == 0);

// What must agree for lanes to be summed in one call of a kernel (and their maps, without `identity`).
struct Kind {
    std::uint8_t format;
    std::uint8_t channels;
    bool identity; // plays each channel on the same channel of the device
    bool gain;     // not unity
    friend bool operator==(const Kind&, const Kind&) = default;
};

// Neighbouring cells of a lane.
struct Piece {
    const std::byte* cells;
    const abi::SlotConfig* config; // in shared memory
    std::uint32_t start;           // frames of the batch, from its beginning
    std::uint32_t end;
    std::uint32_t gain; // clamped
    Kind kind;
    bool fading; // such a lane is summed for itself

    const std::byte* cells_at(std::uint32_t frame) const noexcept
    {
        return cells + std::size_t{frame - start} * kind.channels * sample_bytes(kind.format);
    }
};

struct Pieces {
    Piece list[max_pieces];
    std::size_t count;
};

// Frames start ... end - 1 of the batch.
struct Span {
    std::uint32_t start;
    std::uint32_t end;
    std::uint32_t frames() const noexcept { return end - start; }
    friend bool operator==(const Span&, const Span&) = default;
};

Span part_in(const Piece& piece, Span span) noexcept
{
    return {std::max(piece.start, span.start), std::min(piece.end, span.end)};
}

std::uint64_t remainder(std::uint64_t a, std::uint64_t b) noexcept
{
    // 64-bit division takes several times as long on many processors.
    if ((a | b) >> 32 == 0)
        return static_cast<std::uint32_t>(a) % static_cast<std::uint32_t>(b);
    return a % b;
}

bool identity_map(const abi::SlotConfig& config, std::uint32_t channels) noexcept
{
    std::uint64_t expected = 0x0706050403020100;
    for (std::uint32_t word = 0; word * 8 < channels; ++word, expected += 0x0808080808080808) {
        const std::uint32_t left = channels - word * 8;
        const std::uint64_t mask = left >= 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * left)) - 1;
        if (((config.map[word].load(relaxed) ^ expected) & mask) != 0)
            return false;
    }
    return true;
}

// Adds what one slot has in the batch of `frames` frames from `from` on. False: it did not fit.
bool gather_slot(const BoardView& view, const abi::Slot& slot, std::uint64_t from, std::uint32_t frames,
                 Pieces& pieces) noexcept
{
    // As unpack() and intersection() do, but relative to `from`.
    const std::uint64_t range = slot.stream.range.load(acquire);
    const std::int64_t range_end =
        static_cast<std::int64_t>(((range >> extent_length_bits) - from) << extent_length_bits) >> extent_length_bits;
    const std::int64_t range_start = range_end - static_cast<std::int64_t>(range & max_extent_frames);
    const std::int64_t start = std::max<std::int64_t>(range_start, 0);
    const std::int64_t end = std::min<std::int64_t>(range_end, frames);
    if (start >= end)
        return true;
    const abi::SlotConfig& config = slot.config;
    const std::uint32_t format = config.format.load(relaxed);
    const std::uint32_t channels = config.channels.load(relaxed);
    const std::uint64_t lane_frames = config.lane_frames.load(relaxed);
    const std::uint64_t offset = config.lane_offset.load(relaxed);
    const std::uint64_t arena = view.geometry.arena_bytes; // at most 2^31
    const std::uint32_t bytes = sample_bytes(format) * channels;
    if (sample_bytes(format) == 0 || channels < 1 || channels > abi::max_channels || offset > arena ||
        lane_frames < 1 || lane_frames > arena || lane_frames * bytes > arena - offset)
        return true;

    Piece piece;
    piece.config = &config;
    piece.gain = std::min(config.gain.load(relaxed), max_gain);
    if (piece.gain == 0)
        return true;
    piece.kind = {static_cast<std::uint8_t>(format), static_cast<std::uint8_t>(channels),
                  channels == view.geometry.channels && identity_map(config, channels), piece.gain != abi::unity_gain};
    piece.fading = config.fade_frames.load(relaxed) != 0;
    piece.start = static_cast<std::uint32_t>(start);
    std::uint64_t cell = remainder(from + piece.start - slot.stream.origin.load(relaxed), lane_frames);
    while (piece.start < end) { // twice where the lane wraps; more often only if the range is nonsense
        if (pieces.count == max_pieces)
            return false;
        piece.cells = view.arena + offset + cell * bytes;
        piece.end = static_cast<std::uint32_t>(
            std::min<std::uint64_t>(static_cast<std::uint64_t>(end), piece.start + lane_frames - cell));
        pieces.list[pieces.count++] = piece;
        piece.start = piece.end;
        cell = 0;
    }
    return true;
}

// All of the batch. False: it is too long for so many wraps of tiny lanes; a single frame always fits.
bool gather(const BoardView& view, std::uint64_t from, std::uint32_t frames, Pieces& pieces) noexcept
{
    pieces.count = 0;
    for (std::uint64_t active = view.board->engine.active.load(acquire); active != 0; active &= active - 1)
        if (!gather_slot(view, view.board->slots[std::countr_zero(active)], from, frames, pieces))
            return false;
    return true;
}

// The lanes that are like the first of them and have the frames `part`; each is done after that.
struct Group {
    Source lanes[abi::max_slots];
    std::size_t count = 0;
};

// True if it is done: like lanes in all of the span, straight to the device.
bool mix_directly(const Pieces& pieces, Span span, std::byte* out, const abi::Geometry& device) noexcept
{
    Group group;
    Kind kind{};
    for (std::size_t i = 0; i < pieces.count; ++i) {
        const Piece& piece = pieces.list[i];
        if (piece.start >= span.end || piece.end <= span.start)
            continue;
        if (group.count == 0)
            kind = piece.kind;
        if (piece.start > span.start || piece.end < span.end || piece.fading || piece.kind != kind ||
            group.count == abi::max_slots)
            return false;
        group.lanes[group.count++] = {piece.cells_at(span.start), abi::unity_gain};
    }
    const std::size_t samples = std::size_t{span.frames()} * device.channels;
    if (group.count == 0) {
        std::memset(out, 0, samples * sample_bytes(device.format)); // silence, in all device formats
        return true;
    }
    if (kind.gain || !kind.identity)
        return false;
    // S24 is no copy: the device's fourth byte must be the sign, and the lane's may be anything.
    if (group.count == 1 && kind.format == device.format && kind.format != abi::format_s24) {
        kernels().copy(out, group.lanes[0].cells, samples * sample_bytes(kind.format));
        return true;
    }
    Kernels::Mix* mix = kernels().mix[kind.format][device.format];
    if (mix != nullptr)
        mix(out, group.lanes, group.count, samples);
    return mix != nullptr;
}

// The sums of a chunk of the batch, and what is summed before it is mapped to the device's channels.
class Sums {
public:
    Sums(const BoardView& view, std::uint64_t from, std::uint32_t chunk_frames) noexcept
        : from_(from), channels_(view.geometry.channels), samples_(std::size_t{chunk_frames} * channels_)
    {
        std::memset(narrow_, 0, samples_ * sizeof narrow_[0]);
    }

    // Like lanes, from frame `at` of the chunk on.
    void add(const Piece& like, const Group& group, std::uint32_t at, std::uint32_t frames) noexcept;

    // One lane; `frame` is the absolute frame of its first cell here.
    void add_fading(const Piece& piece, const std::byte* cells, std::uint32_t at, std::uint32_t frames) noexcept;

    void finalize(std::byte* out, std::uint32_t format) const noexcept
    {
        kernels().finalize[format](out, narrow_, wide_used_ ? wide_ : nullptr, samples_);
    }

private:
    void use_wide() noexcept
    {
        if (!wide_used_)
            std::memset(wide_, 0, samples_ * sizeof wide_[0]);
        wide_used_ = true;
    }
    template <class Sum> void spread(Sum* sums, const Sum* unmapped, const Piece& like, std::uint32_t frames) noexcept;

    std::uint64_t from_; // absolute frame of the chunk
    std::size_t channels_;
    std::size_t samples_;
    bool wide_used_ = false;
    alignas(64) std::int32_t narrow_[chunk_samples];
    alignas(64) std::int64_t wide_[chunk_samples];
    alignas(64) std::byte unmapped_[chunk_samples * sizeof(std::int64_t)]; // narrow or wide sums
};

struct Map {
    std::uint8_t channel[abi::max_channels];
};

Map map_of(const abi::SlotConfig& config, std::size_t channels) noexcept
{
    Map map{};
    for (std::size_t d = 0; d < channels; ++d)
        map.channel[d] = static_cast<std::uint8_t>(config.map[d / 8].load(relaxed) >> (8 * (d % 8)));
    return map;
}

template <class Sum> void Sums::spread(Sum* sums, const Sum* unmapped, const Piece& like, std::uint32_t frames) noexcept
{
    const Map map = map_of(*like.config, channels_);
    if (like.kind.channels == 1 && channels_ == 2 && map.channel[0] == 0 && map.channel[1] == 0) {
        for (std::size_t i = 0; i < frames; ++i) {
            sums[2 * i] += unmapped[i];
            sums[2 * i + 1] += unmapped[i];
        }
        return;
    }
    for (std::size_t d = 0; d < channels_; ++d)
        if (map.channel[d] < like.kind.channels)
            for (std::size_t i = 0; i < frames; ++i)
                sums[i * channels_ + d] += unmapped[i * like.kind.channels + map.channel[d]];
}

void Sums::add(const Piece& like, const Group& group, std::uint32_t at, std::uint32_t frames) noexcept
{
    const std::size_t samples = std::size_t{frames} * like.kind.channels;
    const bool narrow = narrow_format(like.kind.format) && !like.kind.gain;
    if (!narrow)
        use_wide();
    std::int32_t* narrow_sums = narrow_ + at * channels_;
    std::int64_t* wide_sums = wide_ + at * channels_;
    if (!like.kind.identity) {
        narrow_sums = reinterpret_cast<std::int32_t*>(unmapped_);
        wide_sums = reinterpret_cast<std::int64_t*>(unmapped_);
        std::memset(unmapped_, 0, samples * (narrow ? sizeof narrow_[0] : sizeof wide_[0]));
    }
    if (narrow)
        kernels().add_narrow[like.kind.format](narrow_sums, group.lanes, group.count, samples);
    else if (!like.kind.gain && kernels().add_wide[like.kind.format] != nullptr)
        kernels().add_wide[like.kind.format](wide_sums, group.lanes, group.count, samples);
    else
        kernels().add_gain[like.kind.format](wide_sums, group.lanes, group.count, samples);
    if (like.kind.identity)
        return;
    if (narrow)
        spread(narrow_ + at * channels_, narrow_sums, like, frames);
    else
        spread(wide_ + at * channels_, wide_sums, like, frames);
}

void Sums::add_fading(const Piece& piece, const std::byte* cells, std::uint32_t at, std::uint32_t frames) noexcept
{
    use_wide();
    Gain gain;
    gain.value = piece.gain;
    gain.fade_frames = piece.config->fade_frames.load(relaxed);
    if (gain.fade_frames != 0)
        gain.fade_left =
            static_cast<std::int64_t>(piece.config->fade_start.load(relaxed) + gain.fade_frames - (from_ + at));
    const Map map = map_of(*piece.config, channels_);
    const LaneShape shape{piece.kind.format, piece.kind.channels, static_cast<std::uint32_t>(channels_), map.channel};
    accumulate_wide(wide_ + at * channels_, cells, frames, shape, gain);
}

bool same_map(const Piece& a, const Piece& b, std::uint32_t channels) noexcept
{
    bool same = true;
    for (std::uint32_t word = 0; word * 8 < channels; ++word)
        same &= a.config->map[word].load(relaxed) == b.config->map[word].load(relaxed);
    return same;
}

// Sums the frames of `chunk`, and stores them.
void mix_chunk(const BoardView& view, std::uint64_t from, Span chunk, const Pieces& pieces, std::byte* out) noexcept
{
    Sums sums(view, from + chunk.start, chunk.frames());
    bool done[max_pieces] = {};
    for (std::size_t i = 0; i < pieces.count; ++i) {
        const Piece& first = pieces.list[i];
        const Span part = part_in(first, chunk);
        if (done[i] || part.start >= part.end)
            continue;
        const std::uint32_t at = part.start - chunk.start;
        if (first.fading) {
            sums.add_fading(first, first.cells_at(part.start), at, part.frames());
            continue;
        }
        Group group;
        for (std::size_t k = i; k < pieces.count && group.count < abi::max_slots; ++k) {
            const Piece& next = pieces.list[k];
            if (done[k] || next.kind != first.kind || next.fading || part_in(next, chunk) != part ||
                (!first.kind.identity && !same_map(first, next, view.geometry.channels)))
                continue;
            group.lanes[group.count++] = {next.cells_at(part.start), next.gain};
            done[k] = true;
        }
        sums.add(first, group, at, part.frames());
    }
    sums.finalize(out, view.geometry.format);
}

// Where the next span of the batch ends: where a lane begins or ends, so that those of the span are in
// all of it. If that would be a very short one, a block: there some lanes are summed for themselves.
std::uint32_t span_end(const Pieces& pieces, std::uint32_t start, std::uint32_t frames) noexcept
{
    constexpr std::uint32_t short_span = abi::block_frames / 2;
    std::uint32_t end = frames;
    for (std::size_t i = 0; i < pieces.count; ++i) {
        const Piece& piece = pieces.list[i];
        if (piece.start > start)
            end = std::min(end, piece.start);
        else if (piece.end > start)
            end = std::min(end, piece.end);
    }
    return end - start >= short_span ? end : std::min(start + abi::block_frames, frames);
}

void mix_pieces(const BoardView& view, std::uint64_t from, std::uint32_t frames, const Pieces& pieces,
                std::byte* out) noexcept
{
    std::uint32_t channels = view.geometry.channels;
    for (std::size_t i = 0; i < pieces.count; ++i)
        channels = std::max<std::uint32_t>(channels, pieces.list[i].kind.channels);
    const std::uint32_t most = chunk_samples / channels;
    for (Span span{0, 0}; span.start < frames; span.start = span.end) {
        span.end = span_end(pieces, span.start, frames);
        std::byte* at = out + std::size_t{span.start} * view.frame_bytes;
        if (mix_directly(pieces, span, at, view.geometry))
            continue;
        span.end = std::min(span.end, span.start + most);
        mix_chunk(view, from, span, pieces, at);
    }
}

} // namespace

void recombine(const BoardView& view, std::uint64_t from, std::uint32_t frames) noexcept
{
    // Times and positions come from shared memory: whatever they say, this stays in its buffers.
    const std::uint64_t offset = remainder(from, view.geometry.ring_frames);
    frames = static_cast<std::uint32_t>(
        std::min<std::uint64_t>({frames, batch_frames(view), view.geometry.ring_frames - offset}));
    std::byte* out = view.ring + offset * view.frame_bytes;
    Pieces pieces;
    while (frames > 0) {
        std::uint32_t part = frames;
        while (!gather(view, from, part, pieces))
            part = (part + 1) / 2;
        mix_pieces(view, from, part, pieces, out);
        from += part;
        frames -= part;
        out += std::size_t{part} * view.frame_bytes;
    }
}

} // namespace ringmix::core
