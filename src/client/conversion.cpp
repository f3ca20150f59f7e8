// SPDX-License-Identifier: LGPL-2.1-or-later

#include "client/conversion.h"

#include "core/format.h"
#include "kernels/kernels.h"

#include <algorithm>

namespace ringmix::client {

Conversion::Conversion(std::uint32_t format, std::uint32_t channels, std::uint32_t client_rate,
                       std::uint32_t device_rate, std::uint64_t buffer_frames, const core::Downmix* downmix)
    : filter_(rate_filter(client_rate, device_rate)),
      map_(core::RateMap::from_start(filter_->shape().ratio, filter_->shape().taps)),
      kernels_(kernels::chosen().resampling), format_(format), sample_bytes_(core::sample_bytes(format)),
      downmix_(downmix != nullptr && downmix->sums() ? downmix : nullptr),
      channels_(downmix_ != nullptr ? downmix_->to : channels), buffer_frames_(buffer_frames),
      // Silence of a filter's length behind the end of the sound, and as much before what may be made again.
      cells_(buffer_frames + 2 * map_.taps()), plane_(cells_ + map_.taps()),
      samples_(std::make_unique<float[]>(plane_ * channels_))
{
}

std::uint64_t Conversion::stream_frames(std::uint64_t client_frames) const noexcept
{
    const core::RateRatio ratio = map_.ratio();
    return (client_frames + map_.taps()) * ratio.phases / ratio.step + 1;
}

std::uint64_t Conversion::cell_of(std::int64_t frame) const noexcept
{
    const auto cells = static_cast<std::int64_t>(cells_);
    return static_cast<std::uint64_t>((frame % cells + cells) % cells);
}

void Conversion::clear() noexcept
{
    const std::int64_t taps = map_.taps();
    silence(-taps, taps);
}

// Cells that have a copy behind the ring.
void Conversion::mirror(std::uint64_t cell, std::uint64_t frames) noexcept
{
    const std::uint64_t taps = map_.taps();
    if (cell >= taps)
        return;
    const std::uint64_t count = std::min(frames, taps - cell);
    for (std::uint32_t c = 0; c < channels_; c++)
        std::copy_n(plane(c) + cell, count, plane(c) + cells_ + cell);
}

void Conversion::load(std::uint64_t cell, std::span<const ChannelArea> areas, std::uint64_t first,
                      std::uint64_t frames) noexcept
{
    if (downmix_ != nullptr)
        return load_mixed(plane(0) + cell, plane_, *kernels_, format_, *downmix_, areas, first, frames);
    if (channels_ == 2 && interleaved(areas.first(2), sample_bytes_)) {
        kernels_->load_pair[format_](plane(0) + cell, plane(1) + cell, areas[0].base + first * areas[0].step, frames);
        return;
    }
    for (std::uint32_t c = 0; c < channels_; c++)
        kernels_->load[format_](plane(c) + cell, areas[c].base + first * areas[c].step, areas[c].step, frames);
}

void Conversion::put(std::int64_t at, std::span<const ChannelArea> areas, std::uint64_t first,
                     std::uint64_t frames) noexcept
{
    while (frames > 0) {
        const std::uint64_t cell = cell_of(at);
        const std::uint64_t count = std::min(frames, cells_ - cell);
        load(cell, areas, first, count);
        mirror(cell, count);
        at += static_cast<std::int64_t>(count);
        first += count;
        frames -= count;
    }
}

void Conversion::silence(std::int64_t at, std::int64_t end) noexcept
{
    at = std::max(at, end - static_cast<std::int64_t>(cells_));
    while (at < end) {
        const std::uint64_t cell = cell_of(at);
        const std::uint64_t count = std::min(static_cast<std::uint64_t>(end - at), cells_ - cell);
        for (std::uint32_t c = 0; c < channels_; c++)
            std::fill_n(plane(c) + cell, count, 0.0f);
        mirror(cell, count);
        at += static_cast<std::int64_t>(count);
    }
}

void Conversion::copy(std::byte* cells, std::uint64_t first, std::uint64_t frames) noexcept
{
    const core::FilterShape& shape = filter_->shape();
    auto* out = reinterpret_cast<std::int32_t*>(cells); // lanes begin at whole samples of the arena
    core::StreamFrame frame = begin_ + static_cast<std::int64_t>(first);
    while (frames > 0) {
        const core::ClientFrame tap = map_.first_tap(frame);
        const std::uint64_t cell = cell_of(tap.number);
        // As many as begin before the end of the ring.
        const core::ClientFrame turn = tap + static_cast<std::int64_t>(cells_ - cell);
        const auto before_turn = static_cast<std::uint64_t>(map_.end_without(turn) - frame);
        const std::uint64_t count = std::min(frames, before_turn);
        kernels::ResampleWalk walk = core::resample_walk(shape, map_.moment(frame).phase, cell);
        walk.end = cell + static_cast<std::uint64_t>(std::max<std::int64_t>(end_ - tap, 0));
        kernels_->resample(out, channels_, samples_.get(), plane_, filter_->rows(), walk, count);
        out += count * channels_;
        frame = frame + static_cast<std::int64_t>(count);
        frames -= count;
    }
}

} // namespace ringmix::client
