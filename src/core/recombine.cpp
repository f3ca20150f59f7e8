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

// Neighbouring cells of a lane.
struct Piece {
    const std::byte* cells;
    const abi::SlotConfig* config; // in shared memory
    std::uint32_t start;           // frames of the batch, from its beginning
    std::uint32_t end;
    std::uint32_t gain; // clamped
    std::uint8_t format;
    std::uint8_t channels;
    bool identity; // plays each channel on the same channel of the device
    bool fading;
};

struct Pieces {
    Piece list[max_pieces];
    std::size_t count;
    bool whole; // each covers the whole batch
    bool alike; // each may go straight to the device, in one call
};

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
    const std::uint64_t range = slot.stream.range.load(acquire);
    const Extent part = intersection(unpack(range, from), {from, from + frames});
    if (part.empty())
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

    Piece piece{};
    piece.config = &config;
    piece.gain = std::min(config.gain.load(relaxed), max_gain);
    piece.format = static_cast<std::uint8_t>(format);
    piece.channels = static_cast<std::uint8_t>(channels);
    piece.identity = channels == view.geometry.channels && identity_map(config, channels);
    piece.fading = config.fade_frames.load(relaxed) != 0;
    if (piece.gain == 0)
        return true;
    std::uint64_t cell = remainder(part.start - slot.stream.origin.load(relaxed), lane_frames);
    piece.start = static_cast<std::uint32_t>(part.start - from);
    const auto end = static_cast<std::uint32_t>(part.end - from);
    while (piece.start < end) { // twice where the lane wraps; more often only if the range is nonsense
        if (pieces.count == max_pieces)
            return false;
        piece.cells = view.arena + offset + cell * bytes;
        piece.end = static_cast<std::uint32_t>(std::min<std::uint64_t>(end, piece.start + lane_frames - cell));
        pieces.whole &= piece.start == 0 && piece.end == frames;
        pieces.alike &= piece.identity && !piece.fading && piece.gain == abi::unity_gain &&
                        (pieces.count == 0 || piece.format == pieces.list[0].format);
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
    pieces.whole = pieces.alike = true;
    for (std::uint64_t active = view.board->engine.active.load(acquire); active != 0; active &= active - 1)
        if (!gather_slot(view, view.board->slots[std::countr_zero(active)], from, frames, pieces))
            return false;
    return true;
}

// True if it is done: like lanes, all over the batch, and a kernel for them.
bool mix_directly(const Pieces& pieces, std::byte* out, std::uint32_t device, std::size_t samples) noexcept
{
    if (!pieces.whole || !pieces.alike || pieces.count > abi::max_slots)
        return false;
    const std::uint32_t format = pieces.list[0].format;
    // S24 is no copy: the device's fourth byte must be the sign, and the lane's may be anything.
    if (pieces.count == 1 && format == device && format != abi::format_s24) {
        kernels().copy(out, pieces.list[0].cells, samples * sample_bytes(format));
        return true;
    }
    Kernels::Mix* kernel = kernels().mix[format][device];
    if (kernel == nullptr)
        return false;
    Source lanes[abi::max_slots];
    for (std::size_t i = 0; i < pieces.count; ++i)
        lanes[i] = {pieces.list[i].cells, abi::unity_gain};
    kernel(out, lanes, pieces.count, samples);
    return true;
}

// The sums of a chunk of the batch, and what is summed before it is mapped to the device's channels.
class Sums {
public:
    Sums(const BoardView& view, std::uint64_t from, std::uint32_t chunk_frames) noexcept
        : from_(from), channels_(view.geometry.channels), samples_(std::size_t{chunk_frames} * channels_)
    {
        std::memset(narrow_, 0, samples_ * sizeof narrow_[0]);
    }

    // `count` like lanes, from frame `at` of the chunk on.
    void add(const Piece& like, const Source* lanes, std::size_t count, std::uint32_t at,
             std::uint32_t frames) noexcept;

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
    if (like.channels == 1 && channels_ == 2 && map.channel[0] == 0 && map.channel[1] == 0) {
        for (std::size_t i = 0; i < frames; ++i) {
            sums[2 * i] += unmapped[i];
            sums[2 * i + 1] += unmapped[i];
        }
        return;
    }
    for (std::size_t d = 0; d < channels_; ++d)
        if (map.channel[d] < like.channels)
            for (std::size_t i = 0; i < frames; ++i)
                sums[i * channels_ + d] += unmapped[i * like.channels + map.channel[d]];
}

void Sums::add(const Piece& like, const Source* lanes, std::size_t count, std::uint32_t at,
               std::uint32_t frames) noexcept
{
    const std::size_t samples = std::size_t{frames} * like.channels;
    const bool narrow = narrow_format(like.format) && like.gain == abi::unity_gain;
    if (!narrow)
        use_wide();
    std::int32_t* narrow_sums = narrow_ + at * channels_;
    std::int64_t* wide_sums = wide_ + at * channels_;
    if (!like.identity) {
        narrow_sums = reinterpret_cast<std::int32_t*>(unmapped_);
        wide_sums = reinterpret_cast<std::int64_t*>(unmapped_);
        std::memset(unmapped_, 0, samples * (narrow ? sizeof narrow_[0] : sizeof wide_[0]));
    }
    if (narrow)
        kernels().add_narrow[like.format](narrow_sums, lanes, count, samples);
    else if (like.gain == abi::unity_gain && kernels().add_wide[like.format] != nullptr)
        kernels().add_wide[like.format](wide_sums, lanes, count, samples);
    else
        kernels().add_gain[like.format](wide_sums, lanes, count, samples);
    if (like.identity)
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
    const LaneShape shape{piece.format, piece.channels, static_cast<std::uint32_t>(channels_), map.channel};
    accumulate_wide(wide_ + at * channels_, cells, frames, shape, gain);
}

bool same_map(const Piece& a, const Piece& b, std::uint32_t channels) noexcept
{
    if (a.identity || b.identity)
        return a.identity == b.identity;
    bool same = a.channels == b.channels;
    for (std::uint32_t word = 0; word * 8 < channels; ++word)
        same &= a.config->map[word].load(relaxed) == b.config->map[word].load(relaxed);
    return same;
}

// True if both can be summed in one call of a kernel.
bool alike(const Piece& a, const Piece& b, std::uint32_t channels) noexcept
{
    return a.format == b.format && !a.fading && !b.fading &&
           (a.gain == abi::unity_gain) == (b.gain == abi::unity_gain) && same_map(a, b, channels);
}

// Sums the frames start ... end - 1 of the batch, and stores them.
void mix_chunk(const BoardView& view, std::uint64_t from, Extent chunk, const Pieces& pieces, std::byte* out) noexcept
{
    const std::uint32_t channels = view.geometry.channels;
    Sums sums(view, from + chunk.start, static_cast<std::uint32_t>(chunk.length()));
    bool done[max_pieces] = {};
    for (std::size_t i = 0; i < pieces.count; ++i) {
        const Piece& first = pieces.list[i];
        const Extent part = intersection({first.start, first.end}, chunk);
        if (done[i] || part.empty())
            continue;
        const auto at = static_cast<std::uint32_t>(part.start - chunk.start);
        const auto frames = static_cast<std::uint32_t>(part.length());
        const auto cells = [&](const Piece& piece) {
            return piece.cells + (part.start - piece.start) * piece.channels * sample_bytes(piece.format);
        };
        if (first.fading) {
            sums.add_fading(first, cells(first), at, frames);
            continue;
        }
        Source lanes[abi::max_slots];
        std::size_t count = 0;
        for (std::size_t k = i; k < pieces.count && count < abi::max_slots; ++k) {
            const Piece& next = pieces.list[k];
            if (done[k] || intersection({next.start, next.end}, chunk) != part || !alike(first, next, channels))
                continue;
            lanes[count++] = {cells(next), next.gain};
            done[k] = true;
        }
        sums.add(first, lanes, count, at, frames);
    }
    sums.finalize(out, view.geometry.format);
}

// In chunks that fit the sums, of whole blocks where lanes begin or end: then most lanes cover most
// chunks from end to end, and can be summed together.
void mix_in_chunks(const BoardView& view, std::uint64_t from, std::uint32_t frames, const Pieces& pieces,
                   std::byte* out) noexcept
{
    std::uint32_t channels = view.geometry.channels;
    for (std::size_t i = 0; i < pieces.count; ++i)
        channels = std::max<std::uint32_t>(channels, pieces.list[i].channels);
    std::uint32_t most = chunk_samples / channels;
    if (!pieces.whole && pieces.count > 2)
        most = std::min(most, abi::block_frames);
    for (std::uint32_t at = 0; at < frames; at += most)
        mix_chunk(view, from, {at, std::min(at + most, frames)}, pieces, out + std::size_t{at} * view.frame_bytes);
}

void mix(const BoardView& view, std::uint64_t from, std::uint32_t frames, const Pieces& pieces, std::byte* out) noexcept
{
    if (pieces.count == 0)
        std::memset(out, 0, std::size_t{frames} * view.frame_bytes); // silence, in all device formats
    else if (!mix_directly(pieces, out, view.geometry.format, std::size_t{frames} * view.geometry.channels))
        mix_in_chunks(view, from, frames, pieces, out);
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
        mix(view, from, part, pieces, out);
        from += part;
        frames -= part;
        out += std::size_t{part} * view.frame_bytes;
    }
}

} // namespace ringmix::core
