// SPDX-License-Identifier: LGPL-2.1-or-later
//
// requests_tools.cpp: what is answered to ringmixctl.

#include "core/gain.h"
#include "server/requests.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <unistd.h>

namespace ringmix::server {

bool Requests::status(Session& session)
{
    auto status = core::make_message<protocol::Status>();
    status.server_pid = static_cast<std::uint32_t>(getpid());
    status.clients = players();
    core::put_text(status.state, instance_ ? (instance_->engine().gone() ? "failed" : "running") : "closed");
    core::put_text(status.device, instance_ ? instance_->device().name() : options_.wishes.device);
    status.clip = options_.clip;
    status.dither = options_.dither;
    if (instance_)
        tell_geometry(status);
    return session.send(core::bytes_of(status), {});
}

void Requests::tell_geometry(protocol::Status& status) const
{
    const abi::Geometry& geometry = instance_->view().geometry;
    const OutputState output = instance_->device().output_state();
    core::put_text(status.output, output.text);
    status.output_frames = output.frames;
    status.output_lost_frames = output.lost_frames;
    status.format = geometry.format;
    status.rate = geometry.rate;
    status.channels = geometry.channels;
    status.period_frames = geometry.period_frames;
    status.ring_frames = geometry.ring_frames;
    status.margin_frames = geometry.margin_frames;
    status.reach_frames = geometry.reach_frames;
    status.clip = geometry.clip;
    status.dither = geometry.dither;
    status.frames_played = instance_->engine().frames_played();
    status.xruns = instance_->engine().xruns();
    status.repairs = instance_->engine().repairs();
    status.realtime = instance_->engine().realtime();
    status.arena_bytes = instance_->arena().bytes();
    status.arena_used_bytes = instance_->arena().used();
}

// Frames of the lane as frames of the program.
std::uint64_t Requests::program_frames(const protocol::ClientInfo& info, std::uint64_t lane_frames) const
{
    const std::uint64_t rate = instance_->view().geometry.rate;
    return info.converted == 0 ? lane_frames : lane_frames * info.rate / rate;
}

void Requests::tell_lane(const SlotOwner& owner, const abi::Slot& shared, protocol::ClientInfo& info) const
{
    info.rate = instance_->view().geometry.rate;
    if (!owner.lane)
        return;
    info.format = shared.config.format.load(relaxed);
    info.channels = shared.config.channels.load(relaxed);
    if (owner.program_rate != 0) {
        info.converted = owner.program_rate != info.rate ? 1 : 0;
        info.format = owner.program_format;
        info.channels = owner.program_channels;
        info.rate = owner.program_rate;
        info.latency_frames = owner.latency_frames;
    }
    info.lane_frames = program_frames(info, shared.config.lane_frames.load(relaxed));
}

protocol::ClientInfo Requests::client_info(std::uint32_t slot)
{
    const abi::Slot& shared = instance_->slot(slot);
    const std::uint64_t played = instance_->engine().frames_played();
    const core::Extent range = core::unpack(shared.stream.range.load(acquire), played);
    auto info = core::make_message<protocol::ClientInfo>();
    info.id = slot;
    info.pid = owners_[slot].pid;
    info.uid = owners_[slot].uid;
    info.state = static_cast<std::uint32_t>(shared.stream.stream.load(relaxed));
    info.slot_state = shared.config.state.load(relaxed);
    tell_lane(owners_[slot], shared, info);
    info.gain = owners_[slot].gain;
    info.muted = owners_[slot].muted;
    info.queued_frames = program_frames(info, range.end > played ? range.end - std::max(played, range.start) : 0);
    info.underruns = shared.stream.underruns.load(relaxed);
    info.late_frames = shared.stream.late_frames.load(relaxed);
    core::put_text(info.name, owners_[slot].name);
    return info;
}

bool Requests::clients(Session& session)
{
    auto done = core::make_message<protocol::Done>();
    for (std::uint32_t slot = 0; slot < owners_.size(); slot++) {
        if (!owners_[slot].used || !instance_)
            continue;
        if (!session.send(core::bytes_of(client_info(slot)), {}))
            return false;
        done.count++;
    }
    return session.send(core::bytes_of(done), {});
}

namespace {

// A gain in millibels as a fixed-point number.
std::uint32_t gain_of(std::int32_t millibel)
{
    if (millibel == protocol::millibel_silence)
        return 0;
    const double factor = std::pow(10.0, std::min(millibel, protocol::max_millibel) / 2000.0);
    return static_cast<std::uint32_t>(std::lround(factor * abi::unity_gain));
}

void change(SlotOwner& owner, const protocol::SetGain& request)
{
    switch (request.what) {
    case protocol::gain_absolute:
        owner.gain = gain_of(request.millibel);
        break;
    case protocol::gain_relative: {
        const double gain = owner.gain * std::pow(10.0, std::clamp(request.millibel, -20000, 20000) / 2000.0);
        owner.gain = static_cast<std::uint32_t>(std::lround(std::min<double>(gain, gain_of(protocol::max_millibel))));
        break;
    }
    default:
        owner.muted = request.what == protocol::gain_mute;
        break;
    }
}

} // namespace

bool Requests::set_gain(Session& session, const protocol::SetGain& request)
{
    if (request.what < protocol::gain_absolute || request.what > protocol::gain_unmute)
        return refuse(session, EPROTO, fmt::format("unknown change of gain {}", request.what));
    const std::string_view name = core::text_of(request.name);
    auto done = core::make_message<protocol::Done>();
    for (std::uint32_t slot = 0; slot < owners_.size(); slot++) {
        SlotOwner& owner = owners_[slot];
        if (!owner.used || owner.left || !instance_ ||
            (request.id == protocol::no_slot ? owner.name != name : slot != request.id))
            continue;
        change(owner, request);
        owner.known_to_engine = true;
        instance_->engine().set_gain(slot, owner.muted ? 0 : owner.gain);
        done.count++;
    }
    return session.send(core::bytes_of(done), {});
}

} // namespace ringmix::server
