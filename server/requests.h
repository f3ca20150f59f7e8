// SPDX-License-Identifier: LGPL-2.1-or-later
//
// requests.h: the registry of clients, and what is answered to each message of ringmix/protocol.h.
//
// No thread, socket or clock of its own: control.cpp brings messages from its sockets, a simulator from
// wherever it likes. One thread (control's); may block while the device is opened.

#pragma once

#include "core/message.h"
#include "os/socket.h"
#include "server/instance.h"
#include "server/options.h"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ringmix::server {

// One connection as the requests see it. Who makes it says who is at the other end, and how to answer.
class Session {
public:
    virtual ~Session() = default;
    // Sends one packet, with duplicates of `descriptors`. Does not block. False: it could not be sent, and the
    // connection is to be closed.
    virtual bool send(std::span<const std::byte> message, std::span<const int> descriptors) = 0;

    os::PeerCredentials peer{};
    bool greeted = false; // has said hello
    std::uint32_t role = 0;
    std::uint32_t slot = protocol::no_slot; // a player's
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
    bool known_to_engine = false; // it has had a lane, or a change of gain
    bool left = false;            // its session is over
    // Of what its lane is made, as it says; 0: of nothing else.
    std::uint32_t program_format = 0;
    std::uint32_t program_rate = 0;
    std::uint32_t program_channels = 0;
    std::uint32_t latency_frames = 0;
};

class Requests {
public:
    // Opens the device and everything on it; throws std::exception with the reason.
    using Opener = std::function<std::unique_ptr<Instance>()>;
    Requests(const Options& options, ClientNames& names, Opener opener);

    // Answers one message through the session's send(). False: the connection is to be closed.
    bool answer(Session& session, std::span<const std::byte> packet);
    // Sends an Error; always false: the connection is to be closed.
    bool refuse(Session& session, int error, const std::string& text);
    // The session's connection is over. What its player has queued is faded out by the engine; slot and lane
    // are freed by free_retired() when that has been played.
    void leave(Session& session, const char* why);
    // Frees the slots that engine and butler have done with.
    void free_retired();

    // For a server that replaces this one: all slots in use, `connected` left open.
    std::vector<protocol::HandoverSlot> records() const;
    // The other side: an instance that another server has run until now, and a slot of it; false: that has a lane that
    // cannot be. Once the engine runs: resume() does again what may have been lost on the way.
    void take_over(std::unique_ptr<Instance> instance) { instance_ = std::move(instance); }
    bool take_place(const protocol::HandoverSlot& record);
    void resume();

    void open(); // throws as the opener does
    void close() noexcept { instance_.reset(); }
    Instance* instance() const noexcept { return instance_.get(); } // null: the device is closed
    std::uint32_t players() const;                                  // slots that are taken
    std::string description() const;                                // of the instance, for people

private:
    bool tell(Session& session, int error, const std::string& text); // an Error; the connection stays
    bool hello(Session& session, const protocol::Hello& hello);
    bool welcome_player(Session& session, const protocol::Hello& hello);
    protocol::Welcome welcome_for(std::uint32_t slot) const;
    bool configure(Session& session, const protocol::Configure& configure);
    bool release(Session& session);
    bool status(Session& session);
    bool clients(Session& session);
    bool set_gain(Session& session, const protocol::SetGain& request);
    void tell_geometry(protocol::Status& status) const;
    std::uint64_t program_frames(const protocol::ClientInfo& info, std::uint64_t lane_frames) const;
    void tell_lane(const SlotOwner& owner, const abi::Slot& shared, protocol::ClientInfo& info) const;
    protocol::ClientInfo client_info(std::uint32_t slot);
    void give_up_lane(std::uint32_t slot);
    void free_slot(std::uint32_t slot);

    const Options& options_;
    ClientNames& names_;
    const Opener opener_;
    LineLimit refusals_;
    std::array<SlotOwner, abi::max_slots> owners_;
    std::unique_ptr<Instance> instance_; // null: the device is closed (idle)
};

} // namespace ringmix::server
