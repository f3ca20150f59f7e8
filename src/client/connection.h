// SPDX-License-Identifier: LGPL-2.1-or-later
//
// connection.h: one client's connection to a server: finding it, starting it, asking it.
//
// Set-up paths only (open, hw_params, close); may block up to the time-outs below; one thread at a
// time. Errors are ClientError: an errno for ALSA and a sentence for people.

#pragma once

#include "core/message.h"
#include "os/descriptor.h"
#include "ringmix/protocol.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace ringmix::client {

inline constexpr int answer_timeout_ms = 2000;
inline constexpr int start_timeout_ms = 10000;

struct ClientError : std::runtime_error {
    ClientError(int error_number, const std::string& text) : std::runtime_error(text), error(error_number) {}
    int error; // positive errno
};

// Which server, and who asks.
struct Address {
    std::string instance = "default";
    std::string socket;         // explicit path; empty: from the instance (os/paths.h)
    bool autostart = false;     // start a ringmixd if none answers
    std::string slave = "auto"; // its --device
    std::uint32_t role = protocol::role_player;
    std::string name; // how the client shows in lists; empty: the program's name
    std::uint32_t gain = abi::unity_gain;
    int answer_ms = answer_timeout_ms; // longest wait for an answer
    int start_ms = start_timeout_ms;   // longest wait for an autostarted server
};

// How an attempt to find a server ended.
enum class Attempt {
    connected,
    nobody,  // nobody answers
    closing, // somebody took the connection and closed it: a server that is just ending
};

class Connection {
public:
    // Tries the instance's socket paths in turn; with autostart, starts a server when none answers
    // (one of many programs that start at the same moment does it, the others wait for it).
    // Throws ClientError: ECONNREFUSED / ENOENT no server, EACCES not allowed, EPROTO other version,
    // EUSERS / what the server's Error says, ETIMEDOUT silent server, EINVAL bad instance name.
    explicit Connection(const Address& address);

    const protocol::Welcome& welcome() const noexcept { return welcome_; }
    // Board, arena, device: given once with the Welcome (players only).
    std::vector<os::Descriptor>& descriptors() noexcept { return descriptors_; }
    int socket() const noexcept { return socket_.get(); }
    const std::string& path() const noexcept { return path_; }

    // Sends a request and waits for its answer. Throws ClientError with what an Error says, EPROTO
    // for an unexpected message, ETIMEDOUT for a silent server, ENODEV when the server has gone.
    // After all but an Error the connection takes no more requests: a late answer could be taken for another
    // one's. It stays open until destroyed, so that the server gives the slot to nobody else meanwhile.
    template <class Reply, class Request> Reply ask(const Request& request)
    {
        send(request);
        receive();
        return received<Reply>();
    }
    // For multi-part answers: sends only.
    template <class Request> void send(const Request& request) { send_bytes(core::bytes_of(request)); }
    // The next message of a multi-part answer; returns its type. The bytes stay in the connection.
    std::uint32_t receive();
    template <class M> M received()
    {
        require_type(M::type);
        return core::message_as<M>({buffer_, received_bytes_});
    }

    bool server_gone() const noexcept; // never blocks
    // A request has failed without an Error. Any thread.
    bool failed() const noexcept { return failed_.load(std::memory_order_relaxed); }

private:
    Attempt try_paths(const Address& address, const std::vector<std::string>& paths);
    Attempt try_path(const Address& address, const std::string& path);
    [[noreturn]] void report_failure(const Address& address, const std::vector<std::string>& paths) const;
    void start_server(const Address& address, const std::vector<std::string>& paths);
    void greet(const Address& address);
    void check_welcome(std::uint32_t role);
    void send_bytes(std::span<const std::byte> packet);
    void require_type(std::uint32_t type);
    [[noreturn]] void fail(int error, const std::string& text);
    [[noreturn]] void fail_gone();

    struct Failure { // why a path did not answer, other than that nobody is there
        std::string path;
        int error;
        std::string text;
        bool hidden = false; // its directory cannot be entered: there may be nobody
    };

    os::Descriptor socket_;
    std::atomic<bool> failed_{false};
    std::string path_;
    protocol::Welcome welcome_{};
    std::vector<os::Descriptor> descriptors_;
    std::vector<Failure> failures_; // of the last try_paths()
    bool refused_ = false;          // a socket file is there, but nobody behind it
    int answer_ms_ = answer_timeout_ms;
    alignas(8) std::byte buffer_[protocol::max_message_bytes];
    std::size_t received_bytes_ = 0;
    std::uint32_t received_type_ = 0;
};

} // namespace ringmix::client
