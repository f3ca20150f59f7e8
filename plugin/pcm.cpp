// SPDX-License-Identifier: LGPL-2.1-or-later

#include "plugin/pcm.h"

#include <cerrno>
#include <poll.h>
#include <unistd.h>
#include <utility>

namespace ringmix::plugin {

namespace {

// Longest time without a look at the device, so that a lost one is noticed.
constexpr std::int64_t max_wait_ns = 500'000'000;
// How soon a drain notices that it has been aborted where no signal interrupts it.
constexpr int abort_look_ms = 20;
// What the timer can wait for, beside positions of the stream (which are far smaller).
constexpr std::uint64_t at_once = ~std::uint64_t{0};
constexpr std::uint64_t just_look = at_once - 1;

} // namespace

Pcm::Pcm(const Settings& settings)
    : settings_(settings), attachment_(std::make_unique<client::Attachment>(settings.address)),
      track_(std::make_unique<client::Track>(*attachment_)), opener_(::getpid())
{
}

void Pcm::prepare() noexcept
{
    track_->prepare();
    pointers_.restart(0);
    truths_ = 0;
    late_ = false;
    wake();
}

// Explicit, or by the start threshold. As with a kernel's PCM, a start with nothing to play is an
// underrun.
int Pcm::start() noexcept
{
    if (lost())
        return -ENODEV;
    const std::uint64_t appl = position_of(io_.appl_ptr);
    if (appl == pointers_.base() && stops_at_xrun() && stop_threshold_ <= io_.buffer_size)
        return -EPIPE;
    track_->end_at(appl); // rewound or reset since it was written
    track_->start();
    arm_for(SND_PCM_STATE_RUNNING, appl); // libasound sets the state when this has returned
    return 0;
}

// Marks the PCM as disconnected once the device cannot play any more.
bool Pcm::lost() noexcept
{
    if (attachment_->held() && !attachment_->timeline().lost())
        return false;
    if (io_.state == SND_PCM_STATE_DISCONNECTED)
        return true;
    if (!attachment_->ours() && adopt())
        return false;
    snd_pcm_ioplug_set_state(&io_, SND_PCM_STATE_DISCONNECTED);
    wake(); // whoever waits must see it
    return true;
}

// After snd_pcm_reset() what was queued is to be forgotten, and counting begins anew at the point that can
// still be changed.
void Pcm::follow_reset() noexcept
{
    if (!pointers_.reset(io_.hw_ptr, io_.appl_ptr))
        return;
    const auto horizon = static_cast<std::uint64_t>(std::max<std::int64_t>(track_->horizon_position(), 0));
    track_->end_at(horizon);
    pointers_.restart(horizon);
}

// While draining, the end is reached when the last frame has been heard.
std::int64_t Pcm::drained_position(std::int64_t before) noexcept
{
    const std::uint64_t appl = position_of(io_.appl_ptr);
    const auto end = static_cast<std::int64_t>(appl);
    if (!track_->running() && end <= before)
        return end; // nothing was written
    track_->drain(appl);
    return track_->drained(appl) ? std::max(before, end)
                                 : std::min(std::max(before, track_->heard_position()), end - 1);
}

// False: the program wants to go on over underruns (stop_threshold = boundary).
bool Pcm::stops_at_xrun() const noexcept { return stop_threshold_ <= pointers_.boundary() / 2; }

bool Pcm::underrun(std::int64_t hw_position) noexcept
{
    if (!stops_at_xrun())
        return late_ = false;
    const std::int64_t queued = static_cast<std::int64_t>(position_of(io_.appl_ptr)) - hw_position;
    return late_ || static_cast<std::int64_t>(io_.buffer_size) - queued >= static_cast<std::int64_t>(stop_threshold_);
}

snd_pcm_sframes_t Pcm::pointer() noexcept
{
    if (pointers_.boundary() == 0)
        return 0; // not configured
    if (std::exchange(holding_, false))
        io_.state = SND_PCM_STATE_PAUSED;
    if (!lost()) {
        follow_reset();
        const auto before = static_cast<std::int64_t>(pointers_.played());
        const std::int64_t position = io_.state == SND_PCM_STATE_DRAINING
                                          ? drained_position(before)
                                          : std::max(before, track_->horizon_position());
        if (io_.state == SND_PCM_STATE_RUNNING && underrun(position)) {
            track_->xrun();
            wake();
            return -EPIPE;
        }
        pointers_.tell(static_cast<std::uint64_t>(position));
    }
    if (full_in_pause() && lookers_.load(std::memory_order_relaxed) == 0 && truths_-- == 0) {
        truths_ = 1;
        return static_cast<snd_pcm_sframes_t>(pointers_.tell_one_more());
    }
    return static_cast<snd_pcm_sframes_t>(pointers_.tell(pointers_.played()));
}

// A write to a PCM that is full and paused has to wait, as with hardware, and libasound's loop
// (snd_pcm_write_areas) lets it do so only while the PCM is RUNNING: PAUSED, it returns 0, for ever and at
// once. So that the loop comes to transfer(), pointer() says one frame too much then; transfer() knows that
// it is a writer who asks, and makes the PCM RUNNING for as long as the loop needs to look at the state.
// The next pointer(), still under the PCM's lock, ends that, and the loop waits for poll().
// Whoever only looks sees too much as well, but not twice: snd_pcm_avail() asks two times. Of programs that do
// not block nobody waits, and nobody is told anything but the truth: their write returns 0.
bool Pcm::full_in_pause() const noexcept
{
    return io_.state == SND_PCM_STATE_PAUSED && io_.nonblock == 0 &&
           (io_.access == SND_PCM_ACCESS_RW_INTERLEAVED || io_.access == SND_PCM_ACCESS_RW_NONINTERLEAVED) &&
           position_of(io_.appl_ptr) - pointers_.played() >= io_.buffer_size;
}

snd_pcm_sframes_t Pcm::hold_writer() noexcept
{
    holding_ = true;
    truths_ = 2; // what the loop asks before it waits
    io_.state = SND_PCM_STATE_RUNNING;
    return 0;
}

void Pcm::transfer(const snd_pcm_channel_area_t* areas, snd_pcm_uframes_t offset, snd_pcm_uframes_t size) noexcept
{
    follow_reset();
    client::ChannelArea sources[abi::max_channels];
    const unsigned channels = std::min<unsigned>(io_.channels, abi::max_channels);
    for (unsigned c = 0; c < channels; c++) {
        const std::size_t step = areas[c].step / 8;
        sources[c] = {static_cast<const std::byte*>(areas[c].addr) + areas[c].first / 8 + offset * step, step};
    }
    const std::uint64_t before = pointers_.written();
    std::uint64_t appl_ptr = io_.appl_ptr;
    const bool rewound = position_of(appl_ptr) + size < before;
    while (size > 0) { // more than a buffer at once only where nothing stops at an xrun
        const snd_pcm_uframes_t count = std::min(size, io_.buffer_size);
        late_ |= track_->write(position_of(appl_ptr), {sources, channels}, count) != 0;
        for (unsigned c = 0; c < channels; c++)
            sources[c].base += count * sources[c].step;
        pointers_.write(appl_ptr, count);
        appl_ptr = (appl_ptr + count) % pointers_.boundary();
        size -= count;
    }
    // A program that got its descriptors earlier calls nothing between this and poll(): the timer
    // must not stay readable for space that is now filled, nor wait for what was rewound.
    if (rewound || os::monotonic_ns() >= armed_ns_.load(std::memory_order_relaxed))
        arm_for(io_.state, pointers_.written());
}

int Pcm::delay(snd_pcm_sframes_t* frames) const noexcept
{
    if (io_.state == SND_PCM_STATE_XRUN)
        return -EPIPE;
    if (io_.state == SND_PCM_STATE_DISCONNECTED)
        return -ENODEV;
    *frames =
        static_cast<snd_pcm_sframes_t>(static_cast<std::int64_t>(position_of(io_.appl_ptr)) - track_->heard_position());
    return 0;
}

// Called without the PCM's lock; snd_pcm_avail_update takes it and runs pointer(), which starts a
// stream that was only prepared; when the last frame has been heard, it ends the stream (state SETUP).
int Pcm::drain() noexcept
{
    for (;;) {
        snd_pcm_avail_update(io_.pcm);
        if (io_.state == SND_PCM_STATE_DISCONNECTED)
            return -ENODEV;
        if (io_.state != SND_PCM_STATE_DRAINING)
            return 0;
        if (io_.nonblock == 2) // snd_pcm_abort()
            return -EINTR;
        arm();
        if (io_.nonblock)
            return -EAGAIN;
        // A signal handler may call snd_pcm_abort(), also just before this begins, and so may another thread:
        // libasound tells nobody.
        pollfd descriptor{timer_.fd(), POLLIN, 0};
        ::poll(&descriptor, 1, abort_look_ms);
    }
}

// Two threads may get here at a time (one polls, one drops): whoever sets the timer last sets what
// was stored last.
void Pcm::set_timer(std::uint64_t event, std::int64_t time_ns) noexcept
{
    if (!attachment_->ours())
        return; // it is the parent's
    armed_event_.store(event, std::memory_order_relaxed);
    armed_ns_.store(time_ns);
    do {
        time_ns = armed_ns_.load();
        timer_.set(time_ns);
    } while (armed_ns_.load() != time_ns);
}

// Makes the descriptor readable now; the next arm() looks afresh.
void Pcm::wake() noexcept { set_timer(at_once, 1); }

bool Pcm::writable(std::uint64_t appl) const noexcept
{
    const auto queued = static_cast<std::int64_t>(appl - pointers_.played());
    return static_cast<std::int64_t>(io_.buffer_size) - queued >= static_cast<std::int64_t>(avail_min_);
}

// The position at which a program that has written up to `appl` has something to do.
std::uint64_t Pcm::next_event(snd_pcm_state_t state, std::uint64_t appl) const noexcept
{
    switch (state) {
    case SND_PCM_STATE_RUNNING: {
        // Where there is room for avail_min frames, or the underrun, whichever comes first.
        const std::uint64_t room = stops_at_xrun() ? std::min(avail_min_, stop_threshold_) : avail_min_;
        return std::max<std::uint64_t>(appl + room, io_.buffer_size) - io_.buffer_size;
    }
    case SND_PCM_STATE_DRAINING:
        return track_->running() ? appl : at_once;
    case SND_PCM_STATE_PREPARED:
    case SND_PCM_STATE_PAUSED:
        return writable(appl) ? at_once : just_look;
    default:
        return at_once;
    }
}

// Sets the timer to the moment at which there will be something to do.
void Pcm::arm_for(snd_pcm_state_t state, std::uint64_t appl) noexcept
{
    const std::uint64_t event = next_event(state, appl);
    const std::int64_t now = os::monotonic_ns();
    // A device that was restarted is elsewhere than it was to be.
    const std::uint64_t generation = attachment_->timeline().read().generation;
    const bool as_before = armed_generation_.exchange(generation, std::memory_order_relaxed) == generation;
    if (as_before && armed_event_.load(std::memory_order_relaxed) == event &&
        (event == at_once || now < armed_ns_.load(std::memory_order_relaxed)))
        return;
    if (event == at_once)
        return wake();
    std::int64_t time = now + max_wait_ns;
    if (event != just_look && track_->running())
        time = std::min(time,
                        state == SND_PCM_STATE_DRAINING ? track_->time_drained(event) : track_->time_of_horizon(event));
    set_timer(event, time);
    if (state == SND_PCM_STATE_DRAINING && !track_->running())
        wake(); // dropped by another thread meanwhile
}

// What poll() would report of a kernel PCM in this state.
unsigned short Pcm::ready_events() noexcept
{
    attachment_->timeline().read(); // notices that the device is gone also while nothing plays
    lookers_.fetch_add(1, std::memory_order_relaxed);
    snd_pcm_avail_update(io_.pcm);
    lookers_.fetch_sub(1, std::memory_order_relaxed);
    switch (io_.state) {
    case SND_PCM_STATE_PREPARED:
    case SND_PCM_STATE_RUNNING:
    case SND_PCM_STATE_PAUSED:
        if (writable(position_of(io_.appl_ptr)))
            return POLLOUT;
        break;
    case SND_PCM_STATE_DRAINING:
        break;
    case SND_PCM_STATE_DISCONNECTED:
        return POLLERR | POLLHUP | POLLOUT;
    default:
        return POLLERR | POLLOUT;
    }
    arm();
    return 0;
}

} // namespace ringmix::plugin
