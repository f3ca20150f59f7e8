// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a program is told of time: room, delay, when it is woken, when a drain ends.

#include "tests/sim/pcm.h"

#include <algorithm>
#include <cerrno>
#include <poll.h>

namespace ringmix::sim {

snd_pcm_sframes_t Pcm::avail()
{
    const snd_pcm_state_t before = state();
    const std::int64_t began = world->now();
    const bool due = before == SND_PCM_STATE_RUNNING && score_->xrun_due();
    const std::int64_t low = score_->running() ? score_->room_low() : 0;
    score_->begin(Ask::look);
    const snd_pcm_sframes_t room = snd_pcm_avail_update(pcm_);
    if (!follow(static_cast<int>(std::min<snd_pcm_sframes_t>(room, 0))))
        return -ENODEV;
    note("avail", room);
    if (state() == SND_PCM_STATE_XRUN && before == SND_PCM_STATE_RUNNING) {
        score_->end_xrun();
        return -EPIPE;
    }
    score_->end_nothing();
    if (due && ear->quiet_since(began))
        fail("{}: an underrun is due and is not reported", name_);
    if (room < 0 || !score_->running() || draining_ || score_->floating())
        return room;
    const std::int64_t place =
        static_cast<std::int64_t>(score_->appl()) + room - static_cast<std::int64_t>(score_->buffer());
    if (place < last_place_)
        fail("{}: the pointer goes back from {} to {}", name_, last_place_, place);
    if ((room < low || room > score_->room_high()) && ear->quiet_since(began))
        fail("{}: room for {} frames, not {} to {}", name_, room, low, score_->room_high());
    if (ear->stands_for_long() && room > score_->room_high())
        fail("{}: the device stands, and time goes on: room for {} frames, not {}", name_, room, score_->room_high());
    last_place_ = place;
    return room;
}

// Frames between the last one written and the one that is heard.
void Pcm::check_delay()
{
    const std::int64_t began = world->now();
    const std::uint64_t before = ear->now();
    snd_pcm_sframes_t delay = 0;
    score_->begin(Ask::look);
    const int result = snd_pcm_delay(pcm_, &delay);
    if (!follow(result))
        return;
    note("delay", delay, result);
    if (result < 0 || state() == SND_PCM_STATE_XRUN) {
        if (state() == SND_PCM_STATE_XRUN && score_->running())
            score_->end_xrun();
        else
            score_->end_nothing();
        return;
    }
    score_->end_nothing();
    if (!score_->running() || score_->floating())
        return;
    const Ear::Truth& truth = ear->truth();
    const std::int64_t heard = static_cast<std::int64_t>(score_->appl()) - delay;
    const std::int64_t origin = static_cast<std::int64_t>(score_->origin()) + truth.latency;
    const std::int64_t low = score_->moment(static_cast<std::int64_t>(before) - truth.lag - origin);
    const std::int64_t high = score_->moment(static_cast<std::int64_t>(ear->now()) + truth.lead - origin);
    if (heard < last_heard_)
        fail("{}: what is heard goes back from {} to {}", name_, last_heard_, heard);
    if ((heard < low || heard > high) && ear->quiet_since(began))
        fail("{}: says that position {} is heard, and it is {} to {}", name_, heard, low, high);
    last_heard_ = heard;
}

// It was woken with no more room than this, and told of none: there must have been something to look for.
void Pcm::check_idle_wake(std::int64_t room) const
{
    const auto wanted = static_cast<std::int64_t>(std::min(wishes_.avail_min, wishes_.stop_threshold));
    if (room < wanted)
        fail("{}: woken for nothing: room for {} of {} frames", name_, room, wanted);
}

bool Pcm::wait(int most_ms)
{
    const std::int64_t deadline = world->now() + most_ms * ms;
    const snd_pcm_state_t in = state();
    bool fresh = true;
    pollfd fds[4];
    while (world->now() < deadline) {
        if (fresh)
            asked_ns_ = world->now(); // the timer is set anew
        if (fresh && snd_pcm_poll_descriptors(pcm_, fds, 1) != 1)
            return follow(-ENODEV);
        fresh = world->dice().one_in(2); // programs ask for the descriptors once, or each time
        const std::int64_t began = world->now();
        fds[0].revents = 0;
        const int ready = ::poll(fds, 1, static_cast<int>((deadline - world->now() + ms - 1) / ms));
        if (ready == 0)
            break;
        ear->counts.wakes++;
        const Fibre& fibre = *world->current();
        const std::int64_t late = world->now() - std::max(began, fibre.wake_due);
        unsigned short events = 0;
        score_->begin(Ask::look);
        const std::int64_t looked = world->now();
        const bool due = score_->xrun_due();
        const std::int64_t low = score_->running() ? score_->room_low() : 0;
        const std::int64_t high = score_->running() ? score_->room_high() : 0;
        const int result = snd_pcm_poll_descriptors_revents(pcm_, fds, 1, &events);
        if (!follow(result))
            return true;
        const snd_pcm_state_t after = state();
        if (after == SND_PCM_STATE_XRUN && score_->running())
            score_->end_xrun();
        else
            score_->end_nothing();
        if (after != in)
            return true;
        if (due && ear->quiet_since(looked))
            fail("{}: an underrun is due and is not reported to poll", name_);
        const bool known = in == SND_PCM_STATE_RUNNING && !score_->floating() && ear->quiet_since(began);
        if (!known && events != 0)
            return true;
        if (!known)
            continue;
        const auto wanted = static_cast<std::int64_t>(wishes_.avail_min);
        const Ear::Truth& truth = ear->truth();
        const std::int64_t slack = 2 + score_->frames_in(truth.lag + truth.lead + (score_->converts() ? 1 : 0));
        if (events == 0) {
            if (began < fibre.wake_due && late >= 0 && world->now() - began < 400 * ms)
                check_idle_wake(high + slack);
            if (low >= wanted)
                fail("{}: woken with room for {} of {} frames, and told of none", name_, low, wanted);
            ear->counts.idle_wakes++;
            continue;
        }
        const bool known_late = score_->origin() + score_->floor() + truth.margin > ear->low(); // TOLERATE 1
        const std::int64_t then = low - score_->frames_in(ear->frames_of(std::max<std::int64_t>(late, 0)));
        if (!known_late && began < fibre.wake_due && ear->quiet_since(asked_ns_) &&
            then > wanted + slack + score_->frames_in(truth.rate / 2000))
            fail("{}: woken with room for {} frames, and wanted {}", name_, then, wanted);
        return true;
    }
    return false;
}

void Pcm::drain()
{
    note("drains");
    draining_ = true;
    const std::uint64_t end = score_->appl();
    const std::uint64_t asked_at = ear->now();
    const std::int64_t began = world->now();
    const bool was_running = score_->running();
    bool begun = was_running;
    score_->begin_start(Ask::drain);
    for (;;) {
        const int result = snd_pcm_drain(pcm_);
        if (!follow(result))
            return;
        score_->limit(end);
        if (!begun && score_->rung_out(end) > score_->floor()) {
            score_->end_start();
            begun = true;
        }
        score_->end_nothing();
        if (state() != SND_PCM_STATE_DRAINING)
            break;
        if (result != -EAGAIN)
            fail("{}: drain gives {}", name_, result);
        pollfd fds[1];
        snd_pcm_poll_descriptors(pcm_, fds, 1);
        ::poll(fds, 1, -1);
        unsigned short events = 0;
        score_->begin(Ask::look);
        snd_pcm_poll_descriptors_revents(pcm_, fds, 1, &events);
        score_->end_nothing();
        if (!follow(0))
            return;
        if (state() != SND_PCM_STATE_DRAINING)
            break;
        score_->begin(Ask::look);
    }
    note("drained");
    draining_ = false;
    if (!begun) {
        score_->drained();
        return;
    }
    const Ear::Truth& truth = ear->truth();
    const std::uint64_t last = score_->origin() + score_->rung_out(end) + truth.latency;
    if (!score_->floating() && ear->quiet_since(began)) {
        if (ear->now() + truth.lead < last)
            fail("{}: drained at frame {}, and the last one is heard at {}", name_, ear->now(), last);
        const std::int64_t own =
            world->now() - world->current()->wake_due; // this program's own time since it was woken
        const std::uint64_t due = std::max(last, asked_at) + truth.lag + truth.lead + truth.rate / 500;
        if (ear->now() > due + ear->frames_of(std::max<std::int64_t>(own, 0)))
            fail("{}: drained at frame {}, long after the last one at {}", name_, ear->now(), last);
    }
    score_->drained();
}

void Pcm::rewind(snd_pcm_uframes_t frames)
{
    const snd_pcm_sframes_t done = snd_pcm_rewind(pcm_, frames);
    note("rewinds", static_cast<std::int64_t>(frames), done);
    if (done > 0)
        score_->moved_to(score_->appl() - static_cast<std::uint64_t>(done));
    else if (state() == SND_PCM_STATE_XRUN && score_->running())
        score_->end_xrun();
}

void Pcm::forward(snd_pcm_uframes_t frames)
{
    const snd_pcm_sframes_t done = snd_pcm_forward(pcm_, frames);
    note("goes forward", static_cast<std::int64_t>(frames), done);
    if (done > 0)
        score_->moved_to(score_->appl() + static_cast<std::uint64_t>(done));
    else if (state() == SND_PCM_STATE_XRUN && score_->running())
        score_->end_xrun();
}

} // namespace ringmix::sim
