// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/engine.h"

#include "core/tail.h"
#include "os/process.h"
#include "os/timer.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace ringmix::server {

namespace {
constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;

constexpr int realtime_priority = 70;
constexpr std::int64_t idle_cycle_ns = 100'000'000; // clients take time that is older for stale

constexpr std::uint64_t bit(std::uint32_t slot) noexcept { return std::uint64_t{1} << slot; }
} // namespace

Engine::Engine(Device& device, const core::BoardView& view, TraceRing& trace, sem_t& butler, bool output)
    : device_(device), view_(view), trace_(trace), butler_(butler),
      poster_(view, view.board->engine.posting,
              core::Playhead{
                  [](const void* engine) noexcept { return static_cast<const Engine*>(engine)->snapshot_.frame; },
                  [](const void* engine) noexcept { return static_cast<const Engine*>(engine)->now(); }, this}),
      output_(output)
{
    snapshot_.frame_ns = core::frame_duration(view.geometry.rate);
}

Engine::~Engine() { stop(); }

void Engine::start()
{
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

void Engine::run() noexcept
{
    os::name_thread("ringmix-engine");
    realtime_.store(os::become_realtime(realtime_priority), relaxed);
    while (!stop_.load(relaxed)) {
        const bool busy = view_.board->engine.active.load(relaxed) != 0;
        const std::int64_t longest = busy ? view_.geometry.cycle_ns : idle_cycle_ns;
        device_.wait(os::monotonic_ns() + longest);
        cycle();
    }
}

void Engine::leave_work(std::uint32_t bits) noexcept
{
    if ((post_work_.fetch_or(bits) & bits) != bits)
        sem_post(&butler_);
}

void Engine::cycle() noexcept
{
    const DevicePosition position = device_.update();
    if (position.state == DevicePosition::gone && !gone_.exchange(true)) {
        trace_.write({trace_device_gone, 0, position.frame, 0, 0});
        leave_work(work_trace | work_control);
    }
    if (position.state == DevicePosition::stopped && !resetting_.exchange(true)) {
        xruns_.fetch_add(1, relaxed);
        trace_.write({trace_device_stopped, 0, position.frame, 0, 0});
        leave_work(work_reset | work_trace);
    }
    const bool running = position.state == DevicePosition::running;
    if (running && !running_)
        snapshot_.generation++; // the device was reset
    running_ = running;
    scrub(position.frame);
    publish(position);
    played_.store(position.frame, relaxed);

    // Clients publish their range before they read the position: whoever comes second mixes. The fence that
    // this takes is the one in post(), behind the bumps (tests/model: engine-without-bump-fence-arm64).
    mix_within_reach(position.frame + view_.geometry.reach_frames);
    repairs_.fetch_add(poster_.repair(), relaxed);
    change_gains();
    watch_slots();
    if (output_)
        leave_work(work_output);
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

// Silences the stretch behind the device once more: a store that came late, while the device was
// silencing it, would be played one turn later. Nobody has written there yet for the next turn,
// since what lies behind `reach_frames` is left alone by everybody.
void Engine::scrub(std::uint64_t frame) noexcept
{
    const std::uint64_t ring = view_.geometry.ring_frames;
    std::uint64_t length = std::min<std::uint64_t>(frame, ring - view_.geometry.reach_frames);
    std::uint64_t from = frame - length;
    while (length > 0) {
        const std::uint64_t offset = from % ring;
        const std::uint64_t count = std::min(length, ring - offset);
        std::memset(view_.ring + offset * view_.frame_bytes, 0, count * view_.frame_bytes);
        from += count;
        length -= count;
    }
}

// Frames that clients wrote beyond the ring's reach wait in their lanes until the device has moved.
void Engine::mix_within_reach(std::uint64_t reach) noexcept
{
    // Without lanes too: silence heals a store that came late.
    poster_.post({std::max(mixed_to_, now()), reach});
    mixed_to_ = std::max(mixed_to_, reach);
}

void Engine::watch_slots() noexcept
{
    std::uint64_t requests = retire_requests_.exchange(0);
    for (; requests != 0; requests &= requests - 1)
        begin_retiring(static_cast<std::uint32_t>(std::countr_zero(requests)));
    for (std::uint64_t slots = view_.board->engine.active.load(acquire) | open_; slots != 0; slots &= slots - 1) {
        const auto slot = static_cast<std::uint32_t>(std::countr_zero(slots));
        if ((retiring_ & bit(slot)) == 0)
            watch(slot);
        else if (snapshot_.frame >= watches_[slot].end)
            finish_retiring(slot);
    }
}

// Notices when a client starts and ends a stream.
void Engine::watch(std::uint32_t slot) noexcept
{
    const abi::SlotStream& stream = view_.board->slots[slot].stream;
    Watch& watch = watches_[slot];
    const std::uint64_t word = stream.stream.load(acquire);
    const auto serial = static_cast<std::uint32_t>(word >> 32);
    const auto state = static_cast<std::uint32_t>(word);
    const bool playing = state == abi::stream_running || state == abi::stream_draining;
    const bool open = (open_ & bit(slot)) != 0;
    if (open && playing && serial == watch.serial)
        return;
    const abi::SlotTail& tail = view_.board->slots[slot].tail;
    const std::uint64_t last_first = tail.first.load(relaxed);
    const Ending last{stream.last_end.load(relaxed), tail.fade_frames.load(relaxed)};
    if (open) // two may have ended since the last look
        report_end(slot, last_first == watch.first
                             ? last
                             : Ending{tail.end_before.load(relaxed), tail.fade_before.load(relaxed)});
    const std::uint32_t last_serial = playing ? serial - 1 : serial;
    if (last_serial != watch.serial) { // it began and ended since the last look
        watch = {last_serial, last_first, 0};
        report_start(slot);
        report_end(slot, last);
    }
    if (!playing)
        return;
    const core::Extent range = core::unpack(stream.range.load(acquire), now());
    if (stream.stream.load(acquire) != word || range.empty())
        return; // it is just changing: next cycle
    watch = {serial, tail.start.load(relaxed), 0};
    report_start(slot);
}

void Engine::report_start(std::uint32_t slot) noexcept
{
    open_ |= bit(slot);
    trace_.write({trace_stream_start, slot, watches_[slot].first, 0, watches_[slot].serial});
    leave_work(work_trace);
}

void Engine::report_end(std::uint32_t slot, Ending ending) noexcept
{
    open_ &= ~bit(slot);
    const std::uint64_t extra = (ending.fade_frames & 0xffffffff) << 32 | watches_[slot].serial;
    trace_.write({trace_stream_end, slot, watches_[slot].first, ending.end, extra});
    leave_work(work_trace);
}

// Gains that were asked for begin to change at the commit horizon, for all that is queued too. A change that
// is still going on there is waited for: cut short, its line would be rounded otherwise.
void Engine::change_gains() noexcept
{
    std::uint64_t requests = gain_requests_.load();
    if (requests == 0)
        return;
    const std::uint64_t start = now() + view_.geometry.margin_frames;
    const std::uint64_t length = core::fade_frames(view_.geometry.rate);
    bool any = false;
    for (; requests != 0; requests &= requests - 1) {
        const auto slot = static_cast<std::uint32_t>(std::countr_zero(requests));
        abi::Slot& shared = view_.board->slots[slot];
        const core::GainCurve old = core::read_gains(shared);
        if (old.frames.back() > start || (gain_requests_.fetch_and(~bit(slot)) & bit(slot)) == 0)
            continue;
        any = true;
        const std::uint32_t target = gain_targets_[slot].load();
        core::publish_gains(shared, core::with_ramp(old, now(), start, length, target));
        trace_.write({trace_gain, slot, start, length, std::uint64_t{old.at(start)} << 32 | target});
    }
    if (!any)
        return;
    poster_.post({start, snapshot_.frame + view_.geometry.reach_frames});
    leave_work(work_trace);
}

// The client is dead, so its lines belong to the server now: what it has queued becomes its tail and
// fades out from the commit horizon on; the rest is taken out of the ring.
void Engine::begin_retiring(std::uint32_t slot) noexcept
{
    watch(slot); // it may have started or ended within this very cycle
    // A stream that has begun and has no sound yet is not to be taken for one of the slot's next client.
    watches_[slot].serial = static_cast<std::uint32_t>(view_.board->slots[slot].stream.stream.load(relaxed) >> 32);
    if ((view_.board->engine.active.load(acquire) & bit(slot)) == 0) {
        report_retired(slot);
        return;
    }
    abi::Slot& shared = view_.board->slots[slot];
    const std::uint64_t now = this->now();
    retiring_ |= bit(slot);
    shared.config.state.store(abi::slot_retiring, release);
    const core::Ending ending =
        core::retire(view_, shared, poster_, {now, snapshot_.frame + view_.geometry.reach_frames});
    watches_[slot].end = core::unpack(shared.tail.range.load(acquire), now).end;
    if ((open_ & bit(slot)) != 0)
        report_end(slot, {ending.end, ending.end - ending.cut});
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
