// SPDX-License-Identifier: LGPL-2.1-or-later
//
// succession.cpp: the part of Control in which one server takes another one's place (handover.h). Clients keep their
// sockets, slots and memory; what they ask for meanwhile waits in their sockets for the new one.

#include "core/message.h"
#include "os/process.h"
#include "os/socket.h"
#include "server/control.h"
#include "server/handover.h"
#include "server/log.h"
#include "server/service_manager.h"

#include <algorithm>
#include <stdexcept>
#include <unistd.h>

namespace ringmix::server {

namespace {

std::int64_t milliseconds(double seconds) { return seconds < 0 ? -1 : static_cast<std::int64_t>(seconds * 1000); }

DeviceShape shape_of(const abi::Geometry& geometry)
{
    DeviceShape shape{};
    shape.kind = geometry.device_kind;
    shape.format = geometry.format;
    shape.channels = geometry.channels;
    shape.rate = geometry.rate;
    shape.period_frames = geometry.period_frames;
    shape.ring_frames = geometry.ring_frames;
    shape.latency_frames = geometry.latency_frames;
    shape.boundary = geometry.boundary;
    std::copy(std::begin(geometry.chmap), std::end(geometry.chmap), shape.chmap.begin());
    return shape;
}

Instance::Estate estate_of(Inheritance& all)
{
    DeviceHeirloom device{std::move(all.device), shape_of(all.head.geometry),
                          std::string(core::text_of(all.head.device)), std::string(core::text_of(all.head.identity)),
                          std::string(core::text_of(all.head.output))};
    return {take_over_device(std::move(device)),
            all.head.geometry,
            std::move(all.board),
            std::move(all.arena),
            std::move(all.silence),
            all.head.board_bytes};
}

protocol::Commit commit_of(const DeviceStanding& device, const Engine::Knowledge& engine)
{
    auto commit = core::make_message<protocol::Commit>();
    commit.frame = device.position.frame;
    commit.hw_ptr = device.position.hw_ptr;
    commit.time_ns = device.position.time_ns;
    commit.generation = engine.snapshot.generation;
    commit.state = device.position.state;
    commit.start_ns = device.start_ns;
    commit.mixed_to = engine.mixed_to;
    commit.xruns = engine.xruns;
    commit.repairs = engine.repairs;
    commit.open = engine.open;
    std::copy(engine.serials.begin(), engine.serials.end(), commit.serials);
    return commit;
}

void go_on(Instance& instance, const protocol::Commit& commit)
{
    Engine::Knowledge engine;
    engine.snapshot.frame = commit.frame;
    engine.snapshot.hw_ptr = commit.hw_ptr;
    engine.snapshot.time_ns = commit.time_ns;
    engine.snapshot.frame_ns = core::frame_duration(instance.view().geometry.rate);
    engine.snapshot.generation = commit.generation;
    engine.snapshot.state = commit.state;
    engine.mixed_to = commit.mixed_to;
    engine.xruns = commit.xruns;
    engine.repairs = commit.repairs;
    engine.open = commit.open;
    std::copy(std::begin(commit.serials), std::end(commit.serials), engine.serials.begin());
    instance.go_on({{commit.frame, commit.hw_ptr, commit.time_ns, commit.state}, commit.start_ns}, engine);
}

} // namespace

// --- The old server ---

bool Control::asks_to_succeed(const Connection& connection, std::span<const std::byte> packet) noexcept
{
    std::uint32_t type = 0;
    return !connection.greeted && core::check_message(packet, type) == core::MessageFault::none &&
           type == protocol::type_hello && core::message_as<protocol::Hello>(packet).role == protocol::role_successor;
}

// Everything but where the engine stands, which still runs.
void Control::give_all(int successor)
{
    Instance* const instance = requests_.instance();
    auto head = core::make_message<protocol::Handover>();
    head.owns_listener = listener_.owned() ? 1 : 0;
    head.idle_ms = milliseconds(options_.idle_seconds);
    head.end_ms = milliseconds(options_.end_seconds);
    if (options_.wishes.output == "-" || options_.wishes.output.size() >= sizeof head.output)
        throw std::runtime_error(
            "what is written to standard output, or to a path this long, cannot be handed over; end "
            "that server");
    core::put_text(head.output, options_.wishes.output);
    std::vector<int> descriptors;
    const std::vector<protocol::HandoverSlot> records = requests_.records();
    if (instance != nullptr) {
        head.geometry = instance->view().geometry;
        head.board_bytes = instance->board_bytes();
        core::put_text(head.device, instance->device().name());
        core::put_text(head.identity, instance->device().identity());
        for (const int descriptor : instance->descriptors())
            descriptors.push_back(descriptor);
    }
    descriptors.push_back(listener_.fd());
    head.slots = static_cast<std::uint32_t>(records.size());
    give(successor, head, descriptors);
    for (protocol::HandoverSlot record : records) {
        const auto found = std::find_if(connections_.begin(), connections_.end(),
                                        [&](const auto& entry) { return entry.second->slot == record.slot; });
        record.connected = found != connections_.end() ? 1 : 0;
        give(successor, record, record.connected != 0 ? found->first : -1);
    }
}

// True: the successor has everything, and this server is to end. False: it goes on.
bool Control::hand_over(Connection& successor)
{
    const int fd = successor.socket.get();
    if (successor.peer.uid != ::geteuid() && successor.peer.uid != 0)
        return requests_.refuse(successor, EPERM, "only the user of this server, or root, may replace it");
    bool stopped = false;
    try {
        give_all(fd);
        await_ready(fd);
        Instance* const instance = requests_.instance();
        auto commit = core::make_message<protocol::Commit>();
        if (instance != nullptr) {
            stopped = true;
            instance->engine().stop();
            instance->butler().stop();
            instance->device().release_output();
            commit = commit_of(instance->device().standing(), instance->engine().knowledge());
        }
        os::send_packet(fd, core::bytes_of(commit), {}, false);
    } catch (const std::exception& error) {
        log(LogLevel::warning, "process {} was to take this server's place, and does not: {}", successor.peer.pid,
            error.what());
        if (stopped) {
            requests_.instance()->engine().start();
            requests_.instance()->butler().start();
        }
        return requests_.refuse(successor, ECANCELED, error.what());
    }
    handed_over_ = true;
    listener_.leave();
    notify_manager("MAINPID=" + std::to_string(successor.peer.pid));
    log(LogLevel::info, "process {} has taken this server's place: ending", successor.peer.pid);
    return true;
}

// --- The new one ---

Control::Control(const Options& options, Inheritance all)
    : options_(options), listener_(Listener::taken_over(std::move(all.listener), options.socket, options.socket_mode)),
      epoll_(make_epoll()), requests_(options, names_, [this] { return open_instance(); })
{
    if (all.device_open()) {
        requests_.take_over(std::make_unique<Instance>(estate_of(all), options_.wishes.output, names_, bell_));
        for (Inheritance::Place& place : all.places)
            take_place(std::move(place.socket), place.record);
    }
    const protocol::Commit commit = await_commit(all.predecessor.get());
    if (requests_.instance() != nullptr)
        go_on(*requests_.instance(), commit);
    requests_.resume();
    for (auto& [fd, connection] : connections_)
        watch_connection(*connection);
    if (all.head.owns_listener != 0 && !listener_.own())
        log(LogLevel::warning, "the lock of {} is still held by the server before", listener_.path());
    watch_all();
    had_players_ = true;
}

void Control::take_place(os::Descriptor socket, const protocol::HandoverSlot& record)
{
    if (!requests_.take_place(record))
        throw std::runtime_error("the other server hands over a lane that cannot be");
    if (!socket)
        return;
    auto connection = std::make_unique<Connection>();
    connection->peer = os::peer_credentials(socket.get());
    connection->socket = std::move(socket);
    connection->greeted = true;
    connection->role = protocol::role_player;
    connection->slot = record.slot;
    connection->name = core::text_of(record.name);
    if (connection->peer.pid > 0)
        connection->process = os::watch_process(connection->peer.pid);
    const int fd = connection->socket.get();
    connections_.emplace(fd, std::move(connection));
}

} // namespace ringmix::server
