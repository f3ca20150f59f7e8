// SPDX-License-Identifier: LGPL-2.1-or-later
//
// callbacks.cpp: libasound's side of the boundary: the callback table and the entry point.
// Nothing but error numbers leaves this file: exceptions end in guarded().

#include "plugin/guarded.h"
#include "plugin/pcm.h"
#include "plugin/periods.h"
#include "plugin/slave.h"

#include <cerrno>
#include <cstring>
#include <memory>
#include <poll.h>
#include <pthread.h>

namespace ringmix::plugin {

namespace {

// pthread_cancel() unwinds the stack from wherever the thread waits: through noexcept functions, which end the
// process, and past libasound's locks. In here it has to wait.
class Uncancelled {
public:
    Uncancelled() noexcept { ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
    ~Uncancelled() { ::pthread_setcancelstate(before_, nullptr); }
    Uncancelled(const Uncancelled&) = delete;
    Uncancelled& operator=(const Uncancelled&) = delete;

private:
    int before_ = PTHREAD_CANCEL_ENABLE;
};

// What libasound calls: the callback, protected so.
template <auto function> struct Entry;
template <class Result, class... Arguments, Result (*function)(Arguments...) noexcept> struct Entry<function> {
    static Result call(Arguments... arguments) noexcept
    {
        const Uncancelled guard;
        return function(arguments...);
    }
};

Pcm& pcm_of(snd_pcm_ioplug_t* io) noexcept { return *static_cast<Pcm*>(io->private_data); }

} // namespace

// A class, so that Pcm can let it (and nobody else) in.
struct Callbacks {
    static int start(snd_pcm_ioplug_t* io) noexcept { return pcm_of(io).start(); }

    static int stop(snd_pcm_ioplug_t* io) noexcept
    {
        Pcm& pcm = pcm_of(io);
        if (pcm.attachment_->ours())
            pcm.track_->drop();
        pcm.wake(); // whoever waits must see that it has ended
        return 0;
    }

    static snd_pcm_sframes_t pointer(snd_pcm_ioplug_t* io) noexcept { return pcm_of(io).pointer(); }

    static snd_pcm_sframes_t transfer(snd_pcm_ioplug_t* io, const snd_pcm_channel_area_t* areas,
                                      snd_pcm_uframes_t offset, snd_pcm_uframes_t size) noexcept
    {
        Pcm& pcm = pcm_of(io);
        if (pcm.lost())
            return -ENODEV;
        if (pcm.full_in_pause())
            return pcm.hold_writer();
        pcm.transfer(areas, offset, size);
        return static_cast<snd_pcm_sframes_t>(size);
    }

    static int close(snd_pcm_ioplug_t* io) noexcept
    {
        delete &pcm_of(io);
        return 0;
    }

    static int hw_params(snd_pcm_ioplug_t* io, snd_pcm_hw_params_t* params) noexcept
    {
        if (pcm_of(io).lost()) // also a child after fork(): the connection is its parent's
            return -ENODEV;
        settle_periods(*io, params);
        pcm_of(io).positions_.clear();
        return guarded("hw_params", [io] { return pcm_of(io).configure(); });
    }

    static int hw_free(snd_pcm_ioplug_t* io) noexcept
    {
        if (pcm_of(io).attachment_->ours())
            pcm_of(io).track_->release();
        return 0;
    }

    static int sw_params(snd_pcm_ioplug_t* io, snd_pcm_sw_params_t* params) noexcept
    {
        Pcm& pcm = pcm_of(io);
        snd_pcm_uframes_t boundary = 0;
        int error = snd_pcm_sw_params_get_boundary(params, &boundary);
        pcm.pointers_.set_boundary(boundary);
        if (error >= 0)
            error = snd_pcm_sw_params_get_avail_min(params, &pcm.avail_min_);
        if (error >= 0)
            error = snd_pcm_sw_params_get_stop_threshold(params, &pcm.stop_threshold_);
        return error;
    }

    static int prepare(snd_pcm_ioplug_t* io) noexcept
    {
        Pcm& pcm = pcm_of(io);
        if (pcm.lost())
            return -ENODEV;
        pcm.prepare();
        return 0;
    }

    static int drain(snd_pcm_ioplug_t* io) noexcept { return pcm_of(io).drain(); }

    static int pause(snd_pcm_ioplug_t* io, int enable) noexcept
    {
        Pcm& pcm = pcm_of(io);
        if (pcm.lost())
            return -ENODEV;
        if (enable != 0)
            pcm.track_->pause();
        else
            pcm.track_->resume();
        pcm.truths_ = 0;
        pcm.wake(); // positions mean other times now
        return 0;
    }

    static int poll_descriptors(snd_pcm_ioplug_t* io, struct pollfd* pfd, unsigned space) noexcept
    {
        if (space < 1)
            return 0;
        Pcm& pcm = pcm_of(io);
        if (!pcm.attachment_->ours() && pcm.lost())
            return -ENODEV; // the timer wakes the parent
        pcm.arm();
        pfd->fd = pcm.timer_.fd();
        pfd->events = POLLIN | POLLERR;
        pfd->revents = 0;
        return 1;
    }

    static int poll_revents(snd_pcm_ioplug_t* io, struct pollfd*, unsigned, unsigned short* revents) noexcept
    {
        *revents = pcm_of(io).ready_events();
        return 0;
    }

    static int delay(snd_pcm_ioplug_t* io, snd_pcm_sframes_t* frames) noexcept { return pcm_of(io).delay(frames); }

    static snd_pcm_chmap_query_t** query_chmaps(snd_pcm_ioplug_t* io) noexcept { return pcm_of(io).query_chmaps(); }
    static snd_pcm_chmap_t* get_chmap(snd_pcm_ioplug_t* io) noexcept { return pcm_of(io).get_chmap(); }
    static int set_chmap(snd_pcm_ioplug_t* io, const snd_pcm_chmap_t* map) noexcept
    {
        if (pcm_of(io).lost())
            return -ENODEV;
        return guarded("set_chmap", [=] { return pcm_of(io).set_chmap(*map); });
    }

    static void dump(snd_pcm_ioplug_t* io, snd_output_t* out) noexcept
    {
        Pcm& pcm = pcm_of(io);
        snd_output_printf(out, "ringmix, instance \"%s\", socket %s, slot %u\n", pcm.settings_.address.instance.c_str(),
                          pcm.attachment_->connection().path().c_str(), pcm.attachment_->slot_number());
        if (io->period_size != 0) {
            snd_output_printf(out, "Its setup is:\n");
            snd_pcm_dump_setup(io->pcm, out);
        }
    }
};

namespace {
const snd_pcm_ioplug_callback_t callbacks = [] {
    snd_pcm_ioplug_callback_t table{};
    table.start = Entry<Callbacks::start>::call;
    table.stop = Entry<Callbacks::stop>::call;
    table.pointer = Entry<Callbacks::pointer>::call;
    table.transfer = Entry<Callbacks::transfer>::call;
    table.close = Entry<Callbacks::close>::call;
    table.hw_params = Entry<Callbacks::hw_params>::call;
    table.hw_free = Entry<Callbacks::hw_free>::call;
    table.sw_params = Entry<Callbacks::sw_params>::call;
    table.prepare = Entry<Callbacks::prepare>::call;
    table.drain = Entry<Callbacks::drain>::call;
    table.pause = Entry<Callbacks::pause>::call;
    table.poll_descriptors = Entry<Callbacks::poll_descriptors>::call;
    table.poll_revents = Entry<Callbacks::poll_revents>::call;
    table.dump = Entry<Callbacks::dump>::call;
    table.delay = Entry<Callbacks::delay>::call;
    table.query_chmaps = Entry<Callbacks::query_chmaps>::call;
    table.get_chmap = Entry<Callbacks::get_chmap>::call;
    table.set_chmap = Entry<Callbacks::set_chmap>::call;
    return table;
}();
} // namespace

int Pcm::create(const char* name, snd_pcm_stream_t direction, int mode)
{
    io_.version = SND_PCM_IOPLUG_VERSION;
    io_.name = "ringmix: direct mixing into a shared device";
    // Time stamps are on the clock that the sw_params say; from the start that is CLOCK_MONOTONIC, as with
    // hardware and dmix: `multi` takes the type from its first slave and asks it of the others.
    io_.flags = SND_PCM_IOPLUG_FLAG_LISTED | SND_PCM_IOPLUG_FLAG_BOUNDARY_WA | SND_PCM_IOPLUG_FLAG_MONOTONIC;
    io_.mmap_rw = 0; // transfer() gets the application's own memory
    io_.callback = &callbacks;
    io_.private_data = this;
    io_.poll_fd = timer_.fd();
    io_.poll_events = POLLIN;
    if (const int error = snd_pcm_ioplug_create(&io_, name, direction, mode); error < 0)
        return error;
    io_.nonblock = (mode & SND_PCM_NONBLOCK) != 0;
    return set_constraints(mode);
}

namespace {

int open_pcm(snd_pcm_t** pcmp, const char* name, snd_config_t* node, snd_pcm_stream_t direction, int mode)
{
    Settings settings;
    if (const int error = read_settings(node, settings); error < 0)
        return error;
    if (direction != SND_PCM_STREAM_PLAYBACK) {
        SNDERR("ringmix: \"%s\" is for playback only; use type asym to send capture elsewhere",
               name != nullptr ? name : "ringmix");
        return -EINVAL;
    }
    auto pcm = std::make_unique<Pcm>(settings);
    if (const std::string& slave = settings.address.slave; !plays_to(slave, pcm->device())) {
        SNDERR("ringmix: slave \"%s\" is not what the running server of instance \"%s\" plays to, which is %s; give it "
               "another instance, or end that server",
               slave.c_str(), settings.address.instance.c_str(), pcm->device().c_str());
        return -EBUSY;
    }
    const int error = pcm->create(name, direction, mode);
    if (pcm->handle() != nullptr) {
        Pcm* owned = pcm.release(); // closing the handle deletes it
        if (error < 0)
            snd_pcm_ioplug_delete(owned->ioplug());
        else
            *pcmp = owned->handle();
    }
    return error;
}

} // namespace

} // namespace ringmix::plugin

extern "C" {

#pragma GCC visibility push(default)

int _snd_pcm_ringmix_open(snd_pcm_t** pcmp, const char* name, snd_config_t*, snd_config_t* conf,
                          snd_pcm_stream_t stream, int mode)
{
    using namespace ringmix::plugin;
    const Uncancelled guard;
    return guarded("open", [&] { return open_pcm(pcmp, name, conf, stream, mode); });
}

SND_PCM_PLUGIN_SYMBOL(ringmix)

#pragma GCC visibility pop
}
