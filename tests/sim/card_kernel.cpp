// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The simulated card as the product reaches it: os/kernel_pcm.h, what server/device_kernel.cpp calls of
// libasound (card_names.h), and what it has in files of its own.

#include "os/kernel_pcm.h"

#include "os/kernel_pcm_info.h"
#include "server/device_kernel_find.h"
#include "server/device_kernel_params.h"
#include "server/device_kernel_timer.h"
#include "tests/sim/card.h"
#include "tests/sim/card_names.h"

#include <cerrno>
#include <poll.h>

using ringmix::sim::Card;
using ringmix::sim::card;
using ringmix::sim::machine;
using ringmix::sim::world;

namespace {
constexpr int card_fd_owner = 1;
int card_fd = -1; // the server's

int prepare_card()
{
    if (card->state() == Card::State::gone)
        return -ENODEV;
    if (card->state() == Card::State::running)
        return -EBUSY;
    card->prepare();
    return 0;
}
} // namespace

extern "C" {

int sim_pcm_open(snd_pcm_t** pcm, const char*, snd_pcm_stream_t, int)
{
    *pcm = reinterpret_cast<snd_pcm_t*>(card.get());
    card_fd = world->open_fd(card);
    return card->state() == Card::State::gone ? -ENODEV : 0;
}
int sim_pcm_close(snd_pcm_t*)
{
    card->drop();
    world->close_fd(card_fd);
    return 0;
}
snd_pcm_type_t sim_pcm_type(snd_pcm_t*) { return SND_PCM_TYPE_HW; }
int sim_pcm_poll_descriptors_count(snd_pcm_t*) { return card_fd_owner; }
int sim_pcm_poll_descriptors(snd_pcm_t*, struct pollfd* fds, unsigned)
{
    *fds = {card_fd, POLLOUT, 0};
    return 1;
}
int sim_pcm_sw_params_current(snd_pcm_t*, snd_pcm_sw_params_t*) { return 0; }
int sim_pcm_sw_params_get_boundary(const snd_pcm_sw_params_t*, snd_pcm_uframes_t* boundary)
{
    *boundary = card->boundary();
    return 0;
}
int sim_pcm_info(snd_pcm_t*, snd_pcm_info_t*) { return 0; }
int sim_pcm_prepare(snd_pcm_t*) { return prepare_card(); }
int sim_card_get_name(int, char**) { return -ENODEV; }
}

namespace ringmix::os {

KernelPcm::KernelPcm(int pcm_fd, std::size_t ring_bytes) : fd_(pcm_fd)
{
    ring_ = Mapping::shared(fd_, ring_bytes, 0, true, "the PCM's ring");
}

int KernelPcm::prepare() noexcept { return prepare_card(); }
int KernelPcm::start() noexcept { return card->state() == Card::State::prepared ? card->start() : -EBADFD; }
int KernelPcm::drop() noexcept
{
    card->drop();
    return 0;
}
int KernelPcm::resume() noexcept { return -ENOSYS; }
int KernelPcm::state() const noexcept
{
    switch (card->state()) {
    case Card::State::prepared:
        return SND_PCM_STATE_PREPARED;
    case Card::State::running:
        return SND_PCM_STATE_RUNNING;
    case Card::State::stopped:
        return SND_PCM_STATE_XRUN;
    case Card::State::suspended:
        return SND_PCM_STATE_SUSPENDED;
    case Card::State::gone:
        return SND_PCM_STATE_DISCONNECTED;
    default:
        return SND_PCM_STATE_SETUP;
    }
}
KernelPcm::Address KernelPcm::address() const { return {0, 0, 0}; }

KernelPcm::Position KernelPcm::last_position() const noexcept { return card->position(); }

KernelPcm::Position KernelPcm::fresh_position() const noexcept
{
    card->update();
    return last_position();
}

KernelPcmInfo kernel_pcm_info(int) noexcept { return {true, false, false}; }

} // namespace ringmix::os

namespace ringmix::server {

HardwareAddress find_hardware(const std::string&) { return {0, 0, 0}; }
std::vector<std::string> list_playback_devices() { return {"hw:0,0"}; }
CardInfo card_info(int) { return {"Simulated", "Simulated"}; }
std::string hardware_identity(const std::string&, int, int, int) { return "hw-Simulated-0-0"; }
std::string explain_failure(const std::string&, const HardwareAddress&, int) { return "the card is gone"; }
DeviceShape settle_hw_params(snd_pcm_t*, const DeviceWishes&, Say) { return card->shape(); }
void settle_sw_params(snd_pcm_t*, const DeviceWishes&) {}

PeriodTimer::PeriodTimer(int, int, int) noexcept { fd_ = card->habits().has_timer ? 0 : -1; }

bool PeriodTimer::wait(std::int64_t deadline_ns) noexcept
{
    sim::Object* object = card->ticks.get();
    if (!world->wait({&object, fd_ >= 0 ? 1u : 0u}, deadline_ns))
        return false;
    card->ticks->count = 0;
    return true;
}

} // namespace ringmix::server
