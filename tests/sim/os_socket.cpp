// SPDX-License-Identifier: LGPL-2.1-or-later
//
// os/socket.h for the simulator: packets between the fibres of one process.

#include "os/socket.h"

#include "os/error.h"
#include "ringmix/protocol.h"
#include "tests/sim/machine.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace ringmix::os {

using sim::machine;
using sim::Socket;
using sim::world;

namespace {

std::shared_ptr<Socket> socket_at(int fd)
{
    auto socket = world->object_as<Socket>(fd);
    if (!socket)
        fail(ENOTSOCK, "socket");
    return socket;
}

void tell_of_welcome(const Socket& socket, std::span<const std::byte> packet)
{
    protocol::Welcome welcome;
    if (packet.size() != sizeof welcome)
        return;
    std::memcpy(&welcome, packet.data(), sizeof welcome);
    if (welcome.header.type == protocol::type_welcome && welcome.slot != protocol::no_slot)
        machine().slots[socket.peer_process] = welcome.slot;
}

} // namespace

Descriptor connect_to(const std::string&)
{
    const auto& listener = machine().listener;
    if (!listener)
        fail(ECONNREFUSED, "connect");
    const auto mine = std::make_shared<Socket>();
    const auto theirs = std::make_shared<Socket>();
    mine->process = theirs->peer_process = world->current_process();
    mine->peer = theirs;
    theirs->peer = mine;
    listener->waiting.push_back(theirs);
    world->changed(*listener);
    return Descriptor(world->open_fd(mine));
}

std::string directory_of(const std::string& path) { return path.substr(0, path.rfind('/')); }
void require_socket_place(const std::string&) {}
Descriptor listen_at(const std::string&, mode_t) { fail(ENOSYS, "listen"); }

Descriptor accept_from(int fd)
{
    const auto listener = world->object_as<sim::Listener>(fd);
    if (!listener || listener->waiting.empty())
        return {};
    auto socket = listener->waiting.front();
    listener->waiting.pop_front();
    socket->process = world->current_process();
    return Descriptor(world->open_fd(std::move(socket)));
}

void send_packet(int fd, std::span<const std::byte> packet, std::span<const int> descriptors, bool)
{
    const auto socket = socket_at(fd);
    const auto peer = socket->peer.lock();
    if (!peer || socket->ended)
        fail(EPIPE, "send");
    tell_of_welcome(*socket, packet);
    sim::Mail mail;
    mail.bytes.assign(packet.begin(), packet.end());
    for (const int descriptor : descriptors)
        mail.objects.push_back(world->object(descriptor));
    peer->mail.push_back(std::move(mail));
    world->changed(*peer);
}

Packet receive_packet(int fd, std::span<std::byte> buffer, int timeout_ms)
{
    const auto socket = socket_at(fd);
    sim::Object* object = socket.get();
    const std::int64_t deadline = timeout_ms < 0 ? sim::never : world->now() + timeout_ms * sim::ms;
    Packet packet;
    if (!socket->readable() && !(timeout_ms != 0 && world->wait({&object, 1}, deadline))) {
        packet.nothing = true;
        return packet;
    }
    if (socket->mail.empty())
        return packet; // end of file
    sim::Mail mail = std::move(socket->mail.front());
    socket->mail.pop_front();
    packet.truncated = mail.bytes.size() > buffer.size();
    packet.bytes = std::min(mail.bytes.size(), buffer.size());
    std::memcpy(buffer.data(), mail.bytes.data(), packet.bytes);
    for (auto& passed : mail.objects)
        packet.descriptors.emplace_back(world->open_fd(std::move(passed)));
    return packet;
}

bool peer_closed(int fd) noexcept
{
    const auto socket = world->object_as<Socket>(fd);
    return !socket || socket->ended;
}

void hang_up(int fd) noexcept
{
    if (const auto socket = world->object_as<Socket>(fd))
        socket->closed();
}

PeerCredentials peer_credentials(int fd) { return {static_cast<pid_t>(socket_at(fd)->peer_process), 0, 0}; }

} // namespace ringmix::os
