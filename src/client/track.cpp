// SPDX-License-Identifier: LGPL-2.1-or-later

#include "client/track.h"

#include <algorithm>

namespace ringmix::client {

namespace {

std::uint64_t not_negative(std::int64_t number) noexcept
{
    return static_cast<std::uint64_t>(std::max<std::int64_t>(number, 0));
}
core::StreamFrame stream_frame(std::int64_t position) noexcept { return {position}; }
core::ClientFrame client_frame(std::uint64_t position) noexcept { return {static_cast<std::int64_t>(position)}; }
} // namespace

void Track::configure(std::uint32_t format, std::uint32_t channels, std::uint32_t rate, std::uint64_t buffer_frames,
                      const core::ChannelMap& map, const core::Downmix& downmix)
{
    written_.store(0, relaxed);
    stream_.drop();
    conversion_.reset();
    format_ = format;
    downmix_ = downmix;
    const std::uint32_t device_rate = seat_->geometry().rate;
    const std::uint32_t lane_channels = downmix.sums() ? downmix.to : channels;
    if (rate != device_rate) {
        auto conversion = std::make_unique<Conversion>(format, channels, rate, device_rate, buffer_frames, &downmix_);
        stream_.configure(abi::format_s32_high, lane_channels, conversion->stream_frames(buffer_frames), map,
                          conversion->stream_frames(0), {format, rate, channels, conversion->map().taps() / 2});
        conversion_ = std::move(conversion);
    } else if (downmix.sums()) {
        stream_.configure(abi::format_s32_high, lane_channels, buffer_frames, map, 0, {format, rate, channels});
    } else {
        stream_.configure(format, channels, buffer_frames, map);
    }
}

void Track::release() noexcept
{
    stream_.release();
    conversion_.reset();
}

void Track::prepare() noexcept
{
    stream_.prepare();
    if (conversion_ == nullptr)
        return;
    conversion_->clear();
    written_.store(0, relaxed);
}

std::uint64_t Track::write(std::uint64_t position, std::span<const ChannelArea> areas, std::uint64_t frames) noexcept
{
    if (conversion_ == nullptr && !downmix_.sums())
        return stream_.write(position, areas, frames);
    if (!seat_->held() || (frames != 0 && areas.size() < (downmix_.sums() ? downmix_.from : conversion_->channels())))
        return 0;
    if (conversion_ == nullptr) {
        MixedFrames mixed(areas, format_, downmix_);
        return stream_.write_from(mixed, position, frames);
    }
    return convert(static_cast<std::int64_t>(position), areas, static_cast<std::int64_t>(frames));
}

// The sound up to `end` is kept, and a filter's length of silence behind it. Where it ended before, that silence has
// been converted already; what is made anew begins with the first stream frame that has something new in it.
std::uint64_t Track::convert(std::int64_t begin, std::span<const ChannelArea> areas, std::int64_t frames) noexcept
{
    Conversion& conversion = *conversion_;
    const core::RateMap& map = conversion.map();
    const std::int64_t old_end = written_.load(relaxed);
    const std::int64_t first_changeable = changeable();
    const std::int64_t late = std::clamp<std::int64_t>(first_changeable - begin, 0, frames);
    const auto room = static_cast<std::int64_t>(conversion.buffer_frames());
    const std::int64_t from = begin + std::max(late, frames - std::min(frames, room));
    const std::int64_t kept = std::min(old_end, std::max(first_changeable, begin));
    const std::int64_t end = std::max({kept, begin + frames});

    conversion.silence(old_end, from);
    conversion.put(from, areas, static_cast<std::uint64_t>(from - begin),
                   static_cast<std::uint64_t>(begin + frames - from));
    conversion.silence(end, end + map.taps());
    written_.store(end, relaxed);

    // Of what cannot be changed nothing is made anew.
    const std::int64_t changed = std::max(from, first_changeable);
    const core::StreamFrame rung_out = map.end_without({end});
    const core::StreamFrame first = std::clamp(map.first_with({changed}), {}, rung_out);
    conversion.begin_with(first, {end});
    const std::uint64_t missed = stream_.write_from(conversion, static_cast<std::uint64_t>(first.number),
                                                    static_cast<std::uint64_t>(rung_out - first));
    std::int64_t lost = late;
    if (missed != 0) // the horizon has passed them since it was asked for
        lost = std::clamp(map.first_changeable(first + static_cast<std::int64_t>(missed)).number - begin, late, frames);
    abi::Word64& count = seat_->slot().stream.late_frames;
    count.store(count.load(relaxed) + static_cast<std::uint64_t>(late), relaxed);
    return static_cast<std::uint64_t>(lost);
}

void Track::drain(std::uint64_t position) noexcept
{
    if (conversion_ == nullptr)
        return stream_.drain(position);
    if (position != written())
        end_at(position);
    stream_.drain(not_negative(conversion_->map().end_without(client_frame(position)).number));
}

void Track::xrun() noexcept
{
    if (conversion_ != nullptr && stream_.running() && changeable() < written_.load(relaxed))
        end_at(static_cast<std::uint64_t>(changeable()));
    stream_.xrun();
}

std::int64_t Track::changeable() const noexcept
{
    const core::StreamFrame horizon = stream_frame(stream_.horizon_position());
    return std::max<std::int64_t>(conversion_->map().first_changeable(horizon).number, 0);
}

std::uint64_t Track::written() const noexcept
{
    return conversion_ == nullptr ? stream_.written() : not_negative(written_.load(relaxed));
}

std::int64_t Track::horizon_position() const noexcept
{
    return conversion_ == nullptr ? stream_.horizon_position() : changeable();
}

std::int64_t Track::heard_position() const noexcept
{
    if (conversion_ == nullptr)
        return stream_.heard_position();
    // One that stands is not heard: it stands where it can be changed.
    return stream_.running() ? conversion_->map().moment(stream_frame(stream_.heard_position())).frame.number
                             : changeable();
}

bool Track::drained(std::uint64_t position) const noexcept
{
    if (conversion_ == nullptr)
        return stream_.heard_position() >= static_cast<std::int64_t>(position);
    return stream_frame(stream_.heard_position()) >= conversion_->map().end_without(client_frame(position));
}

std::int64_t Track::time_of_horizon(std::uint64_t position) const noexcept
{
    if (conversion_ == nullptr)
        return stream_.time_of_horizon(position);
    return stream_.time_of_horizon(not_negative(conversion_->map().horizon_at(client_frame(position)).number));
}

std::int64_t Track::time_drained(std::uint64_t position) const noexcept
{
    if (conversion_ == nullptr)
        return stream_.time_heard(position);
    return stream_.time_heard(not_negative(conversion_->map().end_without(client_frame(position)).number));
}

} // namespace ringmix::client
