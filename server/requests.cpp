// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/requests.h"

#include "core/channel_map.h"
#include "core/format.h"
#include "core/gain.h"
#include "os/process.h"
#include "os/timer.h"
#include "server/log.h"
#include "server/service_manager.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <system_error>
#include <unistd.h>

namespace ringmix::server {

namespace {
using abi::bit;
} // namespace

Requests::Requests(const Options& options, ClientNames& names, Opener opener)
    : options_(options), names_(names), opener_(std::move(opener))
{
}

void Requests::open() { instance_ = opener_(); }

std::uint32_t Requests::players() const
{
    return static_cast<std::uint32_t>(
        std::count_if(owners_.begin(), owners_.end(), [](const SlotOwner& owner) { return owner.used; }));
}

std::string Requests::description() const
{
    if (!instance_)
        return "device closed";
    const abi::Geometry& g = instance_->view().geometry;
    return fmt::format("{}, {} Hz, {}, {} channel{}, period {}, ring {} frames", instance_->device().name(), g.rate,
                       core::format_name(g.format), g.channels, g.channels == 1 ? "" : "s", g.period_frames,
                       g.ring_frames);
}

bool Requests::refuse(Session& session, int error, const std::string& text)
{
    if (std::uint64_t left_out = 0; refusals_.pass(os::monotonic_ns(), left_out))
        log(LogLevel::info, "refused {} (pid {}): {}{}", session.name.empty() ? "a connection" : session.name,
            session.peer.pid, text, left_out == 0 ? "" : fmt::format(" ({} more before it)", left_out));
    tell(session, error, text);
    return false;
}

bool Requests::tell(Session& session, int error, const std::string& text)
{
    auto message = core::make_message<protocol::Error>();
    message.error = error;
    core::put_text(message.text, text);
    return session.send(core::bytes_of(message), {});
}

bool Requests::answer(Session& session, std::span<const std::byte> packet)
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
    if (!session.greeted)
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

bool Requests::hello(Session& session, const protocol::Hello& hello)
{
    if (session.greeted)
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
    session.greeted = true;
    return session.send(core::bytes_of(welcome_for(protocol::no_slot)), {});
}

bool Requests::welcome_player(Session& session, const protocol::Hello& hello)
{
    if (!instance_) {
        try {
            open();
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
    session.greeted = true;

    abi::Slot& shared = instance_->slot(slot);
    const std::uint64_t serial = shared.stream.stream.load(relaxed) >> 32; // goes on, so that no two streams share one
    shared.stream.range.store(0, relaxed);
    shared.stream.posting.store(0, relaxed);
    shared.stream.tending.store(0, relaxed);
    shared.stream.stream.store(serial << 32 | abi::stream_idle, relaxed);
    shared.stream.underruns.store(0, relaxed);
    shared.stream.late_frames.store(0, relaxed);
    shared.tail.range.store(0, relaxed);
    shared.stream.phase.store(0, relaxed);
    core::publish_gains(shared, core::GainCurve::constant(free->gain));
    shared.config.state.store(abi::slot_claimed, ringmix::release);

    log(LogLevel::debug, "client {} is {} (pid {})", slot, free->name, free->pid);
    return session.send(core::bytes_of(welcome_for(slot)), instance_->descriptors());
}

protocol::Welcome Requests::welcome_for(std::uint32_t slot) const
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
void Requests::give_up_lane(std::uint32_t slot)
{
    instance_->view().board->engine.active.fetch_and(~bit(slot), ringmix::release);
    instance_->slot(slot).config.state.store(abi::slot_claimed, ringmix::release);
    if (owners_[slot].lane)
        instance_->arena().release(*owners_[slot].lane);
    owners_[slot].lane.reset();
}

void Requests::leave(Session& session, const char* why)
{
    const std::uint32_t slot = std::exchange(session.slot, protocol::no_slot);
    if (slot == protocol::no_slot)
        return;
    log(LogLevel::debug, "client {} ({}) leaves: {}", slot, session.name, why);
    owners_[slot].left = true;
    if (owners_[slot].known_to_engine)
        instance_->engine().retire(slot);
    else
        free_slot(slot);
}

void Requests::free_retired()
{
    if (!instance_)
        return;
    for (std::uint64_t slots = instance_->butler().take_retired(); slots != 0; slots &= slots - 1)
        if (const auto slot = static_cast<std::uint32_t>(std::countr_zero(slots)); owners_[slot].used)
            free_slot(slot);
}

void Requests::free_slot(std::uint32_t slot)
{
    give_up_lane(slot);
    instance_->slot(slot).config.state.store(abi::slot_free, ringmix::release);
    owners_[slot] = {};
}

std::vector<protocol::HandoverSlot> Requests::records() const
{
    std::vector<protocol::HandoverSlot> all;
    for (std::uint32_t slot = 0; slot < abi::max_slots; slot++) {
        const SlotOwner& owner = owners_[slot];
        if (!owner.used)
            continue;
        auto record = core::make_message<protocol::HandoverSlot>();
        record.slot = slot;
        record.pid = owner.pid;
        record.uid = owner.uid;
        record.gain = owner.gain;
        record.muted = owner.muted ? 1 : 0;
        record.known_to_engine = owner.known_to_engine ? 1 : 0;
        record.program_format = owner.program_format;
        record.program_rate = owner.program_rate;
        record.program_channels = owner.program_channels;
        record.latency_frames = owner.latency_frames;
        record.lane_offset = owner.lane.value_or(0);
        record.lane_bytes = owner.lane ? instance_->arena().length_of(*owner.lane) : 0;
        core::put_text(record.name, owner.name);
        all.push_back(record);
    }
    return all;
}

bool Requests::take_place(const protocol::HandoverSlot& record)
{
    SlotOwner& owner = owners_[record.slot];
    if (owner.used || (record.lane_bytes != 0 && !instance_->arena().reserve(record.lane_offset, record.lane_bytes)))
        return false;
    owner.used = true;
    owner.name = core::text_of(record.name);
    owner.pid = record.pid;
    owner.uid = record.uid;
    if (record.lane_bytes != 0)
        owner.lane = record.lane_offset;
    owner.gain = std::min(record.gain, core::max_gain);
    owner.muted = record.muted != 0;
    owner.known_to_engine = record.known_to_engine != 0;
    owner.left = record.connected == 0;
    owner.program_format = record.program_format;
    owner.program_rate = record.program_rate;
    owner.program_channels = record.program_channels;
    owner.latency_frames = record.latency_frames;
    names_.set(record.slot, owner.name, owner.pid);
    return true;
}

void Requests::resume()
{
    for (std::uint32_t slot = 0; slot < abi::max_slots; slot++) {
        const SlotOwner& owner = owners_[slot];
        if (!owner.used)
            continue;
        const std::uint32_t gain = owner.muted ? 0 : owner.gain;
        if (!owner.left && owner.known_to_engine && core::read_gains(instance_->slot(slot)).gains.back() != gain)
            instance_->engine().set_gain(slot, gain); // asked for, and not made any more
        else if (owner.left && owner.known_to_engine)
            instance_->engine().retire(slot);
        else if (owner.left)
            free_slot(slot);
    }
}

bool Requests::configure(Session& session, const protocol::Configure& configure)
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
    const std::uint64_t bytes = configure.lane_frames * frame_bytes;
    std::optional<std::uint64_t> offset;
    try {
        offset = instance_->arena().allocate(bytes);
    } catch (const std::system_error& error) {
        return tell(session, ENOMEM, fmt::format("the server has no memory for a buffer: {}", error.what()));
    }
    if (!offset)
        return tell(session, ENOMEM,
                    fmt::format("the server's arena of {} KiB has no room for another {} KiB; use a smaller buffer or "
                                "start ringmixd with a larger --arena",
                                instance_->arena().bytes() / 1024, bytes / 1024));
    owners_[session.slot].lane = offset;
    owners_[session.slot].known_to_engine = true;
    owners_[session.slot].program_format = configure.program_format;
    owners_[session.slot].program_rate = configure.program_rate;
    owners_[session.slot].program_channels = configure.program_channels;
    owners_[session.slot].latency_frames = configure.latency_frames;
    shared.config.format.store(configure.format, relaxed);
    shared.config.channels.store(configure.channels, relaxed);
    shared.config.lane_offset.store(*offset, relaxed);
    shared.config.lane_frames.store(configure.lane_frames, relaxed);
    core::store_map(shared.config, configure.map);
    shared.config.state.store(abi::slot_active, ringmix::release);
    instance_->view().board->engine.active.fetch_or(bit(session.slot), ringmix::release);
    instance_->engine().expect_soon();

    auto configured = core::make_message<protocol::Configured>();
    configured.lane_offset = *offset;
    configured.lane_frames = configure.lane_frames;
    return session.send(core::bytes_of(configured), {});
}

bool Requests::release(Session& session)
{
    if (session.slot == protocol::no_slot)
        return refuse(session, EPROTO, "only a player can have a lane");
    give_up_lane(session.slot);
    return session.send(core::bytes_of(core::make_message<protocol::Done>()), {});
}

} // namespace ringmix::server
