// SPDX-License-Identifier: LGPL-2.1-or-later
//
// control.h: the server's main thread: connections, requests, the registry of clients, the device's
// opening and closing. Nothing here is in anybody's audio path.

#pragma once

#include "core/message.h"
#include "os/descriptor.h"
#include "os/socket.h"
#include "server/butler.h"
#include "server/instance.h"
#include "server/options.h"

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace ringmix::server {

// One connection, and what its client has.
struct Session {
    os::Descriptor socket;
    os::Descriptor process; // readable when the client's process is dead; empty where unknown
    os::PeerCredentials peer{};
    std::int64_t hello_deadline_ns = 0; // 0: has said hello
    std::uint32_t role = 0;
    std::uint32_t slot = protocol::no_slot;
    std::string name;
};

// A slot of the table: belongs to a session, or to a dead one whose audio is still being played out.
struct SlotOwner {
    bool used = false;
    std::string name;
    std::uint32_t pid = 0;
    std::uint32_t uid = 0;
    std::optional<std::uint64_t> lane = std::nullopt; // its offset in the arena
    std::uint32_t gain = abi::unity_gain;             // as asked for, also while muted
    bool muted = false;
    bool heard = false; // it has had a lane, so the engine may still know of it
};

class Control {
public:
    // `listener`: the socket, listening. Opens the device; throws with the reason. `activated`: a client
    // is waiting already (socket activation): a device that cannot be opened is reported to it.
    Control(const Options& options, os::Descriptor listener, std::string socket_path, bool activated);
    ~Control();

    // Serves until a signal or the end of an autostarted server's idle time; the process' exit status.
    int run(int signal_fd);
    std::string description() const; // for the ready line

private:
    // Connections (control.cpp).
    void accept_clients();
    void watch(int fd, std::uint64_t tag);
    bool handle_event(std::uint64_t tag, int signal_fd);
    void serve(int fd);
    void forget(int fd, const char* why);
    void free_retired();
    void free_slot(std::uint32_t slot);
    void expire_silent();
    int next_timeout() const;

    // Requests (requests.cpp): false: the connection is to be closed.
    bool answer(Session& session, std::span<const std::byte> packet);
    bool hello(Session& session, const protocol::Hello& hello);
    bool welcome_player(Session& session, const protocol::Hello& hello);
    protocol::Welcome welcome_for(std::uint32_t slot) const;
    bool configure(Session& session, const protocol::Configure& configure);
    bool release(Session& session);
    bool status(Session& session);
    bool clients(Session& session);
    bool set_gain(Session& session, const protocol::SetGain& request);
    protocol::ClientInfo client_info(std::uint32_t slot);
    bool refuse(Session& session, int error, const std::string& text);
    bool send(Session& session, std::span<const std::byte> message, std::span<const int> descriptors = {});
    void give_up_lane(std::uint32_t slot);

    void open_instance();
    void close_instance();
    void follow_engine() noexcept;
    std::uint32_t players() const;

    const Options& options_;
    std::string socket_path_;
    os::Descriptor listener_;
    os::Descriptor epoll_;
    ClientNames names_;
    Retired retired_;
    std::map<int, Session> sessions_; // by socket descriptor
    std::array<SlotOwner, abi::max_slots> owners_;
    std::unique_ptr<Instance> instance_; // null: the device is closed (idle)
    std::int64_t idle_since_ns_ = 0;
    bool realtime_ = false; // this thread
};

} // namespace ringmix::server
