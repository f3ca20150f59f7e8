// SPDX-License-Identifier: LGPL-2.1-or-later
//
// requests.cpp: what the control thread answers to each message of ringmix/protocol.h.

#include "core/channel_map.h"
#include "core/format.h"
#include "core/gain.h"
#include "os/process.h"
#include "os/timer.h"
#include "server/control.h"
#include "server/log.h"
#include "server/service_manager.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <system_error>
#include <unistd.h>

namespace ringmix::server {

namespace {
constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release_order = std::memory_order_release;

constexpr std::uint64_t bit(std::uint32_t slot) { return std::uint64_t{1} << slot; }
} // namespace

bool Control::send(Session& session, std::span<const std::byte> message, std::span<const int> descriptors)
{
    try {
        os::send_packet(session.socket.get(), message, descriptors, false);
        return true;
    } catch (const std::system_error& error) {
        log(LogLevel::debug, "cannot answer {}: {}", session.name, error.what());
        return false;
    }
}

// Sends an Error and asks for the connection to be closed.
bool Control::refuse(Session& session, int error, const std::string& text)
{
    log(LogLevel::info, "refused {} (pid {}): {}", session.name.empty() ? "a connection" : session.name,
        session.peer.pid, text);
    auto message = core::make_message<protocol::Error>();
    message.error = error;
    core::put_text(message.text, text);
    send(session, core::bytes_of(message));
    return false;
}

bool Control::answer(Session& session, std::span<const std::byte> packet)
{
    std::uint32_t type = 0;
    if (const core::MessageFault fault = core::check_message(packet, type); fault != core::MessageFault::none) {
        std::string text{core::fault_text(fault)};
        if (fault == core::MessageFault::wrong_version)
            text += fmt::format(" (this server speaks version {}.{}, ringmix {})", protocol::major_version,
                                protocol::minor_version, RINGMIX_VERSION);
        return refuse(session, fault == core::MessageFault::wrong_version ? EPROTO : EBADMSG, text);
    }
    if (type == protocol::type_hello)
        return hello(session, core::message_as<protocol::Hello>(packet));
    if (session.hello_deadline_ns != 0)
        return refuse(session, EPROTO, "the first message must be Hello");
    switch (type) {
    case protocol::type_configure:
        return configure(session, core::message_as<protocol::Configure>(packet));
    case protocol::type_release:
        return release(session);
    case protocol::type_ask_status:
        return status(session);
    case protocol::type_ask_clients:
        return clients(session);
    case protocol::type_set_gain:
        return set_gain(session, core::message_as<protocol::SetGain>(packet));
    default:
        return refuse(session, EPROTO, fmt::format("message type {} is not for a server", type));
    }
}

bool Control::hello(Session& session, const protocol::Hello& hello)
{
    if (session.hello_deadline_ns == 0)
        return refuse(session, EPROTO, "Hello was said twice");
    session.role = hello.role;
    session.name = core::text_of(hello.name);
    if (session.name.empty() && session.peer.pid > 0)
        session.name = os::process_name(session.peer.pid);
    if (session.name.empty())
        session.name.assign(1, '?'); // not = "?": gcc 12 sees an overlap in that
    if (hello.role == protocol::role_player)
        return welcome_player(session, hello);
    if (hello.role != protocol::role_tool)
        return refuse(session, EPROTO, fmt::format("unknown role {}", hello.role));
    session.hello_deadline_ns = 0;
    return send(session, core::bytes_of(welcome_for(protocol::no_slot)));
}

bool Control::welcome_player(Session& session, const protocol::Hello& hello)
{
    if (!instance_) {
        try {
            open_instance();
            log_line(LogLevel::info, "opened again: " + description());
            notify_manager("STATUS=" + description());
        } catch (const std::exception& error) {
            return refuse(session, error_number(error), error.what());
        }
    }
    const auto free = std::find_if(owners_.begin(), owners_.end(), [](const SlotOwner& owner) { return !owner.used; });
    if (free == owners_.end())
        return refuse(session, EBUSY,
                      fmt::format("all {} places of this ringmix server are taken; close a program or start a second "
                                  "instance",
                                  abi::max_slots));
    const auto slot = static_cast<std::uint32_t>(free - owners_.begin());
    *free = {};
    free->used = true;
    free->name = session.name;
    free->pid = session.peer.pid > 0 ? static_cast<std::uint32_t>(session.peer.pid) : hello.pid;
    free->uid = session.peer.uid;
    free->gain = std::min(hello.gain, core::max_gain);
    names_.set(slot, free->name, free->pid);
    session.slot = slot;
    session.hello_deadline_ns = 0;

    abi::Slot& shared = instance_->slot(slot);
    const std::uint64_t serial = shared.stream.stream.load(relaxed) >> 32; // goes on, so that no two streams share one
    shared.stream.range.store(0, relaxed);
    shared.stream.posting.store(0, relaxed);
    shared.stream.stream.store(serial << 32 | abi::stream_idle, relaxed);
    shared.stream.underruns.store(0, relaxed);
    shared.stream.late_frames.store(0, relaxed);
    shared.tail.range.store(0, relaxed);
    shared.stream.phase.store(0, relaxed);
    instance_->engine().forget_gain(slot);
    core::publish_gains(shared, core::GainCurve::constant(free->gain));
    shared.config.state.store(abi::slot_claimed, release_order);

    log(LogLevel::debug, "client {} is {} (pid {})", slot, free->name, free->pid);
    return send(session, core::bytes_of(welcome_for(slot)), instance_->descriptors());
}

protocol::Welcome Control::welcome_for(std::uint32_t slot) const
{
    auto welcome = core::make_message<protocol::Welcome>();
    welcome.slot = slot;
    welcome.abi_major = abi::major_version;
    welcome.abi_minor = abi::minor_version;
    welcome.server_pid = static_cast<std::uint32_t>(getpid());
    if (instance_)
        core::put_text(welcome.device, instance_->device().identity());
    if (slot != protocol::no_slot)
        welcome.board_bytes = instance_->board_bytes();
    return welcome;
}

// Takes the slot's lane out of the mix and back into the arena. Its stream must have ended.
void Control::give_up_lane(std::uint32_t slot)
{
    instance_->view().board->engine.active.fetch_and(~bit(slot), release_order);
    instance_->slot(slot).config.state.store(abi::slot_claimed, release_order);
    if (owners_[slot].lane)
        instance_->arena().release(*owners_[slot].lane);
    owners_[slot].lane.reset();
}

bool Control::configure(Session& session, const protocol::Configure& configure)
{
    if (session.slot == protocol::no_slot)
        return refuse(session, EPROTO, "only a player can have a lane");
    const std::uint32_t frame_bytes = core::sample_bytes(configure.format) * configure.channels;
    if (core::sample_bytes(configure.format) == 0 || configure.channels < 1 || configure.channels > abi::max_channels ||
        configure.lane_frames < 1 || configure.lane_frames > core::max_extent_frames)
        return refuse(session, EINVAL, "a lane of impossible format, channels or length was asked for");
    abi::Slot& shared = instance_->slot(session.slot);
    if (shared.stream.range.load(acquire) != 0)
        return refuse(session, EBUSY, "a lane cannot be changed while its stream plays");

    give_up_lane(session.slot);
    Arena& arena = instance_->arena();
    const std::optional<std::uint64_t> offset = arena.allocate(configure.lane_frames * frame_bytes);
    if (!offset) {
        auto error = core::make_message<protocol::Error>();
        error.error = ENOMEM;
        core::put_text(error.text,
                       fmt::format("the server's arena of {} KiB has no room for another {} KiB; use a smaller buffer "
                                   "or start ringmixd with a larger --arena",
                                   arena.bytes() / 1024, configure.lane_frames * frame_bytes / 1024));
        return send(session, core::bytes_of(error));
    }
    owners_[session.slot].lane = offset;
    owners_[session.slot].heard = true;
    shared.config.format.store(configure.format, relaxed);
    shared.config.channels.store(configure.channels, relaxed);
    shared.config.lane_offset.store(*offset, relaxed);
    shared.config.lane_frames.store(configure.lane_frames, relaxed);
    core::store_map(shared.config, configure.map);
    shared.config.state.store(abi::slot_active, release_order);
    instance_->view().board->engine.active.fetch_or(bit(session.slot), release_order);

    auto configured = core::make_message<protocol::Configured>();
    configured.lane_offset = *offset;
    configured.lane_frames = configure.lane_frames;
    return send(session, core::bytes_of(configured));
}

bool Control::release(Session& session)
{
    if (session.slot == protocol::no_slot)
        return refuse(session, EPROTO, "only a player can have a lane");
    give_up_lane(session.slot);
    return send(session, core::bytes_of(core::make_message<protocol::Done>()));
}

bool Control::status(Session& session)
{
    auto status = core::make_message<protocol::Status>();
    status.server_pid = static_cast<std::uint32_t>(getpid());
    status.clients = players();
    core::put_text(status.state, instance_ ? (instance_->engine().gone() ? "failed" : "running") : "closed");
    core::put_text(status.device, instance_ ? instance_->device().name() : options_.wishes.device);
    status.clip = options_.clip;
    status.dither = options_.dither;
    if (instance_) {
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
    return send(session, core::bytes_of(status));
}

protocol::ClientInfo Control::client_info(std::uint32_t slot)
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
    const bool has_lane = owners_[slot].lane.has_value();
    info.format = has_lane ? shared.config.format.load(relaxed) : 0;
    info.channels = has_lane ? shared.config.channels.load(relaxed) : 0;
    info.lane_frames = has_lane ? shared.config.lane_frames.load(relaxed) : 0;
    info.rate = instance_->view().geometry.rate;
    info.gain = owners_[slot].gain;
    info.muted = owners_[slot].muted;
    info.queued_frames = range.end > played ? range.end - std::max(played, range.start) : 0;
    info.underruns = shared.stream.underruns.load(relaxed);
    info.late_frames = shared.stream.late_frames.load(relaxed);
    core::put_text(info.name, owners_[slot].name);
    return info;
}

bool Control::clients(Session& session)
{
    auto done = core::make_message<protocol::Done>();
    for (std::uint32_t slot = 0; slot < owners_.size(); slot++) {
        if (!owners_[slot].used || !instance_)
            continue;
        if (!send(session, core::bytes_of(client_info(slot))))
            return false;
        done.count++;
    }
    return send(session, core::bytes_of(done));
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

bool Control::set_gain(Session& session, const protocol::SetGain& request)
{
    if (request.what < protocol::gain_absolute || request.what > protocol::gain_unmute)
        return refuse(session, EPROTO, fmt::format("unknown change of gain {}", request.what));
    const std::string_view name = core::text_of(request.name);
    auto done = core::make_message<protocol::Done>();
    for (std::uint32_t slot = 0; slot < owners_.size(); slot++) {
        SlotOwner& owner = owners_[slot];
        if (!owner.used || !instance_ || (request.id == protocol::no_slot ? owner.name != name : slot != request.id))
            continue;
        change(owner, request);
        instance_->engine().set_gain(slot, owner.muted ? 0 : owner.gain);
        done.count++;
    }
    return send(session, core::bytes_of(done));
}

} // namespace ringmix::server
