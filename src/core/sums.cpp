// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/sums.h"

#include "core/format.h"
#include "kernels/mix.h"

#include <cstring>

namespace ringmix::core {

namespace {

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

// Adds lane channels to the device's channels that play them.
template <class Sum>
void spread(Sum* sums, std::size_t channels, const Sum* unmapped, std::size_t lane_channels, const Map& map,
            std::uint32_t frames) noexcept
{
    if (lane_channels == 1 && channels == 2 && map.channel[0] == 0 && map.channel[1] == 0) {
        for (std::size_t i = 0; i < frames; ++i) {
            sums[2 * i] += unmapped[i];
            sums[2 * i + 1] += unmapped[i];
        }
        return;
    }
    for (std::size_t d = 0; d < channels; ++d)
        if (map.channel[d] < lane_channels)
            for (std::size_t i = 0; i < frames; ++i)
                sums[i * channels + d] += unmapped[i * lane_channels + map.channel[d]];
}

bool same_map(const abi::SlotConfig& a, const abi::SlotConfig& b, std::uint32_t channels) noexcept
{
    bool same = true;
    for (std::uint32_t word = 0; word * 8 < channels; ++word)
        same &= a.map[word].load(relaxed) == b.map[word].load(relaxed);
    return same;
}

bool narrow_kind(Kind kind) noexcept { return kernels::narrow_format(kind.format()) && !kind.gain(); }

// To the narrow or the wide sums, whichever the kind needs.
void add_samples(Kind kind, std::int32_t* narrow, std::int64_t* wide, const Source* lanes, std::size_t count,
                 std::size_t samples) noexcept
{
    if (narrow_kind(kind))
        kernels::chosen().add_narrow[kind.format()](narrow, lanes, count, samples);
    else if (kind.gain())
        kernels::chosen().add_gain[kind.format()](wide, lanes, count, samples);
    else
        kernels::chosen().add_wide[kind.format()](wide, lanes, count, samples);
}

} // namespace

Sums::Sums(const BoardView& view, Span chunk) noexcept
    : view_(view), chunk_(chunk), channels_(view.geometry.channels), samples_(std::size_t{chunk.frames()} * channels_)
{
}

void Sums::use_narrow() noexcept
{
    if (!narrow_used_)
        std::memset(narrow_, 0, samples_ * sizeof narrow_[0]);
    narrow_used_ = true;
}

void Sums::use_wide() noexcept
{
    if (!wide_used_)
        std::memset(wide_, 0, samples_ * sizeof wide_[0]);
    wide_used_ = true;
}

void Sums::add_lanes(Kind kind, const abi::SlotConfig& config, Source* lanes, std::size_t count, Span part) noexcept
{
    if (narrow_kind(kind))
        use_narrow();
    else
        use_wide();
    if (!kind.mapped()) {
        const std::size_t at = std::size_t{part.start - chunk_.start} * channels_;
        return add_samples(kind, narrow_ + at, wide_ + at, lanes, count, std::size_t{part.frames()} * kind.channels());
    }
    const std::uint32_t most = unmapped_samples / kind.channels();
    while (part.start < part.end) {
        const Span now{part.start, std::min(part.start + most, part.end)};
        add_mapped(kind, config, lanes, count, now);
        for (std::size_t i = 0; i < count; ++i)
            lanes[i].cells += std::size_t{now.frames()} * kind.channels() * sample_bytes(kind.format());
        part.start = now.end;
    }
}

void Sums::add_mapped(Kind kind, const abi::SlotConfig& config, const Source* lanes, std::size_t count,
                      Span part) noexcept
{
    const std::size_t at = std::size_t{part.start - chunk_.start} * channels_;
    const std::size_t samples = std::size_t{part.frames()} * kind.channels();
    auto* narrow = reinterpret_cast<std::int32_t*>(unmapped_);
    auto* wide = reinterpret_cast<std::int64_t*>(unmapped_);
    std::memset(unmapped_, 0, samples * (narrow_kind(kind) ? sizeof *narrow : sizeof *wide));
    add_samples(kind, narrow, wide, lanes, count, samples);
    const Map map = map_of(config, channels_);
    if (narrow_kind(kind))
        spread(narrow_ + at, channels_, narrow, kind.channels(), map, part.frames());
    else
        spread(wide_ + at, channels_, wide, kind.channels(), map, part.frames());
}

void Sums::add_fading(Kind kind, const abi::SlotConfig& config, const std::byte* cells, const GainLine& gain,
                      Span part) noexcept
{
    use_wide();
    const Map map = map_of(config, channels_);
    const kernels::LaneShape shape{kind.format(), kind.channels(), static_cast<std::uint32_t>(channels_), map.channel};
    kernels::accumulate_wide(wide_ + std::size_t{part.start - chunk_.start} * channels_, cells, part.frames(), shape,
                             gain);
}

void Sums::add(const Pieces& pieces) noexcept
{
    bool done[Pieces::most] = {};
    for (std::size_t i = 0; i < pieces.count; ++i) {
        const Kind kind = pieces.kind[i];
        const Span part = intersection(pieces.span[i], chunk_);
        if (done[i] || part.start >= part.end)
            continue;
        const abi::SlotConfig& config = view_.board->slots[pieces.slot[i]].config;
        if (kind.fading()) {
            add_fading(kind, config, pieces.source(view_, i, part.start).cells, line_of(pieces, i, part.start), part);
            continue;
        }
        Source lanes[abi::max_slots];
        std::size_t count = 0;
        for (std::size_t k = i; k < pieces.count && count < abi::max_slots; ++k) {
            if (done[k] || pieces.kind[k] != kind || intersection(pieces.span[k], chunk_) != part ||
                (kind.mapped() &&
                 !same_map(config, view_.board->slots[pieces.slot[k]].config, view_.geometry.channels)))
                continue;
            lanes[count++] = pieces.source(view_, k, part.start);
            done[k] = true;
        }
        add_lanes(kind, config, lanes, count, part);
    }
}

void Sums::unite() noexcept
{
    use_wide();
    if (narrow_used_)
        kernels::chosen().fold(wide_, narrow_, samples_);
    narrow_used_ = false;
}

void Sums::shape(std::size_t at, std::size_t samples, std::uint64_t first_sample) noexcept
{
    const abi::Geometry& device = view_.geometry;
    unite();
    if (device.clip == abi::clip_soft)
        kernels::chosen().soften(wide_ + at, samples);
    if (device.dither == abi::dither_tpdf)
        kernels::chosen().dither(wide_ + at, samples, first_sample, kernels::last_bit(device.format));
}

void Sums::finalize(std::byte* out, Span part, std::uint64_t from) noexcept
{
    const std::size_t at = std::size_t{part.start - chunk_.start} * channels_;
    const std::size_t samples = std::size_t{part.frames()} * channels_;
    if (shaped(view_.geometry))
        shape(at, samples, (from + part.start) * channels_);
    use_narrow();
    kernels::chosen().finalize[view_.geometry.format](out, narrow_ + at, wide_used_ ? wide_ + at : nullptr, samples);
}

} // namespace ringmix::core
