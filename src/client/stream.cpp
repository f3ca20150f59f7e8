// SPDX-License-Identifier: LGPL-2.1-or-later

#include "client/stream.h"

#include "core/format.h"
#include "core/message.h"
#include "core/tail.h"
#include "os/memory.h"
#include "os/timer.h"

#include <cstring>

namespace ringmix::client {

namespace {
constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto release_order = std::memory_order_release;

constexpr std::int64_t repair_interval_ns = 5'000'000;
constexpr int start_tries = 4;

// Frames that have just been played stay in the lane for a poster that is late. On the virtual device they
// still matter to it: what that plays is taken out of the ring by the engine, which may be late as well.
std::uint64_t kept_frames(const abi::Geometry& geometry) noexcept
{
    return geometry.device_kind == abi::device_virtual ? geometry.rate / 20 : 256;
}
} // namespace

Stream::Stream(Attachment& attachment) noexcept
    : attachment_(&attachment),
      poster_(attachment.view(), attachment.slot().stream.posting, attachment.timeline().playhead()),
      serial_(
          static_cast<std::uint32_t>(attachment.slot().stream.stream.load(relaxed) >> 32)) // of the slot's last user
{
}

void Stream::configure(std::uint32_t format, std::uint32_t channels, std::uint64_t buffer_frames,
                       const core::ChannelMap& map)
{
    drop();
    wait_for_tail();
    lane_ = nullptr; // the server takes it back also if it has no room for the new one
    auto request = core::make_message<protocol::Configure>();
    request.format = format;
    request.channels = channels;
    const abi::Geometry& geometry = attachment_->geometry();
    request.lane_frames =
        buffer_frames + geometry.margin_frames + core::fade_frames(geometry.rate) + kept_frames(geometry);
    std::memcpy(request.map, map.data(), sizeof request.map);
    const auto lane = attachment_->connection().ask<protocol::Configured>(request);

    const std::uint64_t arena = geometry.arena_bytes;
    frame_bytes_ = core::sample_bytes(format) * channels;
    if (lane.lane_frames < request.lane_frames || lane.lane_offset > arena ||
        lane.lane_frames > (arena - lane.lane_offset) / frame_bytes_)
        throw ClientError(EPROTO, "the server gave a lane outside its arena");
    lane_ = attachment_->view().arena + lane.lane_offset;
    lane_frames_ = lane.lane_frames;
    os::touch(lane_, lane_frames_ * frame_bytes_);
    buffer_frames_ = buffer_frames;
    sample_bytes_ = core::sample_bytes(format);
    channels_ = channels;
    silence_ = core::silence_byte(format);
    written_ = 0;
    standing_ = 0;
    base_cell_ = 0;
    tail_cell_ = 0;
}

void Stream::release() noexcept
{
    drop();
    wait_for_tail();
    lane_ = nullptr;
    try {
        attachment_->connection().ask<protocol::Done>(core::make_message<protocol::Release>());
    } catch (const std::exception&) {
        // The server is gone; its board goes with the last client.
    }
}

std::uint64_t Stream::horizon() const noexcept
{
    return attachment_->timeline().read().now + attachment_->geometry().margin_frames;
}

// Time between the decision to start and the first frame, beyond the safety margin. A program with a long
// buffer does not notice 20 ms, in which the engine looks twice: if this process loses the processor now, the
// engine mixes for it (Poster::repair). One with a short buffer wants to be heard at once.
std::uint64_t Stream::start_slack() const noexcept
{
    const std::uint64_t rate = attachment_->geometry().rate;
    return std::clamp<std::uint64_t>(buffer_frames_ / 16, rate / 2000, rate / 50);
}

void Stream::set_state(std::uint32_t state, bool new_serial) noexcept
{
    if (new_serial)
        serial_++;
    attachment_->slot().stream.stream.store(std::uint64_t{serial_} << 32 | state, release_order);
}

void Stream::prepare() noexcept
{
    stop(abi::stream_idle, true);
    base_cell_ = tail_cell_; // behind the cells that are still being played
    written_ = 0;
    standing_ = 0;
    set_state(abi::stream_prepared, false);
}

void Stream::copy_in(std::uint64_t position, std::span<const ChannelArea> areas, std::uint64_t frames) noexcept
{
    bool interleaved = areas[0].step == frame_bytes_;
    for (std::uint32_t c = 1; c < channels_; c++)
        interleaved &= areas[c].step == frame_bytes_ && areas[c].base == areas[0].base + c * sample_bytes_;
    std::uint64_t done = 0;
    while (done < frames) {
        const std::uint64_t cell = cell_of(position + done);
        const std::uint64_t count = std::min(frames - done, lane_frames_ - cell);
        std::byte* to = lane_ + cell * frame_bytes_;
        if (interleaved) {
            std::memcpy(to, areas[0].base + done * frame_bytes_, count * frame_bytes_);
        } else {
            for (std::uint32_t c = 0; c < channels_; c++)
                for (std::uint64_t i = 0; i < count; i++)
                    std::memcpy(to + i * frame_bytes_ + c * sample_bytes_, areas[c].base + (done + i) * areas[c].step,
                                sample_bytes_);
        }
        done += count;
    }
}

void Stream::silence(std::uint64_t position, std::uint64_t frames) noexcept
{
    frames = std::min(frames, lane_frames_);
    while (frames > 0) {
        const std::uint64_t cell = cell_of(position);
        const std::uint64_t count = std::min(frames, lane_frames_ - cell);
        std::memset(lane_ + cell * frame_bytes_, silence_, count * frame_bytes_);
        position += count;
        frames -= count;
    }
}

// The range that the lane holds now, up to written_.
void Stream::publish_range() noexcept
{
    const std::uint64_t end = origin_ + written_;
    if (end > lane_frames_)
        range_start_ = std::max(range_start_, end - lane_frames_);
    attachment_->slot().stream.range.store(core::pack({std::min(range_start_, end), end}), release_order);
}

// Mixes all before position `end` that is within reach and not mixed yet. The engine mixes what comes
// within reach later: it publishes its new position before it looks at the ranges, and here the
// range is published before the position is read, so that no frame falls between the two.
void Stream::post_reachable(std::uint64_t end) noexcept
{
    end += origin_;
    for (;;) {
        std::atomic_thread_fence(std::memory_order_seq_cst);
        const Timeline::Reading time = attachment_->timeline().read();
        const std::uint64_t reach = time.published + attachment_->geometry().reach_frames;
        const std::uint64_t to = std::min(end, reach);
        if (to <= posted_)
            break;
        poster_.post({std::max(posted_, time.now), to});
        posted_ = to;
        if (to == end)
            break;
    }
    posted_ = std::min(posted_, origin_ + written_);
    poster_.intend({});
}

std::uint64_t Stream::too_late(std::uint64_t position, std::uint64_t frames) const noexcept
{
    if (!running_)
        return 0;
    const std::int64_t late = horizon_position() - static_cast<std::int64_t>(position);
    return static_cast<std::uint64_t>(std::clamp<std::int64_t>(late, 0, static_cast<std::int64_t>(frames)));
}

std::uint64_t Stream::write(std::uint64_t position, std::span<const ChannelArea> areas, std::uint64_t frames) noexcept
{
    if (lane_ == nullptr || frames > lane_frames_ || (frames != 0 && areas.size() < channels_))
        return 0;
    const std::uint64_t late = too_late(position, frames);
    const std::uint64_t from = position + late;
    const std::uint64_t old_end = written_;
    const std::uint64_t kept = position < old_end ? position + too_late(position, old_end - position) : old_end;
    if (from > old_end)
        silence(old_end, from - old_end);
    if (late < frames) {
        std::array<ChannelArea, abi::max_channels> rest;
        for (std::uint32_t c = 0; c < channels_; c++)
            rest[c] = {areas[c].base + late * areas[c].step, areas[c].step};
        copy_in(from, rest, frames - late);
    }
    commit(from, std::max(kept, position + frames));
    if (late != 0) {
        abi::Word64& count = attachment_->slot().stream.late_frames;
        count.store(count.load(relaxed) + late, relaxed);
    }
    return late;
}

// The lane has new content from `changed` on and ends at `end`: brings the ring up to date.
void Stream::commit(std::uint64_t changed, std::uint64_t end) noexcept
{
    const std::uint64_t old_end = written_;
    written_ = end;
    if (!running_)
        return;
    const std::uint64_t last = std::max(end, old_end);
    posted_ = std::min(posted_, origin_ + std::min(changed, end));
    poster_.intend({posted_, origin_ + last});
    publish_range();
    post_reachable(last);
    repair_others();
}

// One attempt to place the stream `slack` frames behind the horizon; nobody sees it yet. False: this process
// has lost the processor meanwhile. There is one tail only, so the stream begins late enough for the present
// one to have been played before any of this one is heard.
bool Stream::place(std::uint64_t slack) noexcept
{
    abi::Slot& slot = attachment_->slot();
    const std::uint64_t first = std::max(horizon() + slack, tail_end_ + attachment_->geometry().margin_frames);
    origin_ = first - standing_;
    phase_ = (cell_of(standing_) + lane_frames_ - first % lane_frames_) % lane_frames_;
    range_start_ = posted_ = first;
    const bool tail = first < tail_end_ + lane_frames_; // or it was played long ago
    slot.stream.phase.store(phase_ | (tail ? abi::tail_flag : 0), relaxed);
    slot.tail.start.store(first, relaxed);
    return horizon() <= first;
}

void Stream::start() noexcept
{
    if (lane_ == nullptr || running_)
        return;
    std::uint64_t slack = start_slack();
    for (int i = 0; i < start_tries && !place(slack); i++)
        slack *= 2;
    running_ = true;
    set_state(abi::stream_running, true);
    commit(standing_, written_);
}

// From running to `state`. What is still to be heard of the stream becomes the slot's tail, so that
// range and lane are free for what comes next.
void Stream::stop(std::uint32_t state, bool fade) noexcept
{
    if (!running_) {
        set_state(state, false);
        return;
    }
    const Timeline::Reading time = attachment_->timeline().read();
    const std::uint64_t old_end = origin_ + written_;
    const std::uint64_t horizon = time.now + attachment_->geometry().margin_frames;
    const core::Extent range{std::min(range_start_, old_end), old_end};
    const core::Ending ending =
        core::ending_at(range, horizon, fade ? core::fade_frames(attachment_->geometry().rate) : 0);
    poster_.intend({time.now, old_end});
    running_ = false;
    standing_ = std::max(range_start_, horizon) - origin_; // behind the end, if it ran dry and went on all the same
    core::leave_tail(attachment_->view(), attachment_->slot(), range, ending, time.now);
    if (ending.end > range.start) {
        tail_end_ = ending.end;
        tail_cell_ = (ending.end + phase_) % lane_frames_;
    }
    set_state(state, false);
    poster_.post({time.now, std::min(old_end, reach_after_change())});
}

// How far the engine may have mixed what was published before a change. The position is read after the
// change is visible: either the engine sees the change, or this sees the engine's new position.
std::uint64_t Stream::reach_after_change() const noexcept
{
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return attachment_->timeline().read().published + attachment_->geometry().reach_frames;
}

// Set-up paths: until the lane is not needed any more, a few ms at most.
void Stream::wait_for_tail() noexcept
{
    constexpr int most_ms = 100; // the device may have been stopped
    const auto played = [&] {
        const Timeline::Reading time = attachment_->timeline().read();
        return attachment_->geometry().device_kind == abi::device_virtual ? time.published : time.now;
    };
    for (int i = 0; i < most_ms && played() < tail_end_; i++)
        os::sleep_ns(1'000'000);
    abi::Slot& slot = attachment_->slot();
    slot.tail.range.store(0, release_order);
    slot.stream.phase.store(0, relaxed);
}

void Stream::pause() noexcept { stop(abi::stream_paused, false); }

void Stream::drain(std::uint64_t position) noexcept
{
    if (position != written_)
        end_at(position);
    start();
    if (running_)
        set_state(abi::stream_draining, false);
    tend();
}

void Stream::xrun() noexcept
{
    abi::Word64& count = attachment_->slot().stream.underruns;
    count.store(count.load(relaxed) + 1, relaxed);
    stop(abi::stream_xrun, false);
}

void Stream::tend() noexcept
{
    if (running_)
        post_reachable(written_);
    repair_others();
}

void Stream::repair_others() noexcept
{
    if (lane_ == nullptr)
        return; // a slot that is not active must not post: see Poster::repair()
    const std::int64_t now = os::monotonic_ns();
    if (now < next_repair_ns_)
        return;
    next_repair_ns_ = now + repair_interval_ns;
    poster_.repair();
}

std::int64_t Stream::horizon_position() const noexcept
{
    return running_ ? static_cast<std::int64_t>(horizon() - origin_) : static_cast<std::int64_t>(standing_);
}

std::int64_t Stream::heard_position() const noexcept
{
    if (!running_)
        return static_cast<std::int64_t>(standing_);
    const Timeline::Reading time = attachment_->timeline().read();
    return static_cast<std::int64_t>(time.now - origin_) - static_cast<std::int64_t>(time.latency);
}

std::int64_t Stream::time_of_horizon(std::uint64_t position) const noexcept
{
    return attachment_->timeline().time_of(origin_ + position - attachment_->geometry().margin_frames);
}

std::int64_t Stream::time_heard(std::uint64_t position) const noexcept
{
    return attachment_->timeline().time_of(origin_ + position + attachment_->timeline().read().latency);
}

} // namespace ringmix::client
