// SPDX-License-Identifier: LGPL-2.1-or-later

#include "client/stream.h"

#include "client/connection.h"
#include "core/format.h"
#include "core/message.h"
#include "core/tail.h"
#include "os/memory.h"
#include "os/timer.h"

#include <cerrno>
#include <cstring>

namespace ringmix::client {

namespace {
constexpr std::int64_t repair_interval_ns = 5'000'000;
constexpr int start_tries = 4;

// Frames that have just been played stay in the lane for a poster that is late. On the virtual device they
// still matter to it: what that plays is taken out of the ring by the engine, which may be late as well.
std::uint64_t kept_frames(const abi::Geometry& geometry) noexcept
{
    return geometry.device_kind == abi::device_virtual ? geometry.rate / 20 : 256;
}

// So long behind its end a tail may still be needed: the virtual device takes frames out of the ring a cycle of the
// engine late, or two, and until then who is late must find in the tail what was there.
std::uint64_t taken_late(const abi::Geometry& geometry) noexcept
{
    return geometry.device_kind == abi::device_virtual
               ? 2 * std::uint64_t{geometry.cycle_ns} * geometry.rate / 1'000'000'000
               : 0;
}

void add(abi::Word64& count, std::uint64_t number) noexcept { count.store(count.load(relaxed) + number, relaxed); }
} // namespace

Stream::Stream(Seat& seat) noexcept
    : seat_(&seat), poster_(seat.view(), seat.slot().stream.posting, seat.timeline().playhead()),
      serial_(static_cast<std::uint32_t>(seat.slot().stream.stream.load(relaxed) >> 32)) // of the slot's last user
{
}

void Stream::configure(std::uint32_t format, std::uint32_t channels, std::uint64_t buffer_frames,
                       const core::ChannelMap& map, std::uint64_t ring_out_frames, const Original& original)
{
    drop();
    wait_for_tail();
    lane_ = nullptr; // the server takes it back also if it has no room for the new one
    auto request = core::make_message<protocol::Configure>();
    request.format = format;
    request.channels = channels;
    ring_out_frames_ = ring_out_frames;
    request.lane_frames = buffer_frames + geometry().margin_frames + longest_rest() + kept_frames(geometry());
    std::memcpy(request.map, map.data(), sizeof request.map);
    request.program_format = original.format;
    request.program_rate = original.rate;
    request.program_channels = original.channels;
    request.latency_frames = original.latency_frames;
    const protocol::Configured lane = seat_->claim_lane(request);

    const std::uint64_t arena = geometry().arena_bytes;
    frame_bytes_ = core::sample_bytes(format) * channels;
    if (lane.lane_frames < request.lane_frames || lane.lane_offset > arena ||
        lane.lane_frames > (arena - lane.lane_offset) / frame_bytes_)
        throw ClientError(EPROTO, "the server gave a lane outside its arena");
    lane_ = seat_->view().arena + lane.lane_offset;
    lane_frames_ = lane.lane_frames;
    os::touch(lane_, static_cast<std::size_t>(lane_frames_ * frame_bytes_));
    buffer_frames_ = buffer_frames;
    sample_bytes_ = core::sample_bytes(format);
    channels_ = channels;
    silence_ = core::silence_byte(format);
    written_ = 0;
    base_cell_ = tail_cell_ = {};
    stand({});
}

void Stream::release() noexcept
{
    drop();
    wait_for_tail();
    lane_ = nullptr;
    seat_->give_lane_back();
}

void Stream::stand(const Standing& standing) noexcept
{
    now_ = standing;
    standing_.publish(standing);
}

Frame Stream::horizon(const Timeline::Reading& time) const noexcept { return {time.now + geometry().margin_frames}; }
Frame Stream::horizon() const noexcept { return horizon(seat_->timeline().read()); }

Position Stream::changeable_from(const Standing& standing) const noexcept
{
    if (!standing.running)
        return standing.floor;
    return standing.position_of(std::max(horizon(), standing.frame_of(standing.floor)));
}

// Time between the decision to start and the first frame, beyond the safety margin. A program with a long
// buffer does not notice 20 ms, in which the engine looks twice: if this process loses the processor now, the
// engine mixes for it (Poster::repair). One with a short buffer wants to be heard at once.
std::uint64_t Stream::start_slack() const noexcept
{
    const std::uint64_t rate = geometry().rate;
    return std::clamp<std::uint64_t>(buffer_frames_ / 16, rate / 2000, rate / 50);
}

void Stream::set_state(std::uint32_t state, bool new_serial) noexcept
{
    if (!seat_->held())
        return;
    if (new_serial)
        serial_++;
    seat_->slot().stream.stream.store(std::uint64_t{serial_} << 32 | state, ringmix::release);
}

void Stream::prepare() noexcept
{
    stop(abi::stream_idle, Rest::fades);
    base_cell_ = tail_cell_; // behind the cells that are still being played
    written_ = 0;
    stand({});
    set_state(abi::stream_prepared, false);
}

void Stream::copy_in(FrameSource& source, std::uint64_t first, Position position, std::uint64_t frames) noexcept
{
    for (std::uint64_t done = 0; done < frames;) {
        const std::uint64_t cell = cell_of(position + done).value;
        const std::uint64_t count = std::min(frames - done, lane_frames_ - cell);
        source.copy(lane_ + cell * frame_bytes_, first + done, count);
        done += count;
    }
}

// The last `frames` frames before `position` + `frames`, at most a lane of them, become silence.
void Stream::silence(Position position, std::uint64_t frames) noexcept
{
    if (frames > lane_frames_) {
        position = position + (frames - lane_frames_);
        frames = lane_frames_;
    }
    while (frames > 0) {
        const std::uint64_t cell = cell_of(position).value;
        const std::uint64_t count = std::min(frames, lane_frames_ - cell);
        std::memset(lane_ + cell * frame_bytes_, silence_, static_cast<std::size_t>(count * frame_bytes_));
        position = position + count;
        frames -= count;
    }
}

// The range that the lane holds now, up to the last written frame.
void Stream::publish_range() noexcept
{
    if (end().value > lane_frames_)
        range_start_ = std::max(range_start_, end() - lane_frames_);
    seat_->slot().stream.range.store(core::pack({std::min(range_start_, end()).value, end().value}), ringmix::release);
}

// Mixes all before position `to` that is within reach and not mixed yet. Somebody mixes what comes within reach later:
// he says so before he looks at the ranges, and here the range is published before that is read, so that no frame
// falls between the two.
void Stream::post_reachable(Position to) noexcept
{
    const Frame wanted = now_.frame_of(to);
    for (;;) {
        const Timeline::Reading time = seat_->timeline().read();
        if (time.generation != posted_generation_) { // the device's ring was emptied
            posted_generation_ = time.generation;
            posted_ = std::min(posted_, Frame{time.now});
        }
        const Frame until = std::min(wanted, Frame{core::mixed_to(seat_->view(), time.published)});
        if (until <= posted_)
            break;
        poster_.post({std::max(posted_, Frame{time.now}).value, until.value});
        posted_ = until;
        if (until == wanted)
            break;
    }
    posted_ = std::min(posted_, end());
    poster_.intend({});
}

std::uint64_t Stream::write(std::uint64_t position, std::span<const ChannelArea> areas, std::uint64_t frames) noexcept
{
    if (frames != 0 && areas.size() < channels_)
        return 0;
    AreaFrames source(areas.first(frames == 0 ? 0 : channels_), sample_bytes_);
    const std::uint64_t late = write_from(source, position, frames);
    if (late != 0)
        add(seat_->slot().stream.late_frames, late);
    return late;
}

std::uint64_t Stream::write_from(FrameSource& source, std::uint64_t position, std::uint64_t frames) noexcept
{
    if (lane_ == nullptr || !seat_->held())
        return 0;
    const Position begin{position}, old_end{written()}, changeable = changeable_from(now_);
    const auto clamp_late = [&](std::uint64_t most) {
        return static_cast<std::uint64_t>(
            std::clamp<std::int64_t>(changeable - begin, 0, static_cast<std::int64_t>(most)));
    };
    const std::uint64_t late = clamp_late(frames);
    const std::uint64_t skipped = std::max(late, frames - std::min(frames, lane_frames_));
    const Position from = begin + skipped;
    // Of what was written before, so much cannot be taken back any more.
    const Position kept = begin < old_end ? begin + clamp_late(static_cast<std::uint64_t>(old_end - begin)) : old_end;
    if (const Position gap = std::max(old_end, now_.floor); from > gap)
        silence(gap, static_cast<std::uint64_t>(from - gap));
    copy_in(source, skipped, from, frames - skipped);
    commit(from, std::max(kept, begin + frames));
    return late;
}

// The lane has new content from `changed` on and ends at `end`: brings the ring up to date.
void Stream::commit(Position changed, Position end) noexcept
{
    const Position last = std::max(end, Position{written()});
    written_.store(end.value, relaxed);
    if (!now_.running)
        return;
    posted_ = std::min(posted_, now_.frame_of(std::min(changed, end)));
    poster_.intend({posted_.value, now_.frame_of(last).value});
    publish_range();
    post_reachable(last);
    repair_others();
}

// One attempt to place the stream `slack` frames behind the horizon; nobody sees it yet. False: this process
// has lost the processor meanwhile. There is one tail only, so the stream begins late enough for the present
// one to have been played before any of this one is heard, and might leave a tail.
bool Stream::place(std::uint64_t slack) noexcept
{
    abi::Slot& slot = seat_->slot();
    const Timeline::Reading time = seat_->timeline().read();
    const Frame horizon = this->horizon(time);
    // A tail ends no later than so far behind the horizon of its time, whatever the board said then.
    const Frame tail_end = std::min(tail_end_, horizon + longest_rest());
    const std::uint64_t needed = Frame{time.published} < tail_end ? taken_late(geometry()) : 0;
    const Frame first = std::max(horizon + slack, tail_end + geometry().margin_frames + needed);
    now_.origin = {first.value - now_.floor.value};
    phase_ = (cell_of(now_.floor).value + lane_frames_ - first.value % lane_frames_) % lane_frames_;
    range_start_ = posted_ = first;
    const bool tail = first < tail_end + lane_frames_; // or it was played long ago
    slot.stream.phase.store(phase_ | (tail ? abi::tail_flag : 0), relaxed);
    slot.tail.start.store(first.value, ringmix::release); // after the state that says that the one before has ended
    return this->horizon() <= first;
}

void Stream::start() noexcept
{
    if (lane_ == nullptr || now_.running || !seat_->held())
        return;
    std::uint64_t slack = start_slack();
    for (int i = 0; i < start_tries && !place(slack); i++)
        slack *= 2;
    posted_generation_ = seat_->timeline().read().generation;
    stand({true, now_.floor, now_.origin});
    set_state(abi::stream_running, true);
    commit(now_.floor, {written()});
}

// How long a stream is heard, at most, behind the horizon at which it stops.
std::uint64_t Stream::longest_rest() const noexcept
{
    return std::max<std::uint64_t>(core::fade_frames(geometry().rate), ring_out_frames_);
}

// From running to `state`. What is still to be heard of the stream becomes the slot's tail, so that
// range and lane are free for what comes next.
void Stream::stop(std::uint32_t state, Rest rest) noexcept
{
    if (!now_.running || !seat_->held())
        return set_state(state, false);
    const Timeline::Reading time = seat_->timeline().read();
    const Frame old_end = end(), horizon{time.now + geometry().margin_frames};
    const Frame cut =
        rest == Rest::rings_out ? std::max(horizon, std::min(old_end, horizon + ring_out_frames_)) : horizon;
    const core::Extent range{std::min(range_start_, old_end).value, old_end.value};
    const core::Ending ending =
        core::ending_at(range, cut.value, rest == Rest::fades ? core::fade_frames(geometry().rate) : 0);
    poster_.intend({horizon.value, old_end.value});
    // Behind the end, if it ran dry and went on all the same.
    stand({false, now_.position_of(std::max(first(), horizon)), {}});
    core::leave_tail(seat_->view(), seat_->slot(), range, ending, time.now);
    if (ending.end > range.start) {
        tail_end_ = {ending.end};
        tail_cell_ = {(ending.end + phase_) % lane_frames_};
    }
    set_state(state, false);
    // What lies nearer has not changed, and is left alone: it may be on its way out. If this process was stopped
    // meanwhile, others have mixed further than it had seen.
    const Timeline::Reading later = seat_->timeline().read();
    poster_.post({std::max(horizon.value, later.published),
                  std::min(old_end.value, core::mixed_to(seat_->view(), later.published))});
}

// Set-up paths: until the lane is not needed any more: the margin and a fade, some ms on most devices.
void Stream::wait_for_tail() noexcept
{
    constexpr std::int64_t spare_ns = 100'000'000;
    if (!seat_->held())
        return;
    const Timeline& timeline = seat_->timeline();
    const std::int64_t deadline = timeline.time_of(tail_end_.value) + spare_ns;
    for (;;) {
        const Timeline::Reading time = timeline.read();
        const bool playing_virtual = geometry().device_kind == abi::device_virtual;
        if ((playing_virtual ? time.published : time.now) >= tail_end_.value || time.stands || timeline.lost() ||
            timeline.clock_ns() >= deadline)
            break; // or it will not be played at all
        os::sleep_ns(1'000'000);
    }
    abi::Slot& slot = seat_->slot();
    slot.tail.range.store(0, ringmix::release);
    slot.stream.phase.store(0, relaxed);
}

void Stream::pause() noexcept { stop(abi::stream_paused, Rest::is_cut); }

void Stream::drain(std::uint64_t position) noexcept
{
    if (position != written())
        end_at(position);
    start();
    if (now_.running)
        set_state(abi::stream_draining, false);
    tend();
}

void Stream::xrun() noexcept
{
    if (seat_->held())
        add(seat_->slot().stream.underruns, 1);
    // One that is not heard yet has nothing to ring out, and the tail before it may still be played.
    const bool rings_out = ring_out_frames_ != 0 && now_.running && horizon() > first();
    stop(abi::stream_xrun, rings_out ? Rest::rings_out : Rest::is_cut);
}

void Stream::tend() noexcept
{
    if (!seat_->held())
        return;
    if (now_.running)
        post_reachable({written()});
    repair_others();
}

void Stream::repair_others() noexcept
{
    if (lane_ == nullptr)
        return; // a slot that is not active must not post: see Poster::repair()
    const std::int64_t now = seat_->timeline().clock_ns();
    if (now < next_repair_ns_)
        return;
    next_repair_ns_ = now + repair_interval_ns;
    poster_.repair();
}

std::int64_t Stream::horizon_position() const noexcept
{
    return static_cast<std::int64_t>(changeable_from(standing_.read()).value);
}

std::int64_t Stream::heard_position() const noexcept
{
    const Standing standing = standing_.read();
    if (!standing.running)
        return static_cast<std::int64_t>(standing.floor.value);
    const Timeline::Reading time = seat_->timeline().read();
    return Frame{time.now} - standing.origin - static_cast<std::int64_t>(time.latency);
}

std::int64_t Stream::time_of_horizon(std::uint64_t position) const noexcept
{
    const Standing standing = standing_.read();
    if (Position{position} <= standing.floor)
        return seat_->timeline().clock_ns(); // it is the horizon, or behind it, however far ahead the run begins
    return seat_->timeline().time_of(standing.frame_of({position}).value - geometry().margin_frames);
}

std::int64_t Stream::time_heard(std::uint64_t position) const noexcept
{
    const std::uint64_t latency = seat_->timeline().read().latency;
    return seat_->timeline().time_of(standing_.read().frame_of({position}).value + latency);
}

} // namespace ringmix::client
