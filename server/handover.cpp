// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/handover.h"

#include "core/message.h"
#include "os/socket.h"

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <unistd.h>

namespace ringmix::server {

namespace {

constexpr int patience_ms = 2000; // a server that builds, or stops its engine
// The listener, behind what a player is given.
constexpr std::size_t descriptors_when_closed = 1;
constexpr std::size_t descriptors_when_open = protocol::welcome_descriptors + descriptors_when_closed;

// The next message, which must be a `Message`; its descriptors.
template <class Message> std::vector<os::Descriptor> receive(int socket, Message& message)
{
    alignas(8) std::byte buffer[protocol::max_message_bytes];
    os::Packet packet = os::receive_packet(socket, buffer, patience_ms);
    if (packet.nothing)
        throw std::runtime_error("the other server does not answer");
    if (packet.bytes == 0)
        throw std::runtime_error("the other server has closed the connection");
    const std::span<const std::byte> bytes(buffer, packet.bytes);
    std::uint32_t type = 0;
    if (const core::MessageFault fault = core::check_message(bytes, type); fault != core::MessageFault::none)
        throw std::runtime_error("the other server sends " + std::string(core::fault_text(fault)));
    if (type == protocol::type_error)
        throw std::runtime_error(std::string(core::text_of(core::message_as<protocol::Error>(bytes).text)));
    if (type != Message::type || packet.truncated)
        throw std::runtime_error("the other server sends something else than was expected");
    message = core::message_as<Message>(bytes);
    return std::move(packet.descriptors);
}

os::Descriptor connect(const std::string& path)
{
    try {
        return os::connect_to(path);
    } catch (const std::system_error& error) {
        if (error.code().value() == ENOENT || error.code().value() == ECONNREFUSED)
            return {};
        throw;
    }
}

} // namespace

std::optional<Inheritance> ask_for_inheritance(const std::string& path)
{
    Inheritance all{};
    all.predecessor = connect(path);
    if (!all.predecessor)
        return std::nullopt;
    auto hello = core::make_message<protocol::Hello>();
    hello.role = protocol::role_successor;
    hello.pid = static_cast<std::uint32_t>(::getpid());
    core::put_text(hello.name, "ringmixd");
    os::send_packet(all.predecessor.get(), core::bytes_of(hello));
    std::vector<os::Descriptor> descriptors = receive(all.predecessor.get(), all.head);
    if (descriptors.size() != (all.device_open() ? descriptors_when_open : descriptors_when_closed) ||
        all.head.slots > abi::max_slots)
        throw std::runtime_error("the other server hands over something incomplete");
    all.listener = std::move(descriptors.back());
    if (all.device_open()) {
        all.board = std::move(descriptors[0]);
        all.arena = std::move(descriptors[1]);
        all.device = std::move(descriptors[2]);
        all.silence = std::move(descriptors[3]);
    }
    for (std::uint32_t i = 0; i < all.head.slots; i++) {
        Inheritance::Place place{};
        std::vector<os::Descriptor> socket = receive(all.predecessor.get(), place.record);
        if (place.record.slot >= abi::max_slots || socket.size() != (place.record.connected != 0 ? 1 : 0))
            throw std::runtime_error("the other server hands over a client that cannot be");
        if (!socket.empty())
            place.socket = std::move(socket.front());
        all.places.push_back(std::move(place));
    }
    return all;
}

protocol::Commit await_commit(int predecessor)
{
    os::send_packet(predecessor, core::bytes_of(core::make_message<protocol::Ready>()));
    protocol::Commit commit{};
    receive(predecessor, commit);
    return commit;
}

void give(int successor, const protocol::Handover& head, std::span<const int> descriptors)
{
    os::send_packet(successor, core::bytes_of(head), descriptors, false);
}

void give(int successor, const protocol::HandoverSlot& record, int socket)
{
    os::send_packet(successor, core::bytes_of(record), {&socket, socket < 0 ? 0u : 1u}, false);
}

void await_ready(int successor)
{
    protocol::Ready ready{};
    receive(successor, ready);
}

} // namespace ringmix::server
