// SPDX-License-Identifier: LGPL-2.1-or-later
//
// control.h: the server's main thread: its connections and their ends, signals, the device's opening and
// closing. What is answered is in requests.h. Nothing here is in anybody's audio path.

#pragma once

#include "os/descriptor.h"
#include "server/butler.h"
#include "server/closer.h"
#include "server/handover.h"
#include "server/listener.h"
#include "server/options.h"
#include "server/requests.h"

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

namespace ringmix::server {

// One connection. Its process: a forked child may hold the socket open.
class Connection final : public Session {
public:
    bool send(std::span<const std::byte> message, std::span<const int> descriptors) override;

    os::Descriptor socket;
    os::Descriptor process; // readable when the client's process is dead; empty where unknown
    std::int64_t hello_deadline_ns = 0;
};

class Control {
public:
    // Opens the device; throws with the reason. `activated`: a client is waiting already (socket activation):
    // a device that cannot be opened is reported to it.
    Control(const Options& options, Listener listener, bool activated);
    // Takes the place of the server from which `all` is; returns when it has. `options.socket` is the path of the
    // socket. Throws with the reason: then the other one goes on.
    Control(const Options& options, Inheritance all);
    ~Control();

    // Serves until a signal, a successor or the end of an autostarted server's idle time; the process' exit status.
    int run(int signal_fd);
    std::string description() const; // for the ready line

private:
    void accept_clients();
    void accept_client(os::Descriptor socket);
    void rest_from_accepting(const char* why);
    void accept_again();
    void restore_listener();
    static os::Descriptor make_epoll();
    void watch(int fd, std::uint64_t tag);
    void watch_all();
    void watch_connection(const Connection& connection);
    void unwatch(int fd) noexcept;
    void take_down(std::unique_ptr<Connection> connection) noexcept;
    bool handle_event(std::uint64_t tag, int signal_fd);
    bool serve(int fd);
    void forget(int fd, const char* why);
    void expire_silent();
    int next_timeout() const;

    static bool asks_to_succeed(const Connection& connection, std::span<const std::byte> packet) noexcept;
    bool hand_over(Connection& successor);
    void give_all(int successor);
    void take_place(os::Descriptor socket, const protocol::HandoverSlot& record);

    bool idle_is_over();
    double close_seconds() const noexcept;
    std::int64_t idle_end_ns(double seconds) const noexcept;
    std::unique_ptr<Instance> open_instance();
    void close_device();
    void follow_engine() noexcept;

    const Options& options_;
    Listener listener_;
    os::Descriptor epoll_;
    Closer closer_;
    ClientNames names_;
    Doorbell bell_; // rung by the butler
    Requests requests_;
    std::map<int, std::unique_ptr<Connection>> connections_; // by socket descriptor
    std::int64_t accept_again_ns_ = 0;                       // not accepting until then; 0: accepting
    bool accept_failed_ = false;                             // and it was said
    bool had_players_ = false;
    std::int64_t idle_since_ns_ = -1; // when the last client had left; -1: there are some
    bool realtime_ = false;           // this thread
    bool handed_over_ = false;        // another server has everything
};

} // namespace ringmix::server
