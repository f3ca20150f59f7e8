// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/engine.h"

#include "core/tail.h"
#include "os/process.h"
#include "os/timer.h"

#include <algorithm>
#include <bit>

namespace ringmix::server {

namespace {

constexpr int engine_priority = 70;
constexpr std::int64_t idle_cycle_ns = 100'000'000;

using abi::bit;
} // namespace

Engine::Engine(Device& device, const core::BoardView& view, TraceRing& trace, sem_t& butler, os::Timer& silence,
               bool output)
    : device_(device), view_(view), trace_(trace), butler_(butler), silence_(silence),
      poster_(
          view, view.board->engine.posting,
          core::Playhead{[](const void* engine) noexcept { return static_cast<const Engine*>(engine)->published(); },
                         [](const void* engine) noexcept { return static_cast<const Engine*>(engine)->now(); }, this}),
      output_(output)
{
    snapshot_.frame_ns = core::frame_duration(view.geometry.rate);
}

Engine::~Engine() { stop(); }

Engine::Knowledge Engine::knowledge() const noexcept
{
    Knowledge all{snapshot_, mixed_to_, xruns_.load(relaxed), repairs_.load(relaxed), open_, {}};
    std::transform(watches_.begin(), watches_.end(), all.serials.begin(), [](const Watch& w) { return w.serial; });
    return all;
}

void Engine::learn(const Knowledge& all) noexcept
{
    snapshot_ = all.snapshot;
    state_ = all.snapshot.state;
    mixed_to_ = all.mixed_to;
    xruns_.store(all.xruns, relaxed);
    repairs_.store(all.repairs, relaxed);
    open_ = all.open;
    for (std::uint32_t slot = 0; slot < abi::max_slots; slot++)
        watches_[slot] = {all.serials[slot], view_.board->slots[slot].tail.start.load(acquire), 0};
}

void Engine::start()
{
    stop_.store(false);
    cycle();
    thread_ = std::thread([this] { run(); });
}

void Engine::stop() noexcept
{
    stop_.store(true);
    if (thread_.joinable())
        thread_.join();
}

std::uint64_t Engine::now() const noexcept { return core::frame_at(snapshot_, os::monotonic_ns()); }

// Frames before it are certainly played. Where others have come further than by what this cycle has seen, the engine
// has been stopped since, perhaps for longer than a turn of the ring, and must look again.
std::uint64_t Engine::published() const noexcept
{
    if (core::played_by_others(view_) <= snapshot_.frame || view_.geometry.device_kind == abi::device_virtual)
        return snapshot_.frame;
    return device_.update().frame;
}

void Engine::run() noexcept
{
    os::name_thread("ringmix-engine");
    realtime_.store(os::become_realtime(engine_priority), relaxed);
    while (!stop_.load(relaxed)) {
        device_.wait(os::monotonic_ns() + longest_sleep());
        cycle();
    }
}

std::int64_t Engine::longest_sleep() const noexcept
{
    return view_.board->engine.active.load(relaxed) != 0 ? view_.geometry.cycle_ns : idle_cycle_ns;
}

void Engine::leave_work(std::uint32_t bits) noexcept
{
    if ((post_work_.fetch_or(bits) & bits) != bits)
        sem_post(&butler_);
}

void Engine::cycle() noexcept
{
    const DevicePosition position = device_.update();
    follow_state(position);
    publish(position);
    played_.store(position.frame, relaxed);

    mix_within_reach(position.frame + view_.geometry.reach_frames);
    repairs_.fetch_add(poster_.repair(), relaxed);
    change_gains();
    watch_slots();
    if (output_)
        leave_work(work_output);
    std::int64_t sleep = 0;
    do { // somebody may just have got a lane
        sleep = longest_sleep();
        silence_.set(os::monotonic_ns() + sleep + core::longest_delay_ns(view_.geometry));
    } while (longest_sleep() != sleep);
}

void Engine::expect_soon() noexcept
{
    silence_.set(os::monotonic_ns() + view_.geometry.cycle_ns + core::longest_delay_ns(view_.geometry));
}

void Engine::follow_state(const DevicePosition& position) noexcept
{
    const std::uint32_t before = std::exchange(state_, position.state);
    switch (position.state) {
    case DevicePosition::gone:
        if (!gone_.exchange(true)) {
            trace_.write({trace_device_gone, 0, position.frame, 0, 0});
            leave_work(work_trace | work_control);
        }
        break;
    case DevicePosition::stopped:
        if (before != DevicePosition::stopped) {
            xruns_.fetch_add(1, relaxed);
            trace_.write({trace_device_stopped, 0, position.frame, 0, 0});
            leave_work(work_trace);
        }
        if (os::monotonic_ns() >= next_reset_ns_.load() && !resetting_.exchange(true))
            leave_work(work_reset);
        break;
    default:
        if (before != DevicePosition::running) { // it was reset: its ring is silent
            snapshot_.generation++;
            mixed_to_ = 0;
        }
        break;
    }
}

void Engine::publish(const DevicePosition& position) noexcept
{
    snapshot_.frame = position.frame;
    snapshot_.hw_ptr = position.hw_ptr;
    // While the device stands still, so does time: at this frame, now.
    snapshot_.state = position.state;
    snapshot_.time_ns = position.state == DevicePosition::running ? position.time_ns : os::monotonic_ns();
    snapshot_.latency_frames = view_.geometry.latency_frames;
    core::publish(view_.board->sync, snapshot_);
}

// Frames that clients wrote beyond the ring's reach wait in their lanes until the device has moved.
void Engine::mix_within_reach(std::uint64_t reach) noexcept
{
    // Without lanes too: a store that came late, while the device was silencing its place, is replaced by silence.
    poster_.extend({std::max(mixed_to_, now()), reach});
    mixed_to_ = std::max(mixed_to_, reach);
}

void Engine::watch_slots() noexcept
{
    std::uint64_t requests = retire_requests_.exchange(0);
    for (; requests != 0; requests &= requests - 1)
        begin_retiring(static_cast<std::uint32_t>(std::countr_zero(requests)));
    for (std::uint64_t slots = view_.board->engine.active.load(acquire) | open_; slots != 0; slots &= slots - 1) {
        const auto slot = static_cast<std::uint32_t>(std::countr_zero(slots));
        forget_played(slot);
        if ((retiring_ & bit(slot)) == 0)
            watch(slot);
        else if (state_ != DevicePosition::running || snapshot_.frame >= watches_[slot].end)
            finish_retiring(slot);
    }
}

// A range says only the low 40 bits of where it ends, and readers take the nearest frame: what was played long
// ago would lie ahead of them one day. Its client may be asleep for as long, so it is emptied here; should the
// client change the word at this moment, that is what counts.
void Engine::forget_played(std::uint32_t slot) noexcept
{
    abi::Slot& shared = view_.board->slots[slot];
    for (abi::Word64* range : {&shared.stream.range, &shared.tail.range}) {
        std::uint64_t word = range->load(acquire);
        if (word != 0 && core::unpack_old(word, snapshot_.frame).end + core::most_ahead_frames < snapshot_.frame)
            range->compare_exchange_strong(word, 0, release, relaxed);
    }
}

// Notices when a client starts and ends streams.
void Engine::watch(std::uint32_t slot) noexcept
{
    const abi::SlotStream& stream = view_.board->slots[slot].stream;
    Watch& watch = watches_[slot];
    const std::uint64_t word = stream.stream.load(acquire);
    const auto serial = static_cast<std::uint32_t>(word >> 32);
    const auto state = static_cast<std::uint32_t>(word);
    const bool playing = state == abi::stream_running || state == abi::stream_draining;
    if ((open_ & bit(slot)) != 0 && playing && serial == watch.serial)
        return;
    watch_ended(slot, playing ? serial - 1 : serial);
    if (!playing)
        return;
    const core::Extent range = core::unpack(stream.range.load(acquire), now());
    const std::uint64_t first = view_.board->slots[slot].tail.start.load(acquire);
    if (stream.stream.load(acquire) != word || range.empty())
        return; // it is just changing, and this may be of the next stream: next cycle
    watch = {serial, first, 0};
    report_start(slot);
}

// Reports the streams that have ended since the last look, up to serial number `last_serial`.
void Engine::watch_ended(std::uint32_t slot, std::uint32_t last_serial) noexcept
{
    Watch& watch = watches_[slot];
    const bool open = (open_ & bit(slot)) != 0;
    std::uint32_t serial = open ? watch.serial : watch.serial + 1;
    std::uint32_t missed = 0;
    const std::uint32_t count = last_serial - serial + 1;
    if (count > abi::stream_records) { // what is older is overwritten
        missed = count - abi::stream_records;
        serial += missed;
    }
    for (; serial != last_serial + 1; serial++) {
        const abi::StreamRecord& record = view_.board->slots[slot].log.ended[serial % abi::stream_records];
        const bool there = record.serial.load(acquire) == serial;
        const Ended ended{record.first.load(acquire), record.end.load(acquire), record.fade_frames.load(acquire)};
        if (!there || record.serial.load(relaxed) != serial) {
            missed++;
            continue;
        }
        if ((open_ & bit(slot)) == 0 || serial != watch.serial) {
            watch = {serial, ended.first, 0};
            report_start(slot);
        }
        report_end(slot, ended);
    }
    open_ &= ~bit(slot);
    watch.serial = last_serial;
    if (missed == 0)
        return;
    trace_.write({trace_streams_missed, slot, 0, 0, missed});
    leave_work(work_trace);
}

void Engine::report_start(std::uint32_t slot) noexcept
{
    open_ |= bit(slot);
    trace_.write({trace_stream_start, slot, watches_[slot].first, 0, watches_[slot].serial});
    leave_work(work_trace);
}

void Engine::report_end(std::uint32_t slot, const Ended& ended) noexcept
{
    open_ &= ~bit(slot);
    const std::uint64_t extra = (ended.fade_frames & 0xffffffff) << 32 | watches_[slot].serial;
    trace_.write({trace_stream_end, slot, ended.first, ended.end, extra});
    leave_work(work_trace);
}

// Gains that were asked for begin to change at the commit horizon, for all that is queued too. A change that
// is still going on there is waited for: cut short, its line would be rounded otherwise. If this thread is stopped
// meanwhile, others post by `posting`, and mix further than it has seen: so it looks again.
void Engine::change_gains() noexcept
{
    std::uint64_t requests = gain_requests_.load();
    if (requests == 0)
        return;
    const std::uint64_t start = std::max(now(), published()) + view_.geometry.margin_frames;
    const std::uint64_t length = core::fade_frames(view_.geometry.rate);
    bool any = false;
    for (; requests != 0; requests &= requests - 1) {
        const auto slot = static_cast<std::uint32_t>(std::countr_zero(requests));
        abi::Slot& shared = view_.board->slots[slot];
        const core::GainCurve old = core::read_gains(shared);
        if (old.frames.back() > start || (gain_requests_.fetch_and(~bit(slot)) & bit(slot)) == 0)
            continue;
        if (!std::exchange(any, true))
            poster_.intend({start, start + view_.geometry.ring_frames});
        const std::uint32_t target = gain_targets_[slot].load();
        core::publish_gains(shared, core::with_ramp(old, now(), start, length, target));
        trace_.write({trace_gain, slot, start, length, std::uint64_t{old.at(start)} << 32 | target});
    }
    if (!any)
        return;
    poster_.post({std::max(start, now()), core::mixed_to(view_, published())});
    leave_work(work_trace);
}

// The client is dead, so its lines belong to the server now: what it has queued becomes its tail and
// fades out from the commit horizon on; the rest is taken out of the ring.
void Engine::begin_retiring(std::uint32_t slot) noexcept
{
    watch(slot); // it may have started or ended within this very cycle
    // A stream that has begun and has no sound yet is not to be taken for one of the slot's next client.
    watches_[slot].serial = static_cast<std::uint32_t>(view_.board->slots[slot].stream.stream.load(relaxed) >> 32);
    gain_requests_.fetch_and(~bit(slot)); // its next client shall not hear them
    if ((view_.board->engine.active.load(acquire) & bit(slot)) == 0) {
        report_retired(slot);
        return;
    }
    abi::Slot& shared = view_.board->slots[slot];
    const std::uint64_t now = this->now();
    bound_tail(shared, now);
    retiring_ |= bit(slot);
    shared.config.state.store(abi::slot_retiring, release);
    const core::Ending ending = core::retire(view_, shared, poster_, now, snapshot_.frame);
    watches_[slot].end = core::unpack(shared.tail.range.load(acquire), now).end;
    if ((open_ & bit(slot)) != 0)
        report_end(slot, {watches_[slot].first, ending.end, ending.end - ending.cut});
}

// A tail ends a fade behind what could not be changed any more. One that says otherwise, which nobody has
// heard yet, would hold its slot for as long as it likes.
void Engine::bound_tail(abi::Slot& slot, std::uint64_t now) noexcept
{
    const std::uint64_t most =
        std::max<std::uint64_t>(snapshot_.frame + view_.geometry.reach_frames,
                                now + view_.geometry.margin_frames + core::fade_frames(view_.geometry.rate));
    const core::Extent tail = core::unpack(slot.tail.range.load(acquire), now);
    if (tail.end > most)
        slot.tail.range.store(core::pack({std::min(tail.start, most), most}), release);
}

void Engine::finish_retiring(std::uint32_t slot) noexcept
{
    abi::Slot& shared = view_.board->slots[slot];
    shared.stream.range.store(0, release);
    shared.tail.range.store(0, release);
    view_.board->engine.active.fetch_and(~bit(slot), release);
    retiring_ &= ~bit(slot);
    report_retired(slot);
}

void Engine::report_retired(std::uint32_t slot) noexcept
{
    retired_.fetch_or(bit(slot));
    leave_work(work_control);
}

} // namespace ringmix::server
