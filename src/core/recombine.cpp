// SPDX-License-Identifier: LGPL-2.1-or-later
//
// recombine() of post.h: from the lanes of the active slots to the device's ring.
//
// Lanes that are all alike, the usual case, go to the device in one call of a kernel, without sums in
// memory: the batch is cut into spans where lanes begin, end and wrap. Otherwise groups of like
// lanes are added to sums, and those go to the device. With many lanes, what is done for each lane
// and span costs as much as the arithmetic.

#include "core/format.h"
#include "core/kernels.h"
#include "core/mix.h"
#include "core/pieces.h"
#include "core/post.h"

#include <cstring>

namespace ringmix::core {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;

constexpr std::uint32_t chunk_samples = 512; // summed in memory at once
static_assert(chunk_samples % abi::max_channels == 0);
constexpr std::uint32_t short_span = abi::block_frames / 2;

Span intersection(Span a, Span b) noexcept { return {std::max(a.start, b.start), std::min(a.end, b.end)}; }

// Lanes of one plain kind straight to the device. False: there is no kernel for it.
bool mix_directly(const abi::Geometry& device, std::byte* out, Kind kind, const Source* lanes, std::size_t count,
                  std::uint32_t frames) noexcept
{
    const std::size_t samples = std::size_t{frames} * device.channels;
    if (count == 0) {
        std::memset(out, 0, samples * sample_bytes(device.format)); // silence, in all device formats
        return true;
    }
    // S24 is no copy: the device's fourth byte must be the sign, and the lane's may be anything.
    if (count == 1 && kind.format() == device.format && kind.format() != abi::format_s24) {
        kernels().copy(out, lanes[0].cells, samples * sample_bytes(device.format));
        return true;
    }
    Kernels::Mix* mix = kernels().mix[kind.format()][device.format];
    if (mix != nullptr)
        mix(out, lanes, count, samples);
    return mix != nullptr;
}

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

// The sums of a chunk of the batch, and what is summed before it is mapped to the device's channels.
class Sums {
public:
    Sums(const BoardView& view, Span chunk) noexcept
        : view_(view), chunk_(chunk), channels_(view.geometry.channels),
          samples_(std::size_t{chunk.frames()} * channels_)
    {
        std::memset(narrow_, 0, samples_ * sizeof narrow_[0]);
    }

    // Lanes of a kind, all with the map of `config`, over a part of the chunk.
    void add(Kind kind, const abi::SlotConfig& config, const Source* lanes, std::size_t count, Span part) noexcept;
    void add_fading(Kind kind, const abi::SlotConfig& config, const std::byte* cells, const GainLine& gain,
                    Span part) noexcept;

    void finalize(std::byte* out) const noexcept
    {
        kernels().finalize[view_.geometry.format](out, narrow_, wide_used_ ? wide_ : nullptr, samples_);
    }

private:
    void use_wide() noexcept
    {
        if (!wide_used_)
            std::memset(wide_, 0, samples_ * sizeof wide_[0]);
        wide_used_ = true;
    }
    template <class Sum>
    void spread(Sum* sums, const Sum* unmapped, std::size_t lane_channels, const Map& map,
                std::uint32_t frames) const noexcept;

    const BoardView& view_;
    Span chunk_;
    std::size_t channels_;
    std::size_t samples_;
    bool wide_used_ = false;
    alignas(64) std::int32_t narrow_[chunk_samples];
    alignas(64) std::int64_t wide_[chunk_samples];
    alignas(64) std::byte unmapped_[chunk_samples * sizeof(std::int64_t)]; // narrow or wide sums
};

template <class Sum>
void Sums::spread(Sum* sums, const Sum* unmapped, std::size_t lane_channels, const Map& map,
                  std::uint32_t frames) const noexcept
{
    if (lane_channels == 1 && channels_ == 2 && map.channel[0] == 0 && map.channel[1] == 0) {
        for (std::size_t i = 0; i < frames; ++i) {
            sums[2 * i] += unmapped[i];
            sums[2 * i + 1] += unmapped[i];
        }
        return;
    }
    for (std::size_t d = 0; d < channels_; ++d)
        if (map.channel[d] < lane_channels)
            for (std::size_t i = 0; i < frames; ++i)
                sums[i * channels_ + d] += unmapped[i * lane_channels + map.channel[d]];
}

void Sums::add(Kind kind, const abi::SlotConfig& config, const Source* lanes, std::size_t count, Span part) noexcept
{
    const std::size_t at = std::size_t{part.start - chunk_.start} * channels_;
    const std::size_t samples = std::size_t{part.frames()} * kind.channels();
    const bool narrow = narrow_format(kind.format()) && !kind.gain();
    if (!narrow)
        use_wide();
    std::int32_t* narrow_sums = narrow_ + at;
    std::int64_t* wide_sums = wide_ + at;
    if (kind.mapped()) {
        narrow_sums = reinterpret_cast<std::int32_t*>(unmapped_);
        wide_sums = reinterpret_cast<std::int64_t*>(unmapped_);
        std::memset(unmapped_, 0, samples * (narrow ? sizeof narrow_[0] : sizeof wide_[0]));
    }
    if (narrow)
        kernels().add_narrow[kind.format()](narrow_sums, lanes, count, samples);
    else if (kind.gain())
        kernels().add_gain[kind.format()](wide_sums, lanes, count, samples);
    else
        kernels().add_wide[kind.format()](wide_sums, lanes, count, samples);
    if (!kind.mapped())
        return;
    const Map map = map_of(config, channels_);
    if (narrow)
        spread(narrow_ + at, narrow_sums, kind.channels(), map, part.frames());
    else
        spread(wide_ + at, wide_sums, kind.channels(), map, part.frames());
}

void Sums::add_fading(Kind kind, const abi::SlotConfig& config, const std::byte* cells, const GainLine& gain,
                      Span part) noexcept
{
    use_wide();
    const Map map = map_of(config, channels_);
    const LaneShape shape{kind.format(), kind.channels(), static_cast<std::uint32_t>(channels_), map.channel};
    accumulate_wide(wide_ + std::size_t{part.start - chunk_.start} * channels_, cells, part.frames(), shape, gain);
}

bool same_map(const abi::SlotConfig& a, const abi::SlotConfig& b, std::uint32_t channels) noexcept
{
    bool same = true;
    for (std::uint32_t word = 0; word * 8 < channels; ++word)
        same &= a.map[word].load(relaxed) == b.map[word].load(relaxed);
    return same;
}

// Sums the frames of `chunk`, and stores them.
void mix_chunk(const BoardView& view, Span chunk, const Pieces& pieces, std::byte* out) noexcept
{
    Sums sums(view, chunk);
    bool done[Pieces::most] = {};
    for (std::size_t i = 0; i < pieces.count; ++i) {
        const Kind kind = pieces.kind[i];
        const Span part = intersection(pieces.span[i], chunk);
        if (done[i] || part.start >= part.end)
            continue;
        const abi::SlotConfig& config = view.board->slots[pieces.slot[i]].config;
        if (kind.fading()) {
            sums.add_fading(kind, config, pieces.source(view, i, part.start).cells, line_of(pieces, i, part.start),
                            part);
            continue;
        }
        Source lanes[abi::max_slots];
        std::size_t count = 0;
        for (std::size_t k = i; k < pieces.count && count < abi::max_slots; ++k) {
            if (done[k] || pieces.kind[k] != kind || intersection(pieces.span[k], chunk) != part ||
                (kind.mapped() && !same_map(config, view.board->slots[pieces.slot[k]].config, view.geometry.channels)))
                continue;
            lanes[count++] = pieces.source(view, k, part.start);
            done[k] = true;
        }
        sums.add(kind, config, lanes, count, part);
    }
    sums.finalize(out);
}

// Lanes of one plain kind, each of which is in all of the span or not in it at all. False: not so many at
// once (streams and tails), or no kernel.
bool mix_span(const BoardView& view, Span span, const Pieces& pieces, std::byte* out) noexcept
{
    Source lanes[Pieces::most];
    std::size_t count = 0;
    for (std::size_t i = 0; i < pieces.count; ++i) {
        lanes[count] = pieces.source(view, i, span.start);
        count += pieces.span[i].start <= span.start && pieces.span[i].end >= span.end ? 1 : 0;
    }
    return count <= abi::max_slots && mix_directly(view.geometry, out, pieces.kind[0], lanes, count, span.frames());
}

void mix_pieces(const BoardView& view, std::uint32_t frames, const Pieces& pieces, std::byte* out) noexcept
{
    std::uint32_t channels = view.geometry.channels;
    for (std::size_t i = 0; i < pieces.count; ++i)
        channels = std::max(channels, pieces.kind[i].channels());
    const std::uint32_t most = chunk_samples / channels;
    for (Span span{0, 0}; span.start < frames; span.start = span.end) {
        span.end = frames;
        for (std::size_t i = 0; i < pieces.cut_count; ++i)
            if (pieces.cuts[i] > span.start)
                span.end = std::min<std::uint32_t>(span.end, pieces.cuts[i]);
        std::byte* at = out + std::size_t{span.start} * view.frame_bytes;
        if (span.frames() < short_span) // not worth it: a block, in which some lanes are summed for themselves
            span.end = std::min(span.start + abi::block_frames, frames);
        else if (pieces.alike && mix_span(view, span, pieces, at))
            continue;
        span.end = std::min(span.end, span.start + most);
        mix_chunk(view, span, pieces, at);
    }
}

} // namespace

void recombine(const BoardView& view, std::uint64_t from, std::uint32_t frames) noexcept
{
    // Times and positions come from shared memory: whatever they say, this stays in its buffers.
    const std::uint64_t offset = from % view.geometry.ring_frames;
    frames = static_cast<std::uint32_t>(
        std::min<std::uint64_t>({frames, batch_frames(view), view.geometry.ring_frames - offset}));
    std::byte* out = view.ring + offset * view.frame_bytes;
    Pieces pieces;
    while (frames > 0) {
        std::uint32_t part = frames;
        while (!gather(view, from, part, pieces))
            part = (part + 1) / 2;
        mix_pieces(view, part, pieces, out);
        from += part;
        frames -= part;
        out += std::size_t{part} * view.frame_bytes;
    }
}

} // namespace ringmix::core
